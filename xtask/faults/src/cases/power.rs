//! The power fails.

use std::fs;
use std::path::Path;

use crate::account::Account;
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::image::{Disk, Unsynced, adopt_inodes};
use crate::journal::Contents;
use crate::ledger::Ledger;
use crate::program::{PATIENCE, Program};
use crate::programs::worker::{End, Hold, Plan};
use crate::rotation::{Rolling, files_beyond};
use crate::trace::{self, Change, Step};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R08",
        what: "the power fails at any step of a recorded run, and any pages not synced are lost",
        target: "10,000 images: what was synced is there, 0 wrong or doubled events",
        run: |bench| power_failures(bench, &Way::default()).into(),
    },
    Case {
        id: "R08-BUFFER",
        what: "the same while a buffer holds events before the text file",
        target: "10,000 images: what was synced is there, 0 wrong or doubled events",
        run: |bench| {
            power_failures(bench, &Way { hold: Some(Hold::Buffer(61)), ..Way::default() }).into()
        },
    },
    Case {
        id: "R08-LIMIT",
        what: "the same while a limit hands on events some at a time",
        target: "10,000 images: what was synced is there, 0 wrong or doubled events",
        run: |bench| {
            power_failures(bench, &Way { hold: Some(Hold::Limit(37)), ..Way::default() }).into()
        },
    },
    Case {
        id: "R08-ROLLED",
        what: "the same while the text file is rolled, compressed and purged",
        target: "10,000 images: what was synced is there, 0 wrong or doubled events, no compressed file \
                 that is not whole",
        run: |bench| {
            let rolling = Some(Rolling::new(16 << 10, 60));
            power_failures(bench, &Way { rolling, ..Way::default() }).into()
        },
    },
];

/// How events get into the text file.
#[derive(Default)]
struct Way {
    rolling: Option<Rolling>,
    hold: Option<Hold>,
}

impl Way {
    fn of(&self, plan: Plan) -> Plan {
        let plan = Plan { hold: self.hold, ..plan };
        match self.rolling {
            Some(rolling) => rolling.of(plan),
            None => plan,
        }
    }
}

/// What a program did with its disk.
struct Recorded {
    steps: Vec<Step>,
    /// So many of them were done before it began.
    before: usize,
}

/// The names of the run below its directory.
const JOURNAL: &str = "journal";
const TEXT: &str = "app.log";
const LEDGER: &str = "ledger";
/// The name of the worker whose run is recorded.
const BEFORE: &str = "worker";
/// Events that are logged once the power is back.
const AFTER: u64 = 20;

fn power_failures(bench: &mut Bench, way: &Way) -> Result<Outcome, Failure> {
    if !trace::is_possible() {
        return Ok(Outcome::Skipped("strace is not installed, or may not trace".to_owned()));
    }
    let scene = bench.scene()?;
    let recorded = record(&scene, way)?;
    let steps = &recorded.steps;
    let images = bench.either(150, 10_000);
    let mut synced_events = 0;
    let failed = bench.repeat(images, |bench, seed| {
        synced_events += fail_and_restart(bench, &recorded, way, seed)?;
        Ok(())
    });
    let rolls = steps.iter().filter(|step| is_roll(step)).count();
    let mut figure = format!(
        "{failed} of {images} images failed, of a run of {} steps; {synced_events} synced events were looked for",
        steps.len()
    );
    if way.rolling.is_some() {
        figure += &format!("; {rolls} rolls");
    }
    let is_as_meant = (rolls > 0) == way.rolling.is_some();
    Ok(if failed == 0 && is_as_meant { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

/// Whether the text file gets another name.
fn is_roll(step: &Step) -> bool {
    matches!(&step.change, Change::Rename { from, .. } if from == TEXT)
}

/// Runs a worker twice below strace: it is killed once, recovers, goes on, and syncs now and then.
fn record(scene: &Scene, way: &Way) -> Result<Recorded, Failure> {
    let dir = scene.disk("run");
    fs::create_dir(&dir)?;
    let plan = Plan {
        name: BEFORE.to_owned(),
        ledger: dir.join(LEDGER),
        rings: Some(scene.memory("rings")),
        journal: Some(dir.join(JOURNAL)),
        journal_max_bytes: Some(32 << 20),
        file: Some(dir.join(TEXT)),
        events: 600,
        padding: 200,
        pace_ns: 20_000,
        sync_every: Some(97),
        end: End::Terminate,
        ..Plan::default()
    };
    let plan = way.of(plan);
    let mut steps = Vec::new();
    if let Some(rolling) = way.rolling {
        rolling.lay_old(&dir.join(TEXT))?;
        steps = there_before(&dir)?;
    }
    let before = steps.len();
    let mut line = before;
    for (part, plan) in
        [plan.clone(), Plan { events: 1200, end: End::Shutdown, ..plan }].iter().enumerate()
    {
        let into = scene.disk(&format!("trace-{part}"));
        let worker = Program::command("worker", serde_json::to_string(plan)?)?;
        let ended = Program::spawn(&mut trace::recording(&worker, &into))?.wait_for(PATIENCE)?;
        if plan.end == End::Shutdown {
            ended.report()?;
        }
        // The lines of the second trace follow those of the first.
        steps.extend(trace::read(&into, &dir)?.into_iter().map(|step| Step {
            begun: step.begun + line,
            ended: step.ended + line,
            ..step
        }));
        line = steps.last().map_or(0, |step| step.ended + 1);
    }
    Ok(Recorded { steps, before })
}

/// How the files in `dir` got there, a line each.
fn there_before(dir: &Path) -> Result<Vec<Step>, Failure> {
    let mut changes = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(entry.path())?;
        changes.extend([
            Change::Create { name: name.clone(), truncate: false },
            Change::Write { name: name.clone(), at: None, bytes },
            Change::Sync { name },
        ]);
    }
    changes.push(Change::Sync { name: String::new() });
    let step = |(at, change)| Step { begun: at, ended: at, change };
    Ok(changes.into_iter().enumerate().map(step).collect())
}

/// Lets the power fail at a step, starts the worker on what is left, and compares. Returns how many
/// events had been synced.
fn fail_and_restart(
    bench: &Bench,
    Recorded { steps, before }: &Recorded,
    way: &Way,
    seed: u64,
) -> Result<u64, Failure> {
    let scene = bench.scene()?;
    let mut random = bench.random(seed);
    let at = before + random.below((steps.len() - before) as u64 + 1) as usize;
    let unsynced =
        [Unsynced::All, Unsynced::Nothing, Unsynced::Some, Unsynced::Some, Unsynced::Some]
            [random.below(5) as usize];
    let (mut disk, ledger) = (Disk::default(), Ledger::open(&scene.memory(LEDGER))?);
    for step in &steps[..at] {
        match &step.change {
            // The oracle's: no power failure takes it.
            Change::Create { name, .. } | Change::Write { name, .. } if name == LEDGER => {
                if let Change::Write { at: Some(at), bytes, .. } = &step.change {
                    ledger.write(*at, bytes)?;
                }
            }
            _ => disk.apply(step),
        }
    }
    let dir = scene.disk("image");
    fs::create_dir(&dir)?;
    let inodes = disk.write_image(&dir, unsynced, &mut random)?;
    adopt_inodes(&dir.join(JOURNAL).join("cursors/file.cursor"), &inodes)?;
    restart(bench, &scene, &ledger, way).map_err(|failure| {
        format!("step {at} of {}, {unsynced:?} of what was not synced: {failure}", steps.len())
            .into()
    })
}

/// Starts another worker on the image, as after a restart of the machine.
fn restart(bench: &Bench, scene: &Scene, ledger: &Ledger, way: &Way) -> Result<u64, Failure> {
    let dir = scene.disk("image");
    let plan = Plan {
        name: "after".to_owned(),
        ledger: scene.memory("ledger-after"),
        events: AFTER,
        rings: Some(scene.memory("rings")),
        journal: Some(dir.join(JOURNAL)),
        journal_max_bytes: Some(32 << 20),
        file: Some(dir.join(TEXT)),
        ..Plan::default()
    };
    let plan = way.of(plan);
    let other_boot = [("ROLLWAY_BOOT_ID", "0badb007-0000-4000-8000-000000000001")];
    bench.start_with("worker", &plan, &other_boot)?.wait()?.report()?;

    let after = Ledger::open(&plan.ledger)?;
    let contents = Contents::of(&plan.journal.clone().unwrap_or_default())?;
    let mut in_journal = Account::default();
    in_journal.deliver("the journal", contents.messages);
    let mut in_file = Account::default();
    let old = way.rolling.map_or(0, |rolling| rolling.old);
    in_file.deliver_files(&files_beyond(old, &dir.join(TEXT))?)?;
    let mut synced_events = 0;
    for (place, account) in [("the journal", in_journal), ("the text file", in_file)] {
        for run in 0..ledger.runs()? {
            let synced = ledger.synced(run)?;
            let missing = account.missing(BEFORE, run, 0, synced);
            if missing > 0 {
                return Err(format!("{place}: {missing} of {synced} synced events are lost").into());
            }
            synced_events += synced;
        }
        let missing = account.missing(&plan.name, 0, 0, AFTER);
        if missing > 0 {
            return Err(format!("{place}: {missing} of {AFTER} later events are lost").into());
        }
        let verdict = account.settle(&[(BEFORE, ledger), (&plan.name, &after)])?;
        if verdict.doubled.count + verdict.invented.count + verdict.disordered.count > 0 {
            return Err(format!("{place}: {verdict}").into());
        }
    }
    Ok(synced_events)
}
