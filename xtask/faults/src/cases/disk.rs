//! Disks are full, slow, broken, or not there.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollway::journal::segment_paths;

use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::disk::{Disk, injecting};
use crate::figures::quantile;
use crate::ledger::Ledger;
use crate::program::Ended;
use crate::programs::worker::{End, Plan};
use crate::rotation::{Rolling, files_beyond, reached};
use crate::waiting::{file_bytes, until};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R11",
        what: "the disk of a text file is full for a while",
        target: "0 lost or counted exactly, 1 diagnostic an episode, resumed within 1 s",
        run: |bench| full_text_disk(bench, None).into(),
    },
    Case {
        id: "R11-ROLLED",
        what: "the same, where the text file is rolled, compressed and purged",
        target: "as R11; no file too many or too few, and no compressed one that is not whole",
        run: |bench| full_text_disk(bench, Some(Rolling::new(16 << 10, 20))).into(),
    },
    Case {
        id: "R12",
        what: "the disk of the journal is full when a segment is made (tmpfs and ext4)",
        target: "0 SIGBUS, 0 lost in 200 runs",
        run: |bench| full_journal_disk(bench, None).into(),
    },
    Case {
        id: "R12-ROLLED",
        what: "the same, and a text file that is rolled, compressed and purged is on that disk, too",
        target: "as R12; no file too many or too few, and no compressed one that is not whole",
        run: |bench| full_journal_disk(bench, Some(Rolling::new(1 << 20, 30))).into(),
    },
    Case {
        id: "R12-RINGS",
        what: "the memory file system of the rings is full at the start",
        target: "0 SIGBUS, 0 lost",
        run: |bench| full_rings_disk(bench).into(),
    },
    Case {
        id: "R13",
        what: "another process cuts or replaces segments, rings and cursors",
        target: "0 deaths, at most one segment affected in 100 runs",
        run: |bench| mangled_files(bench, None).into(),
    },
    Case {
        id: "R13-ROLLED",
        what: "the same, where the text file is rolled, compressed and purged",
        target: "as R13; no file too many or too few, and no compressed one that is not whole",
        run: |bench| mangled_files(bench, Some(Rolling::new(256 << 10, 40))).into(),
    },
    Case {
        id: "R14",
        what: "every write of a text file takes 200 ms, and some take 5 s",
        target: "log calls unaffected while the ring has room, 0 out of order",
        run: |bench| slow_disk(bench, None).into(),
    },
    Case {
        id: "R14-ROLLED",
        what: "the same, where the text file is rolled, compressed and purged",
        target: "as R14; no file too many or too few, and no compressed one that is not whole",
        run: |bench| slow_disk(bench, Some(Rolling::new(16 << 10, 12))).into(),
    },
    Case {
        id: "R15",
        what: "a directory is missing, read-only, or its name is taken, at the start",
        target: "the message has the path and the error's text",
        run: |bench| unusable_at_start(bench, None).into(),
    },
    Case {
        id: "R15-ROLLED",
        what: "the same, where the text file is to be rolled and compressed",
        target: "as R15",
        run: |bench| unusable_at_start(bench, Some(Rolling::new(256, 10))).into(),
    },
    Case {
        id: "R15-RUN",
        what: "the directory of a text file is taken away while its disk is full",
        target: "0 lost, resumed within 5 s",
        run: |bench| directory_taken_away(bench, None).into(),
    },
    Case {
        id: "R15-RUN-ROLLED",
        what: "the same, with all files, where the text file is rolled, compressed and purged",
        target: "as R15-RUN; no compressed file that is not whole",
        run: |bench| directory_taken_away(bench, Some(Rolling::new(16 << 10, 20))).into(),
    },
    Case {
        id: "R15-SYNC",
        what: "a sync of the journal or of the text file fails once",
        target: "what it covered is never called synced",
        run: |bench| failed_sync(bench, None).into(),
    },
    Case {
        id: "R15-SYNC-ROLLED",
        what: "the same, where the text file is rolled, compressed and purged",
        target: "as R15-SYNC",
        run: |bench| failed_sync(bench, Some(Rolling::new(2 << 10, 3))).into(),
    },
];

/// Beyond a target's time, for a machine that others use as well.
const SLACK: Duration = Duration::from_secs(1);

fn full_text_disk(bench: &mut Bench, rolling: Option<Rolling>) -> Result<Outcome, Failure> {
    if let Some(reason) = no_tmpfs(bench)? {
        return Ok(Outcome::Skipped(reason));
    }
    let (mut resumed, mut slowest, mut dropped) = (Vec::new(), 0, 0);
    let runs = bench.either(if rolling.is_some() { 1 } else { 2 }, 50);
    let failed = bench.repeat(runs, |bench, _| {
        resumed.push(text_waits_for_room(bench, rolling)?.as_millis() as u64);
        let (drops, p999_ns) = text_drops_without_room(bench, rolling)?;
        dropped += drops;
        slowest = slowest.max(p999_ns);
        Ok(())
    });
    let longest = Duration::from_millis(quantile(&mut resumed, 1000));
    let figure = format!(
        "{failed} of {runs} runs failed; resumed after {longest:?} at the latest; {dropped} dropped \
         and told; p99.9 of a call that may drop {slowest} ns"
    );
    Ok(verdict(failed == 0 && longest <= Duration::from_secs(1) + SLACK, figure))
}

/// Under the policy that waits: nothing is lost. Returns how long after there was room a line came.
fn text_waits_for_room(bench: &Bench, rolling: Option<Rolling>) -> Result<Duration, Failure> {
    let scene = bench.scene()?;
    let disk = Disk::tmpfs(&place(&scene, "small")?, 1 << 20)?;
    let plan = Plan {
        file: Some(disk.inside().join("app.log")),
        threads: 2,
        events: 2_000,
        pace_ns: 1_000_000,
        padding: 40,
        ..worker(&scene)
    };
    let text = disk.outside().join("app.log");
    let plan = prepared(plan, &text, rolling)?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut program = bench.start_behind(&disk.enter(), "worker", &plan)?;
    program.wait_until("the first line", || Ok(file_bytes(&text)? > 0))?;
    disk.fill()?;
    let begun = ledger.total()?;
    // Long enough for the pauses between two tries to have grown.
    program.wait_until("calls on a full disk", || {
        if rolling.is_some() {
            // Files that are compressed and purged meanwhile make room.
            disk.fill()?;
        }
        Ok(ledger.total()? >= begun + 1_500)
    })?;
    // The last page of the file took a few lines more.
    let full = reached(&text)?;
    disk.free()?;
    let resumed = until("a line after the disk was freed", || Ok(reached(&text)? > full))?;
    let ended = program.wait()?;
    ended.report()?;
    told_once(&ended, &plan)?;
    of_text(&plan, &text, rolling)?.check()?;
    Ok(resumed)
}

/// Under the policy that drops: what is missing was counted, and the log says so. Returns how many
/// were dropped, and what all but a thousandth of the calls took at most.
fn text_drops_without_room(bench: &Bench, rolling: Option<Rolling>) -> Result<(u64, u64), Failure> {
    let scene = bench.scene()?;
    let disk = Disk::tmpfs(&place(&scene, "small")?, 96 << 20)?;
    let plan = Plan {
        file: Some(disk.inside().join("app.log")),
        journal_max_bytes: Some(16 << 20),
        ring_bytes: Some(64 << 10),
        threads: 2,
        events: 60_000,
        pace_ns: 8_000,
        padding: 400,
        drops: true,
        measures: true,
        ..worker(&scene)
    };
    let text = disk.outside().join("app.log");
    // Files as many as in the case of less text.
    let rolling = rolling.map(|it| Rolling { rotate_bytes: it.rotate_bytes << 7, ..it });
    let plan = prepared(plan, &text, rolling)?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut program = bench.start_behind(&disk.enter(), "worker", &plan)?;
    program.wait_until("the first line", || Ok(file_bytes(&text)? > 0))?;
    disk.fill()?;
    let all = plan.threads as u64 * plan.events;
    program.wait_until("all calls", || Ok(ledger.total()? == all))?;
    disk.free()?;
    let ended = program.wait()?;
    let report = ended.report()?;
    let number = |name: &str| report[name].as_u64().ok_or(format!("no `{name}` in {report}"));
    let dropped = number("dropped")?;
    let verdict = of_text(&plan, &text, rolling)?;
    verdict.check_with_dropped(dropped)?;
    if dropped == 0 || verdict.told_dropped != dropped {
        let told = verdict.told_dropped;
        return Err(format!("{dropped} dropped, and the log tells of {told}").into());
    }
    Ok((dropped, number("p999_ns")?))
}

fn full_journal_disk(bench: &mut Bench, rolling: Option<Rolling>) -> Result<Outcome, Failure> {
    type Make = fn(&Path, u64) -> Result<Disk, String>;
    let (mut figures, mut failed, mut waited) = (Vec::new(), 0, Vec::new());
    let runs = bench.either(if rolling.is_some() { 1 } else { 2 }, 100);
    for (name, make) in [("tmpfs", Disk::tmpfs as Make), ("ext4", Disk::ext4)] {
        let scene = bench.scene()?;
        if let Err(reason) = make(&place(&scene, "small")?, 48 << 20) {
            figures.push(format!("{name} skipped: {reason}"));
            continue;
        }
        let failures = bench.repeat(runs, |bench, seed| {
            let scene = bench.scene()?;
            // There is room for everything, as long as nobody else takes it.
            let bytes = if rolling.is_some() { 96 << 20 } else { 48 << 20 };
            let disk = make(&place(&scene, "small")?, bytes)?;
            let took = journal_waits_for_room(bench, &scene, &disk, seed, rolling)?;
            waited.push(took.as_millis() as u64);
            Ok(())
        });
        figures.push(format!("{failures} of {runs} runs failed on {name}"));
        failed += failures;
    }
    let longest = quantile(&mut waited, 1000);
    if waited.is_empty() && failed == 0 {
        return Ok(Outcome::Skipped(figures.join(", ")));
    }
    let figure = format!("{}; went on after {longest} ms at the latest", figures.join(", "));
    Ok(verdict(failed == 0, figure))
}

/// The disk is filled at a random instant; calls wait until there is room. Returns how long they
/// waited after that.
fn journal_waits_for_room(
    bench: &Bench,
    scene: &Scene,
    disk: &Disk,
    seed: u64,
    rolling: Option<Rolling>,
) -> Result<Duration, Failure> {
    let (inside, text) = match rolling {
        Some(_) => (disk.inside().join("app.log"), disk.outside().join("app.log")),
        None => (scene.disk("app.log"), scene.disk("app.log")),
    };
    let plan = Plan {
        file: Some(inside),
        journal: Some(disk.inside().join("journal")),
        journal_max_bytes: Some(32 << 20),
        ring_bytes: Some(64 << 10),
        threads: 2,
        events: 20_000,
        padding: 500,
        ..worker(scene)
    };
    let plan = prepared(plan, &text, rolling)?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut program = bench.start_behind(&disk.enter(), "worker", &plan)?;
    let all = plan.threads as u64 * plan.events;
    let filled_at = bench.random(seed).below(all / 2);
    program.wait_until("some calls", || Ok(ledger.total()? > filled_at))?;
    disk.fill()?;
    // Either everybody waits now, or what is left fits into the segments that there are: into those
    // that are recycled, too, because everything in them is delivered.
    let mut last = None;
    program.wait_until("a stand-still", || {
        let before = last.replace(ledger.total()?);
        std::thread::sleep(Duration::from_millis(100));
        Ok(before == last || ledger.total()? == all)
    })?;
    let waiting = ledger.total()?;
    disk.free()?;
    let waited = until("calls after the disk was freed", || {
        let now = ledger.total()?;
        Ok(now > waiting || now == all)
    })?;
    program.wait()?.report()?;
    of_text(&plan, &text, rolling)?.check()?;
    Ok(waited)
}

fn full_rings_disk(bench: &mut Bench) -> Result<Outcome, Failure> {
    if let Some(reason) = no_tmpfs(bench)? {
        return Ok(Outcome::Skipped(reason));
    }
    let runs = bench.either(2, 20);
    let mut events = 0;
    let failed = bench.repeat(runs, |bench, seed| {
        let scene = bench.scene()?;
        // From nothing at all to room for a ring or two, and not for all.
        let free_bytes = bench.random(seed).below(5) << 20;
        let disk = Disk::tmpfs(&place(&scene, "small")?, (free_bytes + (64 << 10)).max(64 << 10))?;
        if free_bytes == 0 {
            disk.fill()?;
        }
        let rings = Some(disk.inside().join("rings"));
        let plan = Plan { rings, threads: 8, events: 5_000, ..worker(&scene) };
        let ended = bench.start_behind(&disk.enter(), "worker", &plan)?.wait()?;
        ended.report()?;
        let text = plan.file.clone().unwrap_or_default();
        let verdict = of_text(&plan, &text, None)?;
        verdict.check()?;
        events += verdict.emitted;
        Ok(())
    });
    Ok(verdict(failed == 0, format!("{failed} of {runs} runs failed; {events} events")))
}

/// Spoils files of a worker.
type Harm = fn(&Plan) -> io::Result<()>;

/// Files that somebody else spoils, and how.
const HARMS: &[(&str, Harm)] = &[
    ("the newest segment is emptied", |plan| cut(&newest_segment(plan)?, |_| 0)),
    ("the newest segment is cut in the middle", |plan| cut(&newest_segment(plan)?, |len| len / 2)),
    ("the newest segment is cut within a page", |plan| cut(&newest_segment(plan)?, |_| 12_345)),
    ("the newest segment is replaced", |plan| replace(&newest_segment(plan)?)),
    ("the newest segment is removed", |plan| fs::remove_file(newest_segment(plan)?)),
    ("the cursors are emptied", |plan| each_cursor(plan, |path| cut(path, |_| 0))),
    ("the cursors are replaced", |plan| each_cursor(plan, replace)),
    ("the rings are emptied", |plan| each_ring(plan, |path| cut(path, |_| 0))),
    ("the rings are cut", |plan| each_ring(plan, |path| cut(path, |len| len / 2))),
    ("the rings are replaced", |plan| each_ring(plan, replace)),
];

/// Bytes of a segment of the workers that are spoiled.
const SEGMENT_BYTES: u64 = 8 << 20;

fn mangled_files(bench: &mut Bench, rolling: Option<Rolling>) -> Result<Outcome, Failure> {
    let harms = HARMS.len() as u64;
    let runs = bench.either(if rolling.is_some() { harms / 2 } else { harms }, 100);
    let mut worst = 0;
    let failed = bench.repeat(runs, |bench, seed| {
        let (what, harm) = HARMS[(seed % HARMS.len() as u64) as usize];
        let lost = one_mangled(bench, harm, rolling);
        let lost = lost.map_err(|failure| format!("{what}: {failure}"))?;
        worst = worst.max(lost);
        Ok(())
    });
    let figure = format!("{failed} of {runs} runs failed; {worst} events lost at the most");
    Ok(verdict(failed == 0, figure))
}

/// Spoils files of a worker that logs. Returns how many events were lost.
fn one_mangled(bench: &Bench, harm: Harm, rolling: Option<Rolling>) -> Result<u64, Failure> {
    let scene = bench.scene()?;
    let plan = Plan {
        journal_max_bytes: Some(4 * SEGMENT_BYTES),
        threads: 4,
        events: 5_000,
        pace_ns: 100_000,
        padding: 400,
        drops: true,
        timeout_ms: 5_000,
        ..worker(&scene)
    };
    let text = scene.disk("app.log");
    let plan = prepared(plan, &text, rolling)?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut program = bench.start("worker", &plan)?;
    let all = plan.threads as u64 * plan.events;
    program.wait_until("a quarter of the calls", || Ok(ledger.total()? > all / 4))?;
    harm(&plan)?;
    program.wait()?.report()?;
    // What is left can be started on.
    bench.start("worker", &plan.recovering())?.wait()?.report()?;
    let verdict = of_text(&plan, &text, rolling)?;
    let least_bytes = plan.padding as u64;
    let segment_events = SEGMENT_BYTES / least_bytes;
    let wrong = verdict.doubled.count + verdict.invented.count + verdict.disordered.count;
    if wrong > 0 || verdict.lost.count > segment_events {
        return Err(verdict.to_string().into());
    }
    Ok(verdict.lost.count)
}

fn newest_segment(plan: &Plan) -> io::Result<PathBuf> {
    let journal = plan.journal.clone().unwrap_or_default();
    let newest = segment_paths(&journal)?.pop().map(|(_, path)| path);
    newest.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "the journal has no segment"))
}

fn each_cursor(plan: &Plan, harm: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let journal = plan.journal.clone().unwrap_or_default();
    each_file(&journal, "cursor", harm)
}

fn each_ring(plan: &Plan, harm: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    each_file(&plan.rings.clone().unwrap_or_default(), "ring-", harm)
}

/// Harms each file below `dir` whose name has `part`; at least one.
fn each_file(dir: &Path, part: &str, harm: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut found = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)) {
                harm(&path)?;
                found += 1;
            }
        }
    }
    if found > 0 {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::NotFound, format!("no `{part}` below {}", dir.display())))
}

fn cut(path: &Path, bytes: fn(u64) -> u64) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes(file.metadata()?.len()))
}

/// Puts another file of the same length in its place.
fn replace(path: &Path) -> io::Result<()> {
    let other = path.with_extension("other");
    let file = fs::File::create(&other)?;
    file.set_len(fs::metadata(path)?.len())?;
    file.write_all_at(b"something else", 0)?;
    fs::rename(other, path)
}

fn slow_disk(bench: &mut Bench, rolling: Option<Rolling>) -> Result<Outcome, Failure> {
    let (write, stall) = bench.either(
        (Duration::from_millis(50), Duration::from_millis(500)),
        (Duration::from_millis(200), Duration::from_secs(5)),
    );
    let mut figures = Vec::new();
    for (what, rule) in [
        ("each write slow", format!("write:delay_enter={}", write.as_micros())),
        ("some stalled", format!("write:delay_enter={}:when=10+100", stall.as_micros())),
    ] {
        let scene = bench.scene()?;
        let text = scene.disk("app.log");
        let words = match injecting(&[&rule], Some(&text), Path::new("/dev/null")) {
            Ok(words) => words,
            Err(reason) => return Ok(Outcome::Skipped(reason)),
        };
        let plan = Plan {
            threads: 2,
            // A block of 2 ms is a write, and all of them are waited for.
            events: bench.either(if rolling.is_some() { 500 } else { 1_000 }, 1_500),
            pace_ns: 200_000,
            padding: 40,
            measures: true,
            ..worker(&scene)
        };
        let plan = prepared(plan, &text, rolling)?;
        let report = bench.start_behind(&words, "worker", &plan)?.wait()?.report()?;
        let verdict = of_text(&plan, &text, rolling)?;
        verdict.check()?;
        let (p999, longest) = (&report["p999_ns"], &report["max_ns"]);
        figures.push(format!("{what}: {verdict}; p99.9 of a call {p999} ns, at most {longest} ns"));
    }
    Ok(Outcome::Passed(figures.join("; ")))
}

fn unusable_at_start(bench: &mut Bench, rolling: Option<Rolling>) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let taken = scene.disk("taken");
    fs::write(&taken, "a file")?;
    let directory = scene.disk("directory");
    fs::create_dir(&directory)?;
    let base = rolling.map_or_else(|| worker(&scene), |rolling| rolling.of(worker(&scene)));
    let mut plans = vec![
        (
            "the text file is a directory",
            Plan { file: Some(directory.clone()), ..base.clone() },
            directory,
        ),
        (
            "the text file is below a file",
            Plan { file: Some(taken.join("app.log")), ..base.clone() },
            taken.clone(),
        ),
        (
            "the journal is a file",
            Plan { journal: Some(taken.clone()), ..base.clone() },
            taken.clone(),
        ),
        (
            "the journal is below a file",
            Plan { journal: Some(taken.join("journal")), ..base.clone() },
            taken.clone(),
        ),
    ];
    let disk = Disk::tmpfs(&place(&scene, "small")?, 1 << 20);
    let mut skipped = String::new();
    let mut words = Vec::new();
    match &disk {
        Ok(disk) => {
            disk.make_read_only()?;
            words = disk.enter();
            let (journal, file) = (disk.inside().join("journal"), disk.inside().join("app.log"));
            plans.push((
                "the journal's disk is read-only",
                Plan { journal: Some(journal.clone()), ..base.clone() },
                journal,
            ));
            plans.push((
                "the text file's disk is read-only",
                Plan { file: Some(file.clone()), ..base.clone() },
                file,
            ));
        }
        Err(reason) => skipped = format!("; read-only disks skipped: {reason}"),
    }
    let count = plans.len();
    let mut failed = 0;
    for (what, plan, path) in plans {
        let ended = bench.start_behind(&words, "worker", &plan)?.wait()?;
        let path = path.display().to_string();
        let is_told = ended.stderr.contains("os error") && ended.stderr.contains(&path);
        if ended.status.success() || !is_told {
            failed += 1;
            bench.fail(bench.seed, &format!("{what}: {}: {}", ended.status, ended.stderr));
        }
    }
    // A missing one is made.
    let text = scene.disk("a/b/app.log");
    let plan = Plan { file: Some(text.clone()), events: 50, ..base };
    bench.start("worker", &plan)?.wait()?.report()?;
    let mut account = Account::default();
    account.deliver_files(&files_beyond(0, &text)?)?;
    account.settle(&[(&*plan.name, &Ledger::open(&plan.ledger)?)])?.check()?;
    let figure = format!("{failed} of {count} messages lack the path or the reason{skipped}");
    Ok(verdict(failed == 0, figure))
}

fn directory_taken_away(bench: &mut Bench, rolling: Option<Rolling>) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let disk = match Disk::tmpfs(&place(&scene, "small")?, 16 << 20) {
        Ok(disk) => disk,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let plan = Plan {
        file: Some(disk.inside().join("logs/app.log")),
        threads: 2,
        events: 3_000,
        pace_ns: 1_000_000,
        ..worker(&scene)
    };
    let text = disk.outside().join("logs/app.log");
    let plan = prepared(plan, &text, rolling)?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut program = bench.start_behind(&disk.enter(), "worker", &plan)?;
    program.wait_until("the first line", || Ok(file_bytes(&text)? > 0))?;
    // What is in the files by then is put aside.
    let (logs, aside) = (disk.outside().join("logs"), disk.outside().join("aside"));
    disk.fill()?;
    let calls = ledger.total()?;
    program.wait_until("calls without a disk", || Ok(ledger.total()? > calls + 1_000))?;
    fs::rename(&logs, &aside)?;
    let calls = ledger.total()?;
    program.wait_until("calls without a directory", || Ok(ledger.total()? > calls + 1_000))?;
    disk.free()?;
    let resumed = until("a line after the disk was freed", || Ok(file_bytes(&text)? > 0))?;
    let ended = program.wait()?;
    ended.report()?;
    let old = rolling.map_or(0, |rolling| rolling.old);
    let mut files = files_beyond(old, &aside.join("app.log"))?;
    files.extend(files_beyond(old, &text)?);
    let mut account = Account::default();
    account.deliver_files(&files)?;
    let verdict_of_files = account.settle(&[(&*plan.name, &ledger)])?;
    verdict_of_files.check()?;
    let figure = format!("{verdict_of_files}; resumed after {resumed:?}");
    Ok(verdict(resumed <= Duration::from_secs(5) + SLACK, figure))
}

fn failed_sync(bench: &mut Bench, rolling: Option<Rolling>) -> Result<Outcome, Failure> {
    let mut figures = Vec::new();
    let mut failed = 0;
    // How the text file is rolled is nothing to the journal.
    let both = ["the text file", "the journal"];
    for what in &both[..if rolling.is_some() { 1 } else { 2 }] {
        let scene = bench.scene()?;
        let text = scene.disk("logs/app.log");
        let plan =
            Plan { file: Some(text.clone()), events: 200, sync_every: Some(100), ..worker(&scene) };
        let plan = prepared(plan, &text, rolling)?;
        let synced = |plan: &Plan| Ledger::open(&plan.ledger)?.synced(0);

        // Without a failure there is something to be called synced.
        bench.start("worker", &plan)?.wait()?.report()?;
        let usual = synced(&plan)?;
        let first_segment = newest_segment(&plan)?;
        for gone in [&scene.disk("journal"), &scene.disk("logs"), &scene.memory("rings")] {
            fs::remove_dir_all(gone)?;
        }
        fs::remove_file(&plan.ledger)?;
        let plan = prepared(plan, &text, rolling)?;

        let path = if *what == "the journal" { &first_segment } else { &text };
        let rules = ["fdatasync:error=EIO:when=1", "fsync:error=EIO:when=1"];
        let log = scene.disk("strace");
        let words = match injecting(&rules, Some(path), &log) {
            Ok(words) => words,
            Err(reason) => return Ok(Outcome::Skipped(reason)),
        };
        bench.start_behind(&words, "worker", &plan)?.wait()?.report()?;
        let after = synced(&plan)?;
        let injected = fs::read_to_string(&log)?.matches("(INJECTED)").count();
        of_text(&plan, &text, rolling)?.check()?;
        if usual == 0 || injected == 0 || after > 0 {
            failed += 1;
            let told = format!(
                "{what}: {usual} synced before, {injected} syncs failed, {after} synced after"
            );
            bench.fail(bench.seed, &told);
        }
        figures.push(format!(
            "{what}: {injected} syncs failed, then {after} events called synced ({usual} without)"
        ));
    }
    Ok(verdict(failed == 0, figures.join("; ")))
}

/// A worker with everything where it belongs.
pub(super) fn worker(scene: &Scene) -> Plan {
    Plan {
        ledger: scene.memory("ledger"),
        rings: Some(scene.memory("rings")),
        journal: Some(scene.disk("journal")),
        file: Some(scene.disk("app.log")),
        end: End::Shutdown,
        ..Plan::default()
    }
}

/// The plan with a text file that is rolled, where it shall be. The bench sees it at `text`.
fn prepared(plan: Plan, text: &Path, rolling: Option<Rolling>) -> io::Result<Plan> {
    let Some(rolling) = rolling else { return Ok(plan) };
    rolling.lay_old(text)?;
    Ok(rolling.of(plan))
}

/// What became of the events of a worker, by its text file as the bench sees it.
fn of_text(plan: &Plan, text: &Path, rolling: Option<Rolling>) -> Result<Verdict, Failure> {
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    match rolling {
        Some(rolling) => account.deliver_files(&rolling.files_of(text)?)?,
        None => account.deliver_file(text)?,
    }
    Ok(account.settle(&[(&*plan.name, &ledger)])?)
}

/// Checks that a worker complained of its text file once in each time of failure, whatever it says of
/// compressed ones; and that there was only one, unless files that are compressed and purged make room.
fn told_once(ended: &Ended, plan: &Plan) -> Result<(), Failure> {
    let path = plan.file.as_deref().unwrap_or(Path::new("")).display().to_string();
    let lines = ended.stderr.lines().filter(|line| !line.contains("cannot compress"));
    let complaints = lines.filter(|line| line.contains(&path) && line.contains("No space left"));
    let (complaints, ends) = (complaints.count(), ended.stderr.matches("it goes on").count());
    if complaints == ends && (complaints == 1 || complaints > 0 && plan.compress) {
        return Ok(());
    }
    Err(format!("{complaints} complaints of {path}, {ends} ends: {}", ended.stderr).into())
}

/// A directory of a scene, made.
pub(super) fn place(scene: &Scene, name: &str) -> io::Result<PathBuf> {
    let path = scene.disk(name);
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// Why there are no memory file systems of our own here, if there are none.
pub(super) fn no_tmpfs(bench: &Bench) -> io::Result<Option<String>> {
    let scene = bench.scene()?;
    Ok(Disk::tmpfs(&place(&scene, "small")?, 1 << 20).err())
}

pub(super) fn verdict(is_reached: bool, figure: String) -> Outcome {
    if is_reached { Outcome::Passed(figure) } else { Outcome::Failed(figure) }
}
