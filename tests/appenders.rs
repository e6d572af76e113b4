//! What each appender does with what is logged, apart from what all of them promise: see
//! `tests/conformance`.

mod support;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rollway::appender::file::RollBy;
use rollway::appender::{
    self, AppendError, Appender, Batch, Callback, Colours, Console, File, Key, LevelColours,
    Memory, Missing, Null, Open, OpenError, Opened, PerValue, Place, Stream, Writer,
};
use rollway::journal::Position;
use rollway::layout::Pattern;
use rollway::{Guard, Level, WaitStrategy};
use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// An `io::Write` that keeps what it gets, and fails as it is told.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Sheet>>);

#[derive(Default)]
struct Sheet {
    written: Vec<u8>,
    flushes: usize,
    /// Errors of the next writes.
    failures: Vec<io::ErrorKind>,
    panics: usize,
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().written.clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sheet = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if sheet.panics > 0 {
            sheet.panics -= 1;
            drop(sheet);
            panic!("out of ink");
        }
        if let Some(kind) = sheet.failures.pop() {
            return Err(kind.into());
        }
        sheet.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().flushes += 1;
        Ok(())
    }
}

fn start(name: &str, appender: impl Open + 'static) -> Guard {
    rollway::builder().level(Level::TRACE).appender(name, appender).start().unwrap()
}

// AP-2: an appender has a name and a layout of its own, whatever its destination is.
#[test]
fn every_appender_has_its_own_name_and_layout() {
    let _watchdog = watchdog();
    let (memory, paper) = (Memory::new().layout(pattern("%p|%m%n")), Paper::default());
    let guard = rollway::builder()
        .appender("recorder", memory.clone())
        .appender("paper", Writer::new(paper.clone()).layout(pattern("%m;")))
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), "sold");
    guard.flush().unwrap();
    let names: Vec<_> = guard.stats().appenders.into_iter().map(|stats| stats.name).collect();
    assert_eq!(names, ["recorder", "paper"]);
    assert_eq!((&*memory.text(), &*paper.text()), ("INFO|sold\n", "sold;"));
}

// AP-4.
#[test]
fn appenders_without_a_name_are_called_app001_and_so_on() {
    let _watchdog = watchdog();
    let guard = rollway::builder()
        .add(Null::new())
        .appender("app002", Null::new())
        .add(Null::new())
        .start()
        .unwrap();
    let names: Vec<_> = guard.stats().appenders.into_iter().map(|stats| stats.name).collect();
    assert_eq!(names, ["app001", "app002", "app003"]);
}

// AP-5: what is wrong with a destination is said when it is opened, with its name and the remedy.
#[test]
fn a_destination_that_cannot_be_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("taken"), "").unwrap();
    let told = |appender: PerValue| {
        let started = rollway::builder().appender("tenants", appender).start();
        started.err().unwrap().to_string()
    };
    let key = || Key::context("tenant");
    let error = told(PerValue::new(dir.path().join("taken"), key()));
    assert!(error.contains("`tenants`") && error.contains("taken"), "{error}");
    let error = told(PerValue::new(dir.path().join("files"), key()).extension("../x"));
    assert!(error.contains("`tenants`") && error.contains("extension"), "{error}");
    // No value's file is another one's rolled file.
    let rolled = |by: &str| File::new("x").roll_by(RollBy::parse(by).unwrap()).keep_extension(true);
    let dated = PerValue::new(dir.path().join("files"), key());
    let error = told(dated.files(move |_| rolled("daily").always_include_pattern(true)));
    assert!(error.contains("`always_include_pattern`"), "{error}");
    let worded = PerValue::new(dir.path().join("files"), key());
    let error = told(worded.files(move |_| rolled("'y'yyyy")));
    assert!(error.contains("`roll_by`"), "{error}");
    let error = LevelColours::none().with(Level::INFO, "mauve").unwrap_err().to_string();
    assert!(error.contains("`mauve`") && error.contains("magenta"), "{error}");
}

// AP-6: what a level switches off reaches no appender.
#[test]
fn what_is_below_the_level_reaches_nobody() {
    let _watchdog = watchdog();
    let memory = Memory::new();
    let builder = rollway::builder().level(Level::WARN).appender("memory", memory.clone());
    let guard = builder.start().unwrap();
    rollway::info!(logger: guard.logger(), "no");
    rollway::warn!(logger: guard.logger(), "yes");
    guard.flush().unwrap();
    assert_eq!(memory.messages(), ["yes"]);
}

// AP-7: without a layout it is the simple one.
#[test]
fn without_a_layout_an_event_is_a_simple_line() {
    let _watchdog = watchdog();
    let (memory, paper) = (Memory::new(), Paper::default());
    let guard = rollway::builder()
        .appender("memory", memory.clone())
        .appender("paper", Writer::new(paper.clone()))
        .start()
        .unwrap();
    rollway::warn!(logger: guard.logger(), target: "shop", "sold out");
    guard.flush().unwrap();
    let text = memory.text();
    assert!(text.ends_with(" WARN  shop - sold out\n"), "{text}");
    assert_eq!(paper.text(), text);
}

// AP-12: a file that is to be emptied is, one that is to be appended to is not; golden 03.
#[test]
fn a_file_is_emptied_only_where_that_is_wanted() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.log");
    for (truncates, expected) in [(false, "existing\nnew\n"), (true, "new\n")] {
        fs::write(&path, "existing\n").unwrap();
        let file = message_file(&path);
        let guard = start("file", if truncates { file.truncate() } else { file });
        rollway::info!(logger: guard.logger(), "new");
        guard.shutdown(PATIENCE);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}

// AP-1: what a pattern does not say is not written.
#[test]
fn a_pattern_without_a_newline_ends_no_line() {
    let _watchdog = watchdog();
    let memory = Memory::new().layout(pattern("(%F{1}:%L)> %m"));
    let guard = start("dumpy", memory.clone());
    ["one", "two"].iter().for_each(|word| rollway::info!(logger: guard.logger(), "{word}"));
    let place = format!("(appenders.rs:{})> ", line!() - 1);
    guard.flush().unwrap();
    assert_eq!(memory.text(), format!("{place}one{place}two"));
}

/// Writes down what an appender is told.
#[derive(Clone, Default)]
struct Told {
    lines: Arc<Mutex<Vec<String>>>,
    name: String,
    settled: Position,
}

impl Open for Told {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let told = Told { name: place.name.to_owned(), settled: place.begin, ..self.clone() };
        Ok(Opened::Events(Box::new(told)))
    }
}

impl Appender for Told {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            let (level, category) = (event.level, &event.site.category);
            let line = format!("{} {} {level} {category} {message}", self.name, level.number());
            self.lines.lock().unwrap().push(line);
        });
        self.settled = batch.next();
        Ok(())
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

// AP-9.
#[test]
fn an_appender_is_told_its_name_and_of_each_event_its_level_category_and_message() {
    let _watchdog = watchdog();
    let told = Told::default();
    let guard = rollway::builder()
        .appender("one", told.clone())
        .appender("two", appender::with(told.clone()).threshold(Level::ERROR))
        .start()
        .unwrap();
    rollway::warn!(logger: guard.logger(), target: "shop::till", "{} left", 3);
    guard.flush().unwrap();
    rollway::fatal!(logger: guard.logger(), target: "shop", "closed");
    guard.shutdown(PATIENCE);
    let mut lines = told.lines.lock().unwrap().clone();
    lines.sort();
    let expected =
        ["one 13 WARN shop::till 3 left", "one 21 FATAL shop closed", "two 21 FATAL shop closed"];
    assert_eq!(lines, expected);
}

// A28: text beyond ASCII, and an empty message.
#[test]
fn text_arrives_as_it_was_logged_whatever_its_script() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (memory, paper) = (Memory::new().layout(pattern("%m%n")), Paper::default());
    let guard = rollway::builder()
        .appender("file", message_file(&dir.path().join("app.log")))
        .appender("memory", memory.clone())
        .appender("paper", Writer::new(paper.clone()).layout(pattern("%m%n")))
        .start()
        .unwrap();
    for message in ["Ä ß 木 🪵", "", "end"] {
        rollway::info!(logger: guard.logger(), "{message}");
    }
    guard.shutdown(PATIENCE);
    let expected = "Ä ß 木 🪵\n\nend\n";
    assert_eq!(fs::read_to_string(dir.path().join("app.log")).unwrap(), expected);
    assert_eq!((&*memory.text(), &*paper.text()), (expected, expected));
}

/// Runs this test again as a child that prints, and returns what stood on its streams.
fn printed(test: &str, part: &str, variables: &[(&str, &str)]) -> (String, String) {
    let mut command = child::command(test, part);
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "TERM"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// One event of each level, through a console.
fn print(console: Console) {
    let guard = start("console", console.layout(pattern("<%p>%n")));
    for level in Level::ALL {
        rollway::log!(logger: guard.logger(), level, "");
    }
    assert_eq!(guard.shutdown(PATIENCE).delivered(), 6);
}

/// The lines that the console printed: the test harness prints, too, and ends no line before it.
fn of_console(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.find('<').map(|at| &line[at..])).collect()
}

// A31: each level to its own stream.
#[test]
fn a_console_prints_each_level_to_its_stream() {
    const TEST: &str = "a_console_prints_each_level_to_its_stream";
    match child::part().as_deref() {
        Some("from") => return print(Console::stdout().stderr_from(Level::WARN)),
        Some("table") => {
            let streams = [Stream::Stderr, Stream::Stdout].into_iter().cycle();
            let table = Level::ALL.into_iter().zip(streams);
            return print(table.fold(Console::stdout(), |console, (level, stream)| {
                console.stream_from(level, stream)
            }));
        }
        _ => {}
    }
    let _watchdog = watchdog();
    let (out, err) = printed(TEST, "from", &[]);
    assert_eq!(of_console(&out), ["<TRACE>", "<DEBUG>", "<INFO>"]);
    assert_eq!(of_console(&err), ["<WARN>", "<ERROR>", "<FATAL>"]);
    let (out, err) = printed(TEST, "table", &[]);
    assert_eq!(of_console(&out), ["<DEBUG>", "<WARN>", "<FATAL>"]);
    assert_eq!(of_console(&err), ["<TRACE>", "<INFO>", "<ERROR>"]);
}

// The newline stands outside of the colour, as in Log4perl's coloured screen.
#[test]
fn a_console_colours_lines_by_level_where_colours_can_be_seen() {
    const TEST: &str = "a_console_colours_lines_by_level_where_colours_can_be_seen";
    let coloured = || {
        let colours = LevelColours::default();
        let colours = colours.with(Level::FATAL, "bold white on_red").unwrap();
        Console::stderr().level_colours(colours.with(Level::DEBUG, "").unwrap())
    };
    match child::part().as_deref() {
        Some("always") => return print(coloured().colours(Colours::Always)),
        Some("auto") => return print(coloured()),
        Some("layout") => {
            let guard = start("console", Console::stderr().layout(Painted));
            rollway::info!(logger: guard.logger(), "painted");
            guard.shutdown(PATIENCE);
            return;
        }
        _ => {}
    }
    let _watchdog = watchdog();
    let plain = "<TRACE>\n<DEBUG>\n<INFO>\n<WARN>\n<ERROR>\n<FATAL>\n";
    let bright = "\x1b[34m<TRACE>\x1b[0m\n<DEBUG>\n\x1b[32m<INFO>\x1b[0m\n\
                  \x1b[33m<WARN>\x1b[0m\n\x1b[91m<ERROR>\x1b[0m\n\x1b[1;37;41m<FATAL>\x1b[0m\n";
    let text = |part, variables| printed(TEST, part, variables).1;
    assert_eq!(text("always", &[("NO_COLOR", "1")]), bright);
    assert_eq!(text("auto", &[]), plain, "a pipe is no terminal");
    assert_eq!(text("auto", &[("CLICOLOR_FORCE", "1")]), bright);
    assert_eq!(text("auto", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), plain);
    // The colours of a layout go the same way.
    assert_eq!(text("layout", &[]), "painted\n");
    assert_eq!(text("layout", &[("CLICOLOR_FORCE", "1")]), "\x1b[1mpainted\x1b[0m\n");
}

/// A layout that brings colours.
#[derive(Clone)]
struct Painted;

impl rollway::layout::Layout for Painted {
    fn write(&mut self, event: &rollway::event::Event<'_>, out: &mut String) {
        out.push_str("\x1b[1m");
        event.message(out);
        out.push_str("\x1b[0m\n");
    }

    fn hash(&self) -> u64 {
        1
    }
}

#[test]
fn a_console_that_nobody_reads_holds_no_shutdown_beyond_its_deadline() {
    const TEST: &str = "a_console_that_nobody_reads_holds_no_shutdown_beyond_its_deadline";
    if child::part().is_some() {
        let guard = start("console", Console::stdout().mandatory(true));
        let line = "x".repeat(10_000);
        (0..100).for_each(|_| rollway::info!(logger: guard.logger(), "{line}"));
        let report = guard.shutdown(Duration::from_millis(300));
        // Not through the end of the test: the harness prints to the stream that nobody reads.
        match report.delivered() < 100 {
            true => std::process::abort(),
            false => loop {
                std::thread::park();
            },
        }
    }
    let _watchdog = watchdog();
    let mut command = child::command(TEST, "print");
    let program = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // The pipe stays open and full: nobody reads it.
    let mut program = Killed(program);
    wait_until("it ends", || program.0.try_wait().unwrap().is_some());
    use std::os::unix::process::ExitStatusExt;
    let ended = program.0.wait().unwrap();
    assert_eq!(ended.signal(), Some(6), "aborted by itself, and not by a failed assertion");
}

/// A child that does not outlive the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_writer_gets_whole_batches_and_is_flushed_behind_each() {
    let _watchdog = watchdog();
    let paper = Paper::default();
    let mut guard = rollway::builder()
        .wait(WaitStrategy::Manual)
        .appender("paper", Writer::new(paper.clone()).layout(pattern("%m%n")))
        .start()
        .unwrap();
    for number in 0..3 {
        rollway::info!(logger: guard.logger(), "{number}");
    }
    wait_until("it is written", || {
        guard.poll();
        guard.stats().appenders[0].delivered == 3
    });
    assert_eq!(paper.text(), "0\n1\n2\n");
    assert!(paper.0.lock().unwrap().flushes >= 1);
}

#[test]
fn a_writer_that_fails_or_panics_gets_the_batch_again() {
    let _watchdog = watchdog();
    let paper = Paper::default();
    {
        let mut sheet = paper.0.lock().unwrap();
        sheet.failures = vec![io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut];
        sheet.panics = 1;
    }
    let guard = start("paper", Writer::new(paper.clone()).layout(pattern("%m%n")));
    rollway::info!(logger: guard.logger(), "once");
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.delivered(), report.left()), (1, 0));
    assert_eq!(paper.text(), "once\n");
}

#[test]
fn what_a_writer_calls_invalid_becomes_a_dead_letter() {
    let _watchdog = watchdog();
    /// Refuses text with a word in it.
    struct Picky(Paper);
    impl Write for Picky {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match String::from_utf8_lossy(bytes).contains("poison") {
                true => Err(io::Error::new(io::ErrorKind::InvalidData, "poison")),
                false => self.0.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let paper = Paper::default();
    let guard = start("picky", Writer::new(Picky(paper.clone())).layout(pattern("%m%n")));
    for message in ["a", "poison", "b"] {
        rollway::info!(logger: guard.logger(), "{message}");
    }
    guard.flush().unwrap();
    let stats = guard.stats().appenders.remove(0);
    assert_eq!((stats.delivered, stats.dead_letters), (2, 1));
    assert_eq!(paper.text(), "a\nb\n");
}

#[test]
fn a_callback_that_panics_is_called_again_with_the_next_event() {
    let _watchdog = watchdog();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let of_closure = Arc::clone(&seen);
    let callback = Callback::each(move |event| {
        let mut message = String::new();
        event.message(&mut message);
        assert_ne!(message, "poison", "not this one");
        of_closure.lock().unwrap().push(message);
    });
    let guard = start("callback", callback);
    for message in ["a", "poison", "b"] {
        rollway::info!(logger: guard.logger(), "{message}");
    }
    guard.flush().unwrap();
    let stats = guard.stats().appenders.remove(0);
    assert_eq!((stats.delivered, stats.dead_letters, stats.failing), (2, 1, None));
    assert_eq!(*seen.lock().unwrap(), ["a", "b"], "each once");
}

#[test]
fn a_callback_may_say_what_becomes_of_an_event() {
    let _watchdog = watchdog();
    let (calls, refused) = (Arc::new(AtomicU64::new(0)), Memory::new());
    let of_closure = Arc::clone(&calls);
    let callback = Callback::try_each(move |event| {
        match (event.level, of_closure.fetch_add(1, Ordering::Relaxed)) {
            (Level::ERROR, _) => Err(AppendError::Rejected { source: "no errors".into() }),
            (_, 0) => Err(AppendError::Unavailable { source: io::Error::other("not yet") }),
            _ => Ok(()),
        }
    });
    let builder = rollway::builder().appender("callback", callback);
    let guard = builder.appender("all", refused.clone()).start().unwrap();
    rollway::info!(logger: guard.logger(), "a");
    rollway::error!(logger: guard.logger(), "b");
    guard.flush().unwrap();
    let stats = guard.stats().appenders.remove(0);
    assert_eq!((stats.delivered, stats.dead_letters), (1, 1));
    assert_eq!(refused.len(), 2, "the others get it all the same");
}

#[test]
fn a_callback_for_batches_counts_every_event_once() {
    let _watchdog = watchdog();
    let count = Arc::new(AtomicU64::new(0));
    let of_closure = Arc::clone(&count);
    let guard = start(
        "batches",
        Callback::batches(move |batch| {
            of_closure.fetch_add(batch.count(), Ordering::Relaxed);
            Ok(())
        }),
    );
    (0..1000).for_each(|number| rollway::info!(logger: guard.logger(), "{number}"));
    guard.shutdown(PATIENCE);
    assert_eq!(count.load(Ordering::Relaxed), 1000);
}

// F05, and what a test wants to know of an event.
#[test]
fn a_memory_keeps_the_last_events_and_counts_those_that_went() {
    let _watchdog = watchdog();
    let memory = Memory::new().events_max(2);
    let guard = start("memory", memory.clone());
    for number in 1..=3 {
        rollway::info!(logger: guard.logger(), target: "shop::till", number; "{number}");
    }
    assert!(memory.wait_for(3, PATIENCE));
    assert_eq!((memory.messages(), memory.dropped()), (vec!["2".to_owned(), "3".to_owned()], 1));
    let event = memory.replay().remove(1);
    assert_eq!((&*event.category, event.pair("number")), ("shop::till", Some("3")));
    assert!(event.file.ends_with("appenders.rs") && event.line > 0 && event.time_ns > 0);
    memory.reset();
    assert!(memory.is_empty() && memory.dropped() == 0);
    assert!(!memory.wait_for(1, Duration::ZERO));
    rollway::info!(logger: guard.logger(), "4");
    assert!(memory.wait_for(1, PATIENCE));
    assert_eq!(memory.messages(), ["4"]);
}

#[test]
fn an_event_in_memory_has_the_context_of_its_log_call() {
    let _watchdog = watchdog();
    let memory = Memory::new();
    let guard = start("memory", memory.clone());
    {
        let _user = rollway::mdc("user", "ada");
        let (_outer, _inner) = (rollway::ndc("request 7"), rollway::ndc("parsing"));
        rollway::info!(logger: guard.logger(), "within");
    }
    rollway::info!(logger: guard.logger(), "behind");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    let [within, behind] = memory.replay().try_into().unwrap();
    assert_eq!((within.context("user"), behind.context("user")), (Some("ada"), None));
    assert_eq!(within.ndc, ["request 7", "parsing"]);
    assert!(behind.ndc.is_empty());
}

#[test]
fn a_memory_keeps_what_it_has_when_another_configuration_comes() {
    let _watchdog = watchdog();
    let memory = Memory::new();
    let guard = start("before", memory.clone());
    rollway::info!(logger: guard.logger(), "1");
    let other = rollway::builder().appender("behind", memory.clone());
    guard.logger().reload(other).unwrap();
    rollway::info!(logger: guard.logger(), "2");
    guard.shutdown(PATIENCE);
    let guard = start("again", memory.clone());
    rollway::info!(logger: guard.logger(), "3");
    guard.shutdown(PATIENCE);
    assert_eq!(memory.messages(), ["1", "2", "3"]);
}

/// The files of a directory with their lines, by name.
fn files(dir: &Path) -> Vec<(String, Vec<String>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), lines(&entry.path())))
        .collect();
    files.sort();
    files
}

fn named(name: &str, lines: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), lines.iter().map(|line| line.to_string()).collect())
}

fn per_value(dir: &Path, key: Key) -> PerValue {
    PerValue::new(dir, key).files(message_file_at)
}

fn message_file_at(path: std::path::PathBuf) -> File {
    message_file(&path)
}

// F13: by category and by context key; a missing value goes nowhere, if that is wanted.
#[test]
fn each_value_has_a_file_of_its_own() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let guard = rollway::builder()
        .service("till")
        .appender("category", per_value(&path("category"), Key::Category))
        .appender("parts", per_value(&path("parts"), Key::CategoryParts(1)).extension(""))
        .appender("context", per_value(&path("context"), Key::context("user")))
        .appender(
            "pair",
            per_value(&path("pair"), Key::pair("order")).missing(Missing::Drop).extension("txt"),
        )
        .appender("service", per_value(&path("service"), Key::Service))
        .init()
        .unwrap();
    rollway::info!(target: "shop::till", order = 7; "a");
    let user = rollway::mdc("user", "ada");
    rollway::info!(target: "shop::bank", order = "7"; "b");
    drop(user);
    rollway::info!(target: "till", "c");
    let report = guard.shutdown(PATIENCE);
    assert!(report.appenders.iter().all(|appender| appender.delivered == 3), "{report:?}");
    let (till, bank) = ("shop%3A%3Atill.log", "shop%3A%3Abank.log");
    assert_eq!(
        files(&path("category")),
        [named(bank, &["b"]), named(till, &["a"]), named("till.log", &["c"])]
    );
    assert_eq!(files(&path("parts")), [named("bank", &["b"]), named("till", &["a", "c"])]);
    assert_eq!(
        files(&path("context")),
        [named("+none.log", &["a", "c"]), named("ada.log", &["b"])]
    );
    assert_eq!(files(&path("pair")), [named("7.txt", &["a", "b"])]);
    assert_eq!(files(&path("service")), [named("till.log", &["a", "b", "c"])]);
}

#[test]
fn files_of_values_are_closed_while_nothing_is_logged_and_go_on_afterwards() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let values = dir.path().join("values");
    for in_directory in [false, true] {
        let files_of_values = per_value(&values, Key::pair("v"));
        let builder = match in_directory {
            true => rollway::builder().journal_dir(dir.path().join("journal")),
            false => rollway::builder(),
        };
        let idle = Duration::from_millis(20);
        let guard =
            builder.appender("values", files_of_values.close_idle_after(idle)).start().unwrap();
        for round in 0..2 {
            for value in ["a", "b", "c"] {
                rollway::info!(logger: guard.logger(), v = value; "{in_directory} {round}");
            }
            guard.flush().unwrap();
            wait_until("all files are closed", || open_files(&values) == 0);
        }
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    }
    let all = ["false 0", "false 1", "true 0", "true 1"];
    assert_eq!(files(&values), ["a.log", "b.log", "c.log"].map(|name| named(name, &all)));
}

// N35.
#[test]
fn no_value_leads_out_of_the_directory_and_no_two_share_a_file() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let guard = start("values", per_value(&base, Key::pair("v")));
    let long = "v".repeat(5000);
    let values = [
        "../escaped",
        "..",
        ".",
        "/etc/passwd",
        "a/b",
        "a%2Fb",
        "a\0b",
        "a\nb",
        "+none",
        "+more",
        "~x",
        "${jndi:ldap}",
        "a.1",
        "a.log",
        "con",
        &long,
        &format!("{long}2"),
    ];
    for value in values {
        rollway::info!(logger: guard.logger(), v = value; "{}", value.escape_debug());
    }
    guard.flush().unwrap();
    let stats = guard.stats().appenders.remove(0);
    assert_eq!(stats.delivered, values.len() as u64);
    wait_until("the strange ones are told", || guard.stats().appenders[0].errors > 0);
    guard.shutdown(PATIENCE);
    let found = files(&base);
    let mut written: Vec<_> = found.iter().flat_map(|(_, lines)| lines.clone()).collect();
    assert_eq!((found.len(), written.len()), (values.len(), values.len()));
    assert!(found.iter().any(|(name, _)| name == "%2E.%2Fescaped.log"));
    written.sort();
    written.dedup();
    assert_eq!(written.len(), values.len());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside the directory");
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_written_through() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (base, victim) = (dir.path().join("base"), dir.path().join("victim"));
    fs::create_dir(&base).unwrap();
    fs::write(&victim, "theirs\n").unwrap();
    std::os::unix::fs::symlink(&victim, base.join("shop.log")).unwrap();
    let guard = start("values", per_value(&base, Key::Category));
    rollway::info!(logger: guard.logger(), target: "shop", "secret");
    rollway::info!(logger: guard.logger(), target: "bank", "fine");
    wait_until("it is refused", || {
        let failing = guard.stats().appenders.remove(0).failing;
        failing.is_some_and(|why| why.contains("shop.log is a symbolic link"))
    });
    assert_eq!(lines(&base.join("bank.log")), ["fine"], "the others get on");
    fs::remove_file(base.join("shop.log")).unwrap();
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&base.join("shop.log")), ["secret"]);
    assert_eq!(lines(&base.join("bank.log")), ["fine"], "once");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs\n");
}

/// How many files below a directory this process has open.
fn open_files(dir: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(dir))).count()
}

#[test]
fn files_are_emptied_once_in_a_run_if_that_is_wanted() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("0.log"), "of an earlier run\n").unwrap();
    let values = PerValue::new(dir.path(), Key::pair("v")).open_files_max(1);
    let values = values.files(|path| message_file(&path).truncate());
    let guard = start("values", values);
    for number in 0..6 {
        rollway::info!(logger: guard.logger(), v = number % 2; "{number}");
        guard.flush().unwrap();
    }
    guard.shutdown(PATIENCE);
    let expected = [named("0.log", &["0", "2", "4"]), named("1.log", &["1", "3", "5"])];
    assert_eq!(files(dir.path()), expected);
}

// F13: the time-out.
#[test]
fn a_file_that_was_not_written_for_long_is_closed() {
    let _watchdog = watchdog();
    for (time, open) in [(Duration::ZERO, 0), (PATIENCE, 5)] {
        let dir = tempfile::tempdir().unwrap();
        let values = per_value(dir.path(), Key::pair("v")).close_idle_after(time);
        let guard = start("values", values);
        for number in 0..5 {
            rollway::info!(logger: guard.logger(), v = number; "{number}");
            guard.flush().unwrap();
        }
        // The last one, too, which no event comes behind.
        wait_until("idle files are closed", || open_files(dir.path()) <= open);
        assert_eq!(open_files(dir.path()), open);
        guard.shutdown(PATIENCE);
        assert_eq!((files(dir.path()).len(), open_files(dir.path())), (5, 0));
    }
}

#[test]
fn more_values_than_may_be_open_lose_and_double_nothing() {
    let _watchdog = watchdog();
    for in_directory in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        let builder = rollway::builder().appender(
            "values",
            per_value(&base, Key::pair("v")).open_files_max(2).close_idle_after(Duration::ZERO),
        );
        let guard = match in_directory {
            true => builder.journal_dir(dir.path().join("journal")).rings_dir(dir.path()),
            false => builder,
        };
        let guard = guard.start().unwrap();
        for number in 0..200 {
            rollway::info!(logger: guard.logger(), v = number * 7 % 10; "{number}");
            if number % 50 == 0 {
                guard.flush().unwrap();
                assert!(open_files(&base) <= 2);
            }
        }
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        let found = files(&base);
        assert_eq!(found.len(), 10);
        for (name, lines) in found {
            let value: u32 = name.trim_end_matches(".log").parse().unwrap();
            let expected = (0..200).filter(|number| number * 7 % 10 == value);
            let expected: Vec<_> = expected.map(|number| number.to_string()).collect();
            assert_eq!(lines, expected, "value {value}, directory {in_directory}");
        }
    }
}

#[test]
fn values_beyond_the_bound_share_one_file_that_is_told_of() {
    let _watchdog = watchdog();
    for in_one_batch in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let guard = start("values", per_value(dir.path(), Key::pair("v")).files_max(2));
        for number in 0..20 {
            rollway::info!(logger: guard.logger(), v = number; "{number}");
            if !in_one_batch {
                guard.flush().unwrap();
            }
        }
        rollway::info!(logger: guard.logger(), v = 1; "again");
        wait_until("it is told", || guard.stats().appenders[0].errors == 1);
        guard.shutdown(PATIENCE);
        let others: Vec<_> = (2..20).map(|number| number.to_string()).collect();
        let expected = [
            ("+more.log".to_owned(), others),
            named("0.log", &["0"]),
            named("1.log", &["1", "again"]),
        ];
        assert_eq!(files(dir.path()), expected);
    }
}

#[test]
fn rolled_files_are_no_values_that_count() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    for (run, value) in ["a", "b", "c"].into_iter().enumerate() {
        let values = PerValue::new(dir.path(), Key::pair("v")).files_max(2);
        let values =
            values.files(|path| message_file(&path).rotate_at_bytes(1).keep_extension(true));
        let guard = start("values", values);
        for number in 0..5 {
            rollway::info!(logger: guard.logger(), v = value; "{run} {number}");
        }
        guard.shutdown(PATIENCE);
    }
    let names = files(dir.path()).into_iter().map(|(name, _)| name);
    let mut begins: Vec<_> =
        names.map(|name| name.split('.').next().unwrap_or_default().to_owned()).collect();
    begins.dedup();
    assert_eq!(begins, ["+more", "a", "b"]);
}

#[test]
fn a_file_of_a_value_takes_no_space_ahead_of_its_events() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = start("values", per_value(dir.path(), Key::pair("v")));
    rollway::info!(logger: guard.logger(), v = "a"; "one");
    guard.flush().unwrap();
    let found = fs::metadata(dir.path().join("a.log")).unwrap();
    assert!(found.blocks() * 512 <= 1 << 16, "{} blocks", found.blocks());
    guard.shutdown(PATIENCE);
}
