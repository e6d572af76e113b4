//! Composites where events come from other processes: at a master, and in a cluster.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use rollway::appender::{
    AppendError, Appender, Batch, FailOver, File, Open, OpenError, Opened, Place,
};
use rollway::cluster::Cluster;
use rollway::journal::Position;
use rollway::layout::Pattern;
use rollway::route::composite::{Buffer, Filtered, Limit};
use rollway::{Guard, Level, OutletStats};

use support::{PATIENCE, wait_until, watchdog};

const HOUR: Duration = Duration::from_secs(3600);
/// Events of each worker before the one that triggers.
const EVENTS: usize = 10;
const WORKERS: [&str; 2] = ["north", "south"];

/// A destination that is never there.
struct Away(Position);

impl Open for Away {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Away(place.begin))))
    }
}

impl Appender for Away {
    fn append(&mut self, _: &Batch<'_>) -> Result<(), AppendError> {
        Err(AppendError::Unavailable { source: std::io::Error::other("it is away") })
    }

    fn settled(&self) -> Position {
        self.0
    }

    fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

/// Time, level, place, thread, context and message of each event.
fn file(dir: &Path, name: &str) -> File {
    let layout = Pattern::parse("%d{EPOCH_NS} %p %F:%L %t %X{user} %m%n").unwrap();
    File::new(dir.join(name)).layout(layout)
}

/// Puts one composite of each kind, and a fail-over, into the builder of an engine or of a master.
macro_rules! with_composites {
    ($builder:expr, $dir:expr) => {{
        let there = FailOver::new().relay("away", Away(Position::default()));
        $builder
            .appender("direct", file($dir, "direct"))
            .appender("late", file($dir, "late"))
            .appender("grave", file($dir, "grave"))
            .appender("first", file($dir, "first"))
            .appender("there", there.relay("there", file($dir, "there")))
            .composite("buffer", Buffer::new(["late"]).trigger_level(Level::ERROR))
            .composite("filter", Filtered::new(["grave"]).threshold(Level::ERROR))
            .composite("limit", Limit::new(["first"]).period(HOUR).accumulate(false))
    }};
}

/// Each worker logs on a thread of its name, within a context. Returns the line of the log call.
fn log(workers: &[Guard; 2]) -> u32 {
    let mut at = 0;
    for (worker, name) in workers.iter().zip(WORKERS) {
        let logger = worker.logger().clone();
        let logging = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut before = 0;
            for number in 0..EVENTS {
                let _user = rollway::mdc("user", format!("{name}-{number}"));
                before = line!();
                rollway::info!(logger: logger, "event {number}");
            }
            before + 1
        });
        at = logging.unwrap().join().unwrap();
    }
    at
}

fn lines(dir: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn has_held(appenders: &[OutletStats], events: usize) -> bool {
    let late = appenders.iter().find(|appender| appender.name == "late");
    late.is_some_and(|late| late.held == events as u64 && late.delivered == 0)
}

/// Looks at what has come out behind the event that triggered. `at` is the line of the log call.
fn check(dir: &Path, at: u32) {
    let direct = lines(dir, "direct");
    assert_eq!(direct.len(), 2 * EVENTS + 1);
    assert_eq!(lines(dir, "late"), direct, "what was held is as it was logged");
    assert_eq!(lines(dir, "there"), direct);
    assert_eq!(lines(dir, "first"), direct[..1]);
    assert_eq!(lines(dir, "grave"), direct[2 * EVENTS..]);
    for name in WORKERS {
        let here = format!("composites_elsewhere.rs:{at} {name} {name}-");
        let its = direct.iter().filter_map(|line| Some(line.split_once(&here)?.1.to_owned()));
        let expected = (0..EVENTS).map(|number| format!("{number} event {number}"));
        assert_eq!(its.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

#[cfg(feature = "master")]
#[test]
fn composites_at_a_master_hold_and_share_out_what_its_workers_log() {
    use rollway::appender::Forwarder;
    use rollway::journal::JournalOptions;
    use rollway::master::Master;

    let _watchdog = watchdog();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let master = Master::builder().listen("127.0.0.1:0");
    let master = master.journal(JournalOptions::directory(dir.join("master")));
    let master = with_composites!(master, dir).start().unwrap();
    let address = master.local_addr().to_string();
    let workers = WORKERS.map(|name| {
        let builder = rollway::builder().flush_timeout(PATIENCE);
        let builder = builder.appender("master", Forwarder::new(address.clone()));
        builder.appender("own", file(dir, name)).start().unwrap()
    });
    let at = log(&workers);
    wait_until("all is held", || has_held(&master.stats().appenders, 2 * EVENTS));
    assert!(lines(dir, "late").is_empty());
    rollway::error!(logger: workers[1].logger(), "it broke");
    wait_until("it triggers", || lines(dir, "late").len() == 2 * EVENTS + 1);
    for worker in workers {
        assert_eq!(worker.shutdown(PATIENCE).left(), 0);
    }
    assert_eq!(master.shutdown(PATIENCE).left(), 0);
    check(dir, at);
    // Times and all are those that the workers have.
    let (mut all, mut own) = (lines(dir, "late"), WORKERS.map(|name| lines(dir, name)).concat());
    all.sort();
    own.sort();
    assert_eq!(all, own);
}

#[test]
fn composites_of_a_cluster_hold_and_share_out_what_its_members_log() {
    let _watchdog = watchdog();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let members = WORKERS.map(|_| {
        let builder = rollway::builder().flush_timeout(PATIENCE).rings_dir(dir.join("rings"));
        let builder = builder.cluster(Cluster::new(dir.join("cluster")));
        with_composites!(builder, dir).start().unwrap()
    });
    let at = log(&members);
    wait_until("all is held", || {
        let stats = members.iter().filter_map(|member| member.stats().cluster);
        stats.into_iter().any(|cluster| has_held(&cluster.appenders, 2 * EVENTS))
    });
    assert!(lines(dir, "late").is_empty());
    rollway::error!(logger: members[1].logger(), "it broke");
    wait_until("it triggers", || lines(dir, "late").len() == 2 * EVENTS + 1);
    for member in members {
        assert_eq!(member.shutdown(PATIENCE).left(), 0);
    }
    check(dir, at);
}
