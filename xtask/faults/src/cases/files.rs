//! Others move, remove, purge and read the text files that a program writes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::figures::quantile;
use crate::ledger::Ledger;
use crate::program::Program;
use crate::programs::worker::{End, Plan};
use crate::waiting::{file_bytes, until};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R20",
        what: "logrotate renames the text file under load (create)",
        target: "0 lost, 0 doubled in 200 rotations, the new file within 1 s, the old one closed",
        run: |bench| logrotate(bench).into(),
    },
    Case {
        id: "R21",
        what: "the text file is removed or replaced under load",
        target: "a new one within 1 s, what is gone is counted",
        run: |bench| removed(bench).into(),
    },
    Case {
        id: "R22",
        what: "retention races rotation, readers and another program's files of like names",
        target: "at most the limit and one file more, 0 foreign files touched in 1,000 rotations",
        run: |bench| purged(bench).into(),
    },
    Case {
        id: "R23",
        what: "`tail -F` follows a text file over rotations and restarts of its program",
        target: "each event once, in order for each thread, of 1 M",
        run: |bench| followed(bench).into(),
    },
];

/// What a program may take that logs for long.
const LONG: Duration = Duration::from_secs(1_800);
/// Between two looks of a program whether its file was moved, in milliseconds.
const CHECK_MOVED_MS: u64 = 500;
/// Beyond the time of a target, for a machine that others use as well.
const SLACK: Duration = Duration::from_secs(1);
const TARGET: Duration = Duration::from_secs(1);

/// A worker with a text file that logs until `stop` is there.
fn endless(scene: &Scene, stop: &Path) -> Plan {
    Plan {
        ledger: scene.memory("ledger"),
        rings: Some(scene.memory("rings")),
        journal: Some(scene.disk("journal")),
        file: Some(scene.disk("logs/app.log")),
        check_moved_ms: Some(CHECK_MOVED_MS),
        threads: 2,
        events: u64::MAX,
        pace_ns: 50_000,
        // What waits in the journal is to be in the files at the end.
        timeout_ms: LONG.as_millis() as u64,
        until: Some(stop.to_owned()),
        ..Plan::default()
    }
}

fn logrotate(bench: &mut Bench) -> Result<Outcome, Failure> {
    let Some(program) = ["/usr/sbin/logrotate", "/usr/bin/logrotate"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
    else {
        return Ok(Outcome::Skipped("this system has no logrotate".to_owned()));
    };
    let (scene, rotations) = (bench.scene()?, bench.either(4, 200));
    let (stop, text) = (scene.disk("stop"), scene.disk("logs/app.log"));
    let plan = endless(&scene, &stop);
    let conf = scene.disk("rotate.conf");
    let words = "rotate 1000\nsize 1\nmissingok\nnodateext\ncreate 0600";
    fs::write(&conf, format!("{} {{\n{words}\n}}\n", text.display()))?;
    let mut worker = bench.start("worker", &plan)?;
    let mut reopened = Vec::new();
    for number in 1..=rotations {
        bench.tell(&format!("{number} of {rotations} rotations"));
        worker.wait_until("a line in the file", || Ok(file_bytes(&text)? > 0))?;
        let mut command = Command::new(program);
        command.arg("--force").arg("--state").arg(scene.disk("rotate.state")).arg(&conf);
        let output = command.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let took = until("a line in the new file", || Ok(file_bytes(&text)? > 0))?;
        reopened.push(took.as_millis() as u64);
    }
    let old = open_files(&worker, &scene.disk("logs"))?;
    fs::write(&stop, "")?;
    worker.wait_for(LONG)?.report()?;
    // Its oldest file has the greatest number.
    let mut files: Vec<_> = (1..=rotations)
        .rev()
        .map(|number| text.with_file_name(format!("app.log.{number}")))
        .collect();
    files.push(text.clone());
    let verdict = account(&plan, &files)?;
    let longest = Duration::from_millis(quantile(&mut reopened, 1000));
    let figure = format!(
        "{verdict}; {rotations} rotations, a line in the new file after {longest:?} at the latest; {} \
         files open",
        old.len()
    );
    let is_good = longest <= TARGET + SLACK && old == [text];
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

/// The files below a directory that a program has open.
fn open_files(program: &Program, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let open = fs::read_dir(format!("/proc/{}/fd", program.pid()))?;
    let open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(open.filter(|path| path.starts_with(dir)).collect())
}

fn account(plan: &Plan, files: &[PathBuf]) -> Result<crate::account::Verdict, Failure> {
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver_files(files)?;
    let verdict = account.settle(&[(&*plan.name, &ledger)])?;
    verdict.check()?;
    Ok(verdict)
}

fn removed(bench: &mut Bench) -> Result<Outcome, Failure> {
    let (scene, times) = (bench.scene()?, bench.either(4, 50));
    let (stop, text) = (scene.disk("stop"), scene.disk("logs/app.log"));
    let plan = endless(&scene, &stop);
    let mut worker = bench.start("worker", &plan)?;
    let (mut gone, mut noticed) = (Vec::new(), Vec::new());
    for number in 0..times {
        bench.tell(&format!("{number} of {times} files"));
        worker.wait_until("a line in the file", || Ok(file_bytes(&text)? > 0))?;
        // What was in it stays readable here.
        gone.push(File::open(&text)?);
        if number % 2 == 0 {
            fs::remove_file(&text)?;
        } else {
            let other = text.with_file_name("other");
            fs::write(&other, "")?;
            fs::rename(&other, &text)?;
        }
        let took = until("a line in the new file", || Ok(file_bytes(&text)? > 0))?;
        noticed.push(took.as_millis() as u64);
    }
    fs::write(&stop, "")?;
    let report = worker.wait_for(LONG)?.report()?;
    let told = report["errors"].as_u64().unwrap_or_default();
    let mut lines = Vec::new();
    for mut file in gone {
        let mut content = String::new();
        file.read_to_string(&mut content)?;
        lines.extend(content.lines().map(str::to_owned));
    }
    let content = fs::read_to_string(&text)?;
    lines.extend(content.lines().map(str::to_owned));
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver("the files, removed or not", lines);
    let verdict = account.settle(&[(&*plan.name, &ledger)])?;
    verdict.check()?;
    let longest = Duration::from_millis(quantile(&mut noticed, 1000));
    let figure = format!(
        "{times} files, {told} of them counted; a line in the new one after {longest:?} at the latest; with \
         what was in the removed ones: {verdict}"
    );
    let is_good = longest <= TARGET + SLACK && told == times;
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

fn purged(bench: &mut Bench) -> Result<Outcome, Failure> {
    const FILE_BYTES: u64 = 16 << 10;
    const LIMIT_BYTES: u64 = 10 * FILE_BYTES;
    const FOREIGN: &[&str] =
        &["app.log.old", "app.log.007", "app.log.0", "app.log.1.bak", "app.logs.1"];

    let (scene, rotations) = (bench.scene()?, bench.either(60, 1_000));
    let (stop, text) = (scene.disk("stop"), scene.disk("logs/app.log"));
    let plan = Plan {
        rotate_bytes: Some(FILE_BYTES),
        keep_total_bytes: Some(LIMIT_BYTES),
        padding: 100,
        // A disk syncs so many files in a second.
        pace_ns: 500_000,
        ..endless(&scene, &stop)
    };
    // Its names begin like those of the first one, and all of them are to stay.
    let other_text = scene.disk("logs/app.log.2.other");
    let other = Plan {
        name: "other".to_owned(),
        ledger: scene.memory("ledger-other"),
        journal: Some(scene.disk("journal-other")),
        file: Some(other_text.clone()),
        keep_total_bytes: None,
        pace_ns: 200_000,
        ..plan.clone()
    };
    fs::create_dir(scene.disk("logs"))?;
    for name in FOREIGN {
        fs::write(text.with_file_name(name), *name)?;
    }
    let mut workers = [bench.start("worker", &plan)?, bench.start("worker", &other)?];
    let (mut newest, mut most_bytes, mut read_bytes) = (0, 0, 0);
    let deadline = Instant::now() + LONG;
    let mut random = bench.random(bench.seed);
    while newest < rotations {
        bench.tell(&format!("{newest} of {rotations} rotations"));
        if Instant::now() > deadline || !workers[0].is_running()? || !workers[1].is_running()? {
            return Err("a program ended, or is too slow".into());
        }
        let mut rolled = Vec::new();
        for entry in fs::read_dir(scene.disk("logs"))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix("app.log.").and_then(|rest| rest.parse::<u64>().ok());
            if let Some(number) = number.filter(|_| !FOREIGN.contains(&&*name)) {
                rolled.push((number, entry.path()));
            }
        }
        newest = rolled.iter().map(|(number, _)| *number).max().unwrap_or(0).max(newest);
        // A file that goes while it is looked at has no bytes any more.
        let bytes = rolled.iter().map(|(_, path)| file_bytes(path)).sum::<io::Result<u64>>()?;
        most_bytes = most_bytes.max(bytes);
        if !rolled.is_empty() {
            let (_, path) = &rolled[random.below(rolled.len() as u64) as usize];
            read_bytes += fs::read(path).map_or(0, |bytes| bytes.len() as u64);
        }
    }
    fs::write(&stop, "")?;
    for worker in workers {
        worker.wait_for(LONG)?.report()?;
    }
    for name in FOREIGN {
        if fs::read_to_string(text.with_file_name(name))? != *name {
            return Err(format!("{name} is another one").into());
        }
    }
    let others = crate::rotation::files_of(&other_text)?;
    let verdict = account(&other, &others)?;
    let figure = format!(
        "{newest} rotations, at most {most_bytes} bytes with a limit of {LIMIT_BYTES}; {} foreign files \
         and {} of another program untouched, {read_bytes} bytes read meanwhile; of the other program: {verdict}",
        FOREIGN.len(),
        others.len()
    );
    let is_good = most_bytes <= LIMIT_BYTES + FILE_BYTES;
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

/// A reader by name. Killed when it is dropped.
struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn followed(bench: &mut Bench) -> Result<Outcome, Failure> {
    let tail = Path::new("/usr/bin/tail");
    if !tail.exists() {
        return Ok(Outcome::Skipped("this system has no /usr/bin/tail".to_owned()));
    }
    let (events, kills, file_bytes) = bench.either((20_000, 2, 4 << 20), (500_000, 10, 32 << 20));
    let scene = bench.scene()?;
    let text = scene.disk("logs/app.log");
    let plan = Plan {
        events,
        until: None,
        // A reader by name misses a file that comes and goes between two of its looks.
        pace_ns: 100_000,
        padding: 300,
        rotate_bytes: Some(file_bytes),
        end: End::Shutdown,
        ..endless(&scene, Path::new(""))
    };
    let (ledger, all) = (Ledger::open(&plan.ledger)?, events * plan.threads as u64);
    fs::create_dir(scene.disk("logs"))?;
    let mut command = Command::new(tail);
    command.args(["-F", "-n", "+1", "--sleep-interval=0.02"]).arg(&text);
    let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut tail = Tail(output.spawn()?);
    let seen = tail.0.stdout.take().ok_or("tail has no output")?;
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(seen).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    for killed in 1..=kills {
        bench.tell(&format!("{killed} of {kills} kills"));
        let mut program = bench.start("worker", &plan)?;
        let at = all * killed / (kills + 1);
        program.wait_until_within(LONG, "calls before the kill", || Ok(ledger.total()? >= at))?;
        program.kill()?;
    }
    bench.start("worker", &plan)?.wait_for(LONG)?.report()?;
    // Until it has shown what it has, and nothing comes for a while.
    let mut shown = Vec::new();
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(3)) {
        shown.push(line);
    }
    let files = crate::rotation::files_of(&text)?;
    account(&plan, &files)?;
    let mut account = Account::default();
    account.deliver("what tail showed", &shown);
    let verdict = account.settle(&[(&*plan.name, &ledger)])?;
    let figure = format!("{verdict}; {} rotations, {kills} kills", files.len() - 1);
    let is_good = verdict.check().is_ok() && is_ordered(&shown);
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

/// Whether the lines of each run and thread come in the order of their numbers.
fn is_ordered(lines: &[String]) -> bool {
    let mut next = HashMap::new();
    lines.iter().all(|line| {
        let message = line.split(' ').next().unwrap_or_default();
        let Some((producer, number)) = message.rsplit_once('/') else { return true };
        let (Ok(number), last) = (number.parse::<u64>(), next.entry(producer).or_insert(0)) else {
            return true;
        };
        std::mem::replace(last, number + 1) <= number
    })
}
