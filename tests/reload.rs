//! Another configuration while the program logs: each event is handled by one of them, and a wrong one
//! changes nothing.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rollway::appender::{AppendError, Appender, Batch, File, Open, OpenError, Opened, Place};
use rollway::journal::Position;
use rollway::route::composite::Buffer;
use rollway::{Builder, Level, OverflowPolicy, ReloadError};
use support::destination::{Collected, Collector, Gate};
use support::load::{Load, assert_each_once, described_file};
use support::{PATIENCE, lines, wait_until, watchdog};

fn directory(dir: &Path) -> Builder {
    rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"))
}

/// The numbers of one thread, in the order in which they came.
fn numbers_of(found: &[String], thread: usize) -> Vec<u64> {
    let prefix = format!("{thread} ");
    found.iter().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect()
}

#[test]
fn each_event_is_handled_by_exactly_one_configuration() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    for journal in [rollway::builder(), directory(dir.path())] {
        let (one, of_one) = Collector::new();
        let (two, of_two) = Collector::new();
        let both = journal.appender("one", one).appender("two", two);
        let turn = |to: &str| both.clone().route("", [to]);
        let guard = turn("one").start().unwrap();
        let load = Load::start(guard.logger(), 2);
        for at in 0..20 {
            std::thread::sleep(Duration::from_millis(5));
            let reloaded = guard.logger().reload(turn(["two", "one"][at % 2])).unwrap();
            assert_eq!(reloaded.unchanged, ["one", "two"]);
        }
        let counts = load.stop();
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        let (one, two) = (of_one.messages(), of_two.messages());
        assert!(!one.is_empty() && !two.is_empty());
        assert_each_once(&[one.clone(), two.clone()].concat(), &counts);
        for thread in 0..2 {
            assert!(numbers_of(&one, thread).is_sorted() && numbers_of(&two, thread).is_sorted());
        }
    }
}

#[test]
fn appenders_come_go_and_change_without_a_gap() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let with = |name: &str, file: &Path| {
        directory(dir.path())
            .appender(name, described_file(file))
            .appender("all", described_file(&path("all")))
    };
    let guard = with("a", &path("1")).start().unwrap();
    let load = Load::start(guard.logger(), 2);
    let pause = || std::thread::sleep(Duration::from_millis(20));
    pause();
    let reloaded = guard.logger().reload(with("a", &path("2"))).unwrap();
    assert_eq!(
        (&*reloaded.changed, &*reloaded.unchanged),
        (&["a".into()][..], &["all".into()][..])
    );
    pause();
    let reloaded = guard.logger().reload(with("b", &path("3"))).unwrap();
    assert_eq!((&*reloaded.added, &*reloaded.removed), (&["b".into()][..], &["a".into()][..]));
    assert!(reloaded.undrained.is_empty());
    assert!(!path("journal/cursors/a.cursor").exists());
    pause();
    // The same file under another name: the one before lets it go first.
    let reloaded = guard.logger().reload(with("c", &path("3"))).unwrap();
    assert_eq!((&*reloaded.added, &*reloaded.removed), (&["c".into()][..], &["b".into()][..]));
    pause();
    let counts = load.stop();
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.left(), 0);
    assert_each_once(&lines(&path("all")), &counts);
    let parts: Vec<_> = ["1", "2", "3"].iter().flat_map(|name| lines(&path(name))).collect();
    assert_each_once(&parts, &counts);
    // One after the other, and none of them twice or too early.
    for thread in 0..2 {
        assert!(numbers_of(&parts, thread).is_sorted());
    }
}

#[test]
fn a_changed_appender_that_has_not_delivered_leaves_the_rest_to_its_successor() {
    let _watch = watchdog();
    let gate = Gate::default();
    let (first, of_first) = Collector::new();
    let (second, of_second) = Collector::new();
    let guard = rollway::builder()
        .flush_timeout(Duration::from_millis(200))
        .appender("a", first)
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), "to the first");
    wait_until("the first has it", || of_first.len() == 1);
    let failing =
        rollway::builder().flush_timeout(Duration::from_millis(200)).appender("a", Failing);
    guard.logger().reload(failing).unwrap();
    rollway::info!(logger: guard.logger(), "held up");
    wait_until("the appender fails", || guard.stats().appenders[0].failing.is_some());
    let third = rollway::builder()
        .flush_timeout(Duration::from_millis(200))
        .appender("a", second.behind(&gate));
    guard.logger().reload(third).unwrap();
    gate.open();
    rollway::info!(logger: guard.logger(), "to the second");
    wait_until("the second has both", || of_second.len() == 2);
    assert_eq!(of_first.messages(), ["to the first"]);
    assert_eq!(of_second.messages(), ["held up", "to the second"]);
    drop(guard);
}

#[test]
fn the_journal_is_kept_for_an_appender_that_a_failed_reload_has_stopped() {
    const EVENTS: usize = 100_000;
    let _watch = watchdog();
    let gate = Gate::default();
    let (first, of_first) = Collector::new();
    let (second, of_second) = Collector::new();
    let describe = || {
        rollway::builder()
            .flush_timeout(Duration::from_millis(200))
            .overflow(OverflowPolicy::Drop)
            .journal_max_bytes(32 << 20)
    };
    let guard = describe().appender("a", first.behind(&gate)).start().unwrap();
    rollway::info!(logger: guard.logger(), "hangs");
    // The journal has it after the linger, and the appender soon after.
    wait_until("it is in the journal", || guard.stats().blocks > 0);
    std::thread::sleep(Duration::from_millis(200));
    let refused = guard.logger().reload(describe().appender("a", second.clone()));
    assert!(matches!(refused, Err(ReloadError::Hangs { .. })), "{refused:?}");
    gate.open();
    wait_until("it has ended", || of_first.len() == 1);
    // More than the journal holds.
    let filler = "x".repeat(1000);
    for n in 0..EVENTS {
        rollway::info!(logger: guard.logger(), "{n} {filler}");
    }
    guard.logger().reload(describe().appender("a", second)).unwrap();
    wait_until("everything is delivered", || guard.flush().is_ok());
    let dropped = guard.stats().dropped.total() as usize;
    let found = of_second.messages();
    let delivered = found.iter().filter(|message| message.ends_with('x')).count();
    assert!(dropped > 0 && delivered + dropped == EVENTS, "{delivered} and {dropped}");
    assert!(!found.iter().any(|message| message == "hangs"), "the first has had it");
}

/// Takes nothing.
struct Failing;

impl Open for Failing {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Stuck { settled: place.begin })))
    }
}

struct Stuck {
    settled: Position,
}

impl Appender for Stuck {
    fn append(&mut self, _batch: &Batch<'_>) -> Result<(), AppendError> {
        Err(AppendError::Unavailable { source: std::io::Error::other("out of order") })
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

#[test]
fn a_configuration_that_cannot_be_opened_changes_nothing() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let described = |first: &Path| {
        directory(dir.path())
            .level(Level::INFO)
            .appender("a", described_file(first))
            .appender("gone", described_file(&path("gone")))
    };
    let guard = described(&path("1")).start().unwrap();
    let load = Load::start(guard.logger(), 1);
    std::fs::write(path("no directory"), "").unwrap();
    let broken = directory(dir.path())
        .level(Level::DEBUG)
        .appender("new", described_file(&path("new")))
        .appender("a", described_file(&path("no directory/2")));
    for _ in 0..3 {
        let error = guard.logger().reload(broken.clone()).unwrap_err();
        assert!(matches!(&error, ReloadError::Open(error) if error.name == "a"), "{error}");
        assert!(!guard.logger().is_enabled(Level::DEBUG));
        assert!(!path("journal/cursors/new.cursor").exists());
        let names: Vec<_> = guard.stats().appenders.into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a", "gone"]);
    }
    let stats = guard.stats().reloads;
    assert_eq!((stats.done, stats.failed), (0, 3));
    assert!(stats.failing.is_some_and(|why| why.contains("no directory/2")));
    let counts = load.stop();
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_each_once(&lines(&path("1")), &counts);
    assert_each_once(&lines(&path("gone")), &counts);
    assert_eq!(std::fs::read_to_string(path("new")).unwrap(), "");
}

#[test]
fn what_cannot_change_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let guard = directory(dir.path()).start().unwrap();
    let refused = |builder: Builder| guard.logger().reload(builder).unwrap_err().to_string();
    let elsewhere = directory(dir.path()).journal_dir(dir.path().join("elsewhere"));
    assert_eq!(
        refused(elsewhere),
        "journal_dir cannot change while the process runs; restart it for that"
    );
    for (builder, key) in [
        (directory(dir.path()).service("other"), "service"),
        (directory(dir.path()).record_bytes_max(4096), "record_bytes_max"),
        (directory(dir.path()).ring_bytes(1 << 16), "ring_bytes"),
        (directory(dir.path()).rings_dir(dir.path().join("r")), "rings_dir"),
    ] {
        let message = refused(builder);
        assert!(message.starts_with(key) && message.contains("restart"), "{message}");
    }
    let twice = directory(dir.path())
        .appender("a", File::new(dir.path().join("1")))
        .appender("a", File::new(dir.path().join("2")));
    assert!(refused(twice).contains("two appenders are named `a`"));
    assert!(!dir.path().join("1").exists());
}

#[test]
fn a_level_and_its_change_by_reload_are_seen_at_once() {
    let (collector, collected) = Collector::new();
    let described = rollway::builder().appender("a", collector);
    let guard = described.clone().start().unwrap();
    let say = |what: &str| rollway::debug!(logger: guard.logger(), "{what}");
    say("before");
    guard.logger().reload(described.clone().level(Level::DEBUG)).unwrap();
    say("while");
    guard.logger().set_level(Level::ERROR);
    guard.logger().reload(described.level(Level::INFO)).unwrap();
    say("after");
    assert!(guard.logger().is_enabled(Level::INFO));
    drop(guard);
    assert_eq!(collected.messages(), ["while"]);
}

#[test]
fn a_source_that_fails_leaves_the_configuration_and_tells_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("level");
    let (collector, _) = Collector::new();
    let described = rollway::builder().appender("a", collector);
    let source = {
        let (described, path) = (described.clone(), path.clone());
        move || -> Result<Builder, String> {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let level: Level = text.trim().parse().map_err(|error| format!("{error}"))?;
            Ok(described.clone().level(level))
        }
    };
    let guard = described.clone().reload_from(source).start().unwrap();
    let error = guard.logger().reload_from_source().unwrap_err().to_string();
    assert!(error.contains("level: No such file"), "{error}");
    std::fs::write(&path, "trace").unwrap();
    guard.logger().reload_from_source().unwrap();
    assert!(guard.logger().is_enabled(Level::TRACE));
    std::fs::write(&path, "loud").unwrap();
    guard.logger().reload_from_source().unwrap_err();
    assert!(guard.logger().is_enabled(Level::TRACE));
    drop(guard);
    let guard = described.start().unwrap();
    assert!(matches!(guard.logger().reload_from_source(), Err(ReloadError::NoSource)));
}

/// Counts what becomes of it.
#[derive(Clone, Default)]
struct Counted {
    collected: Collected,
    flushed: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

struct Running {
    inner: Box<dyn Appender>,
    counts: Counted,
}

impl Open for Counted {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let (collector, _) = Collector::new();
        match collector.keeping(&self.collected).open(place)? {
            Opened::Events(inner) => {
                Ok(Opened::Events(Box::new(Running { inner, counts: self.clone() })))
            }
            blocks => Ok(blocks),
        }
    }
}

impl Appender for Running {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.inner.append(batch)
    }

    fn settled(&self) -> Position {
        self.inner.settled()
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.counts.flushed.fetch_add(1, Ordering::Relaxed);
        self.inner.flush(deadline)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_shutdown_ends_each_appender_once_and_later_events_go_nowhere() {
    let counted = [Counted::default(), Counted::default()];
    let [one, two] = counted.clone();
    let guard = rollway::builder().appender("one", one).appender("two", two).start().unwrap();
    let logger = guard.logger().clone();
    rollway::info!(logger: logger, "before");
    guard.shutdown(PATIENCE);
    rollway::info!(logger: logger, "after");
    assert!(matches!(logger.reload(rollway::builder()), Err(ReloadError::Ended)));
    for Counted { collected, flushed, dropped } in counted {
        assert_eq!(collected.messages(), ["before"]);
        assert_eq!((flushed.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed)), (1, 1));
    }
}

#[test]
fn what_a_buffer_holds_is_handed_on_before_it_changes_or_goes() {
    let _watch = watchdog();
    let (collector, collected) = Collector::new();
    let described = rollway::builder().appender("a", collector);
    let buffered =
        |events| described.clone().composite("buffer", Buffer::new(["a"]).max_events(events));
    let guard = buffered(100).start().unwrap();
    let say = |what: &str| rollway::info!(logger: guard.logger(), "{what}");
    say("one");
    guard.flush().unwrap();
    assert_eq!(collected.len(), 0);
    let reloaded = guard.logger().reload(buffered(2)).unwrap();
    assert_eq!(reloaded.changed, ["a"]);
    assert_eq!(collected.messages(), ["one"]);
    say("two");
    guard.flush().unwrap();
    assert_eq!(collected.len(), 1);
    guard.logger().reload(described.clone()).unwrap();
    assert_eq!(collected.messages(), ["one", "two"]);
    say("three");
    guard.flush().unwrap();
    assert_eq!(collected.len(), 3);
    guard.logger().reload(buffered(100)).unwrap();
    say("four");
    let reloaded = guard.logger().reload(rollway::builder()).unwrap();
    assert_eq!((&*reloaded.removed, reloaded.undrained.len()), (&["a".to_owned()][..], 0));
    assert_eq!(collected.messages(), ["one", "two", "three", "four"]);
}
