//! Text files are rolled, compressed and purged while programs are killed and disks fill.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{no_tmpfs, place, verdict, worker};
use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome};
use crate::disk::{Disk, injecting};
use crate::ledger::Ledger;
use crate::program::Ended;
use crate::programs::worker::{End, Plan};
use crate::random::Random;
use crate::rotation::{self, Rolling};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R11-PACK",
        what: "the disk is full, or a write, a sync or a rename fails, while a rolled file is compressed",
        target: "the plain file stays as it was until a try succeeds, no other one is left; 0 lost, 0 doubled",
        run: |bench| packed_without_room(bench).into(),
    },
    Case {
        id: "R19",
        what: "a text file rotates every 64 KiB under 64 threads, is compressed and purged, and its \
               program is killed",
        target: "10 M events over 10,000 rotations, each once; no number twice or missing, no compressed \
                 file that is not whole, no file too many or too few",
        run: |bench| rotated(bench).into(),
    },
];

/// What a program may take that logs millions of events.
const LONG: Duration = Duration::from_secs(1_800);
/// Bytes of the file that is too large to be compressed beside itself, and what is free there.
const OLD_BYTES: usize = 1 << 20;
const FREE_BYTES: usize = 384 << 10;

fn packed_without_room(bench: &mut Bench) -> Result<Outcome, Failure> {
    if let Some(reason) = no_tmpfs(bench)? {
        return Ok(Outcome::Skipped(reason));
    }
    let runs = bench.either(1, 20);
    let (mut tries, mut events) = (0, 0);
    let mut failed = bench.repeat(runs, |bench, seed| {
        let (failures, verdict) = full_while_packed(bench, seed)?;
        (tries, events) = (tries + failures, events + verdict.emitted);
        Ok(())
    });
    let mut figure =
        format!("{failed} of {runs} runs on a full disk failed, {tries} tries had no room");
    for (step, rule) in [
        ("write", "write:error=ENOSPC"),
        ("sync", "fsync:error=EIO"),
        ("rename", "renameat2:error=ENOSPC"),
    ] {
        let mut skipped = None;
        let failures = bench.repeat(runs, |bench, _| {
            let failed = failed_while_packed(bench, rule);
            match failed.map_err(|failure| format!("{step}: {failure}"))? {
                Ok(verdict) => events += verdict.emitted,
                Err(reason) => skipped = Some(reason),
            }
            Ok(())
        });
        failed += failures;
        figure += &match skipped {
            Some(reason) => format!(", {step} skipped: {reason}"),
            None => format!(", {failures} of {runs} with a {step} that fails"),
        };
    }
    Ok(verdict(failed == 0, format!("{figure}; {events} events")))
}

/// A file of an earlier time is compressed on a disk that has no room for it, beside a worker that
/// logs, until there is room. Returns how many tries failed.
fn full_while_packed(bench: &Bench, seed: u64) -> Result<(u64, Verdict), Failure> {
    let scene = bench.scene()?;
    let disk = Disk::tmpfs(&place(&scene, "small")?, 16 << 20)?;
    let text = disk.outside().join("app.log");
    let old = hard_to_compress(bench.random(seed), OLD_BYTES);
    let old_path = disk.outside().join("app.log.1");
    fs::write(&old_path, &old)?;
    let reserve = disk.outside().join("reserve");
    fs::write(&reserve, vec![0; FREE_BYTES])?;
    disk.fill()?;
    fs::remove_file(reserve)?;
    let stop = scene.disk("stop");
    let plan = Plan {
        end: End::Drop,
        events: u64::MAX,
        pace_ns: 2_000_000,
        until: Some(stop.clone()),
        ..logging(worker(&scene), &disk.inside().join("app.log"))
    };
    let mut program = bench.start_behind(&disk.enter(), "worker", &plan)?;
    // The first one is told of with one of the batches that come before the second.
    let (partial, mut tries, mut is_there) = (disk.outside().join("app.log.1.gz.tmp"), 0, false);
    program.wait_until("two tries that failed", || {
        let was_there = std::mem::replace(&mut is_there, partial.exists());
        tries += u64::from(was_there && !is_there);
        Ok(tries == 2)
    })?;
    fs::write(stop, "")?;
    let ended = program.wait()?;
    ended.report()?;
    let failures = failed_tries(&ended);
    if failures == 0 || fs::read(&old_path)? != old.as_bytes() {
        return Err(format!("{failures} tries failed: {}", ended.stderr).into());
    }
    without_torn(&text)?;
    account(&plan, &files_but_old(&text)?)?;

    disk.free()?;
    let ended = bench.start_behind(&disk.enter(), "worker", &plan.recovering())?.wait()?;
    ended.report()?;
    let mut found = String::new();
    let packed = disk.outside().join("app.log.1.gz");
    rotation::open(&packed)?.read_to_string(&mut found)?;
    if old_path.exists() || found != old {
        return Err("the compressed file is another one".into());
    }
    without_torn(&text)?;
    Ok((failures, account(&plan, &files_but_old(&text)?)?))
}

/// The first file that is rolled cannot be compressed, because a step fails, until the next start. The
/// error is why the machine cannot have a step fail.
fn failed_while_packed(bench: &Bench, rule: &str) -> Result<Result<Verdict, String>, Failure> {
    let scene = bench.scene()?;
    let text = scene.disk("logs/app.log");
    let partial = scene.disk("logs/app.log.1.gz.tmp");
    let words = match injecting(&[rule], Some(&partial), Path::new("/dev/null")) {
        Ok(words) => words,
        Err(reason) => return Ok(Err(reason)),
    };
    let plan = Plan { end: End::Drop, ..logging(worker(&scene), &text) };
    let ended = bench.start_behind(&words, "worker", &plan)?.wait()?;
    ended.report()?;
    let files = rotation::files_of(&text)?;
    if failed_tries(&ended) == 0 || files[0] != scene.disk("logs/app.log.1") {
        return Err(format!("{} is the first file: {}", files[0].display(), ended.stderr).into());
    }
    without_torn(&text)?;
    account(&plan, &files)?;

    bench.start("worker", &plan.recovering())?.wait()?.report()?;
    let files = rotation::files_of(&text)?;
    if files[0] != scene.disk("logs/app.log.1.gz") {
        return Err(format!("{} is the first file", files[0].display()).into());
    }
    without_torn(&text)?;
    Ok(Ok(account(&plan, &files)?))
}

/// A worker that rolls its text file some times.
fn logging(plan: Plan, file: &Path) -> Plan {
    Plan {
        file: Some(file.to_owned()),
        rotate_bytes: Some(16 << 10),
        compress: true,
        threads: 2,
        events: 1_000,
        pace_ns: 500_000,
        padding: 40,
        ..plan
    }
}

/// Hexadecimal digits by chance: about half of their bytes are left of them.
fn hard_to_compress(mut random: Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        text += &format!("{:016x}\n", random.below(u64::MAX));
    }
    text
}

/// How many files could not be compressed, or how often.
fn failed_tries(ended: &Ended) -> u64 {
    ended.stderr.matches("cannot compress").count() as u64
}

/// Checks that no file is left that was not compressed to its end.
fn without_torn(text: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(text.parent().unwrap_or(Path::new(".")))? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(".tmp") {
            return Err(format!("{} is left", name.display()).into());
        }
    }
    Ok(())
}

/// The worker's files, behind the one of an earlier time.
fn files_but_old(text: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(rotation::files_of(text)?.split_off(1))
}

fn account(plan: &Plan, files: &[PathBuf]) -> Result<Verdict, Failure> {
    let mut account = Account::default();
    account.deliver_files(files)?;
    let verdict = account.settle(&[(&*plan.name, &Ledger::open(&plan.ledger)?)])?;
    verdict.check()?;
    Ok(verdict)
}

fn rotated(bench: &mut Bench) -> Result<Outcome, Failure> {
    const LINE_BYTES_MAX: u64 = 128;
    let (events, kills) = bench.either((2_000, 2), (160_000, 20));
    let (keep, old) = bench.either((150, 60), (11_000, 1_500));
    let rolling = Rolling { rotate_bytes: 64 << 10, keep, old };
    let scene = bench.scene()?;
    let text = scene.disk("logs/app.log");
    rolling.lay_old(&text)?;
    let plan = rolling.of(Plan {
        file: Some(text.clone()),
        threads: 64,
        events,
        padding: 45,
        ..worker(&scene)
    });
    let ledger = Ledger::open(&plan.ledger)?;
    let all = plan.threads as u64 * events;
    let mut random = bench.random(bench.seed);
    for killed in 1..=kills {
        bench.tell(&format!("{killed} of {kills} kills"));
        let mut program = bench.start("worker", &plan)?;
        let at = all * killed / (kills + 1);
        program.wait_until_within(LONG, "calls before the kill", || Ok(ledger.total()? >= at))?;
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        program.kill()?;
    }
    bench.start("worker", &plan)?.wait_for(LONG)?.report()?;
    let files = rolling.files_of(&text)?;
    rotation::check_sizes(&files, rolling.rotate_bytes, LINE_BYTES_MAX)?;
    let verdict = account(&plan, &files)?;
    let rotations = files.len() as u64 - 1;
    let purged = old + rotations - keep;
    let figure = format!("{verdict}; {rotations} rotations, {purged} files purged, {kills} kills");
    Ok(Outcome::Passed(figure))
}
