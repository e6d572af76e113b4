//! A running process is asked and told things over its control socket, by files and by signals.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::journal::Position;
use rollway::{Builder, Control, InitError, Level};
use rustix::process::{Signal, getpid, kill_process};
use support::destination::Collector;
use support::{child, message_file, wait_until, watchdog};

fn builder(dir: &Path) -> Builder {
    rollway::builder()
        .service("shop")
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .control(Control::default())
}

/// A client that speaks the protocol.
struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    fn connect(path: &Path) -> Client {
        let mut client = Client { stream: BufReader::new(UnixStream::connect(path).unwrap()) };
        assert_eq!(client.line(), format!("rollway 1 shop {}", std::process::id()));
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The status and the lines of an answer.
    fn ask(&mut self, command: &str) -> Vec<String> {
        self.stream.get_mut().write_all(format!("{command}\n").as_bytes()).unwrap();
        let status = self.line();
        let count: usize = status.strip_prefix("ok ").map_or(0, |count| count.parse().unwrap());
        std::iter::once(status).chain((0..count).map(|_| self.line())).collect()
    }
}

/// Counts how often it was opened again and rotated.
#[derive(Clone, Default)]
struct Counted {
    reopened: Arc<AtomicU64>,
    rotated: Arc<AtomicU64>,
    settled: Position,
}

impl Open for Counted {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Counted { settled: place.begin, ..self.clone() })))
    }
}

impl Appender for Counted {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.settled = batch.next();
        Ok(())
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), AppendError> {
        self.reopened.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        self.rotated.fetch_add(1, Ordering::SeqCst);
        match self.rotated.load(Ordering::SeqCst) {
            1 => Ok(()),
            _ => Err(AppendError::Unavailable { source: std::io::Error::other("no room") }),
        }
    }
}

#[test]
fn a_running_process_is_asked_and_told_things() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let counted = Counted::default();
    let guard = builder(dir.path())
        .appender("counted", counted.clone())
        .appender("file", message_file(&dir.path().join("file")))
        .start()
        .unwrap();
    let path = dir.path().join("journal/control");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = Client::connect(&path);
    assert_eq!(client.ask("levels"), ["ok 1", "info *"]);
    assert_eq!(client.ask("level *=debug"), ["ok 0"]);
    assert!(guard.logger().is_enabled(Level::DEBUG));
    assert_eq!(client.ask("level shop::till=trace"), ["ok 0"]);
    let is_traced =
        || rollway::enabled!(logger: guard.logger(), target: "shop::till::drawer", Level::TRACE);
    assert!(is_traced());
    assert_eq!(client.ask("directives info,noisy=off")[0], "ok 0");
    assert_eq!(client.ask("levels"), ["ok 3", "info *", "off noisy", "trace shop::till"]);
    assert_eq!(client.ask("level shop::till=inherit"), ["ok 0"]);
    assert!(!is_traced());
    let wrong = client.ask("directives debug,noisy=lound");
    assert!(wrong[0].starts_with("error unknown `noisy=lound` at character 7: "), "{wrong:?}");
    assert_eq!(client.ask("levels"), ["ok 2", "info *", "off noisy"]);
    assert_eq!(client.ask("reopen"), ["ok 2", "counted", "file"]);
    assert_eq!(client.ask("reopen file"), ["ok 1", "file"]);
    assert_eq!(client.ask("rotate counted"), ["ok 1", "counted"]);
    assert_eq!(
        client.ask("rotate counted"),
        ["error failed appender `counted`: the destination is not available: no room"]
    );
    let counts = [&counted.reopened, &counted.rotated].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [1, 2]);
    assert_eq!(
        client.ask("reopen fiel"),
        ["error unknown there is no appender `fiel`; known are `counted`, `file`"]
    );
    rollway::info!(logger: guard.logger(), "delivered when the flush returns");
    assert_eq!(client.ask("flush"), ["ok 0"]);
    let text = fs::read_to_string(dir.path().join("file")).unwrap();
    assert_eq!(text, "delivered when the flush returns\n");
    assert_eq!(client.ask("flush L2"), ["ok 0"]);
    let stats = client.ask("stats");
    let stats: serde_json::Value = serde_json::from_str(&stats[1]).unwrap();
    assert_eq!((&stats["service"], &stats["reloads"]["done"]), (&"shop".into(), &0.into()));
    let refused = client.ask("reload");
    assert!(refused[0].starts_with("error refused nothing says where"), "{refused:?}");
    drop(guard);
    assert!(!path.exists());
    assert_eq!(client.line(), "");
}

#[test]
fn a_hostile_client_is_cut_off_and_keeps_nobody_waiting() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = builder(dir.path()).start().unwrap();
    let path = dir.path().join("journal/control");
    // Silent ones, one that sends no end of a line, one that does not read.
    let silent: Vec<_> = (0..5).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut endless = Client::connect(&path);
    let _ = endless.stream.get_mut().write_all(&[b'x'; 1 << 16]);
    assert_eq!(endless.line(), "error unknown a line has at most 4096 bytes");
    let deaf = UnixStream::connect(&path).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let asked: usize = (0..2000).filter_map(|_| (&deaf).write(b"stats\nhelp\n").ok()).sum();
    assert!(asked > 0);
    let mut client = Client::connect(&path);
    assert_eq!(client.ask("levels"), ["ok 1", "info *"]);
    assert_eq!(client.ask("le\u{7}vels")[0].chars().filter(|c| c.is_control()).count(), 0);
    rollway::info!(logger: guard.logger(), "logged all the same");
    guard.flush().unwrap();
    // There are eight places, and those who ended have given theirs back.
    let _eighth = Client::connect(&path);
    let mut late = String::new();
    UnixStream::connect(&path).unwrap().read_to_string(&mut late).unwrap();
    assert_eq!(late, "error busy 8 clients are connected; try again later\n");
    drop(silent);
    wait_until("there is a place again", || {
        let mut stream = BufReader::new(UnixStream::connect(&path).unwrap());
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.starts_with("rollway")
    });
}

#[test]
fn a_socket_of_a_dead_process_is_replaced_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/control");
    let at = |path: &Path| rollway::builder().service("shop").control(Control::at(path));
    let first = at(&path).start().unwrap();
    let error = at(&path).start().unwrap_err();
    assert!(matches!(&error, InitError::Control { source, .. }
        if source.to_string() == "another process listens there"));
    drop(first);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let second = at(&path).start().unwrap();
    Client::connect(&path);
    drop(second);
    fs::write(&path, "a file").unwrap();
    let error = at(&path).start().unwrap_err();
    assert!(matches!(&error, InitError::Control { source, .. }
        if source.to_string() == "another file is there"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    let long = dir.path().join("x".repeat(120));
    let error = at(&long).start().unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("at most 107 bytes"));
}

/// A configuration of one file with a level in it.
fn from_file(dir: &Path, appender: impl Open + 'static) -> Builder {
    let described = builder(dir).appender("a", appender);
    let (path, source) = (dir.join("level"), described.clone());
    described.reload_from(move || -> Result<Builder, String> {
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let level: Level = text.trim().parse().map_err(|error| format!("{error}"))?;
        Ok(source.clone().level(level))
    })
}

#[test]
fn a_watched_file_that_has_changed_is_taken_and_a_wrong_one_is_not() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("level");
    fs::write(&path, "info").unwrap();
    let (collector, _) = Collector::new();
    let watched = from_file(dir.path(), collector);
    let guard = watched.reload_on_change([&path], Duration::from_millis(20)).start().unwrap();
    let is_debug = || guard.logger().is_enabled(Level::DEBUG);
    assert!(!is_debug());
    fs::write(&path, "debug").unwrap();
    wait_until("the level is seen", is_debug);
    fs::write(&path, "loud").unwrap();
    wait_until("the wrong one is refused", || guard.stats().reloads.failed == 1);
    assert!(is_debug());
    // An editor that renames, and a link that is turned.
    fs::write(dir.path().join("new"), "trace").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    wait_until("the renamed one is seen", || guard.logger().is_enabled(Level::TRACE));
    assert_eq!(guard.stats().reloads.done, 2);
    assert_eq!(guard.stats().reloads.failing, None);
    drop(guard);
}

#[test]
fn signals_reload_and_reopen_and_are_given_back() {
    const NAME: &str = "signals_reload_and_reopen_and_are_given_back";
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    // Signals are the whole process's: a child has them for itself.
    if child::part().is_none() {
        let mut command = child::command(NAME, "listen");
        let status = command.env("DIR", dir.path()).status().unwrap();
        // By then the signal does what it does to everybody.
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(Signal::USR1.as_raw()));
        return;
    }
    let dir = std::path::PathBuf::from(child::variable("DIR"));
    let counted = [Counted::default(), Counted::default()];
    let reopened = || counted.each_ref().map(|one| one.reopened.load(Ordering::SeqCst));
    fs::write(dir.join("level"), "debug").unwrap();
    let one = from_file(&dir, counted[0].clone()).signals(true).start().unwrap();
    let two = rollway::builder().appender("b", counted[1].clone()).signals(true).start().unwrap();
    kill_process(getpid(), Signal::USR1).unwrap();
    wait_until("both are opened again", || reopened() == [1, 1]);
    assert!(!one.logger().is_enabled(Level::DEBUG));
    kill_process(getpid(), Signal::HUP).unwrap();
    wait_until("both are opened again", || reopened() == [2, 2]);
    assert!(one.logger().is_enabled(Level::DEBUG));
    assert_eq!(two.stats().reloads.failed, 0);
    drop(one);
    kill_process(getpid(), Signal::HUP).unwrap();
    wait_until("the other is opened again", || reopened() == [2, 3]);
    drop(two);
    // Whoever started the tests may have SIGHUP ignored.
    kill_process(getpid(), Signal::USR1).unwrap();
    std::thread::sleep(support::PATIENCE);
}

#[test]
fn an_engine_ends_while_a_signal_is_still_being_handled() {
    const NAME: &str = "an_engine_ends_while_a_signal_is_still_being_handled";
    let _watch = watchdog();
    if child::part().is_none() {
        assert!(child::command(NAME, "end").status().unwrap().success());
        return;
    }
    for _ in 0..100 {
        let counted = Counted::default();
        let guard = rollway::builder().appender("a", counted.clone()).signals(true);
        let guard = guard.start().unwrap();
        kill_process(getpid(), Signal::USR1).unwrap();
        wait_until("it is opened again", || counted.reopened.load(Ordering::SeqCst) == 1);
        drop(guard);
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_command_speaks_to_the_process_that_it_is_told_of() {
    use rollway::cli::{Exit, run};

    let dir = tempfile::tempdir().unwrap();
    let file = message_file(&dir.path().join("file"));
    let guard = builder(dir.path()).appender("file", file).start().unwrap();
    let journal = dir.path().join("journal");
    let ctl = |arguments: &[&str]| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let words = ["rollway", "ctl"].iter().chain(arguments);
        let exit = run(words, &mut out, &mut err);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let of_journal = ["--journal", journal.to_str().unwrap()];
    let ask = |command: &[&str]| ctl(&[&of_journal[..], command].concat());
    assert_eq!(ask(&["levels"]), (Exit::Ok, "info *\n".to_owned(), String::new()));
    assert_eq!(ask(&["level", "*=trace"]).0, Exit::Ok);
    assert!(guard.logger().is_enabled(Level::TRACE));
    assert_eq!(ask(&["reopen"]).1, "file\n");
    let (exit, _, err) = ask(&["level", "*=loud"]);
    assert!(exit == Exit::Usage && err.contains("unknown level `loud`"), "{err}");
    assert_eq!(ask(&["reload"]).0, Exit::Config);
    let stats = ask(&["stats"]).1;
    assert!(stats.contains("\nservice shop\n") && stats.contains("appenders.file.state running"));
    assert!(ask(&["--json", "stats"]).1.starts_with('{'));
    let (exit, _, err) = ctl(&["--socket", "/no/such/socket", "stats"]);
    assert!(exit == Exit::NoInput && err.contains("no process listens there"), "{err}");
}

#[cfg(feature = "cli")]
#[test]
fn the_command_finds_the_socket_of_a_directory_and_lists_several() {
    use rollway::cli::Exit;
    use support::command::ran;

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let whole = text(dir.path());
    let missing = ran(["ctl", "--journal", &text(&at("nowhere")), "stats"]);
    assert_eq!(missing.exit, Exit::NoInput);
    assert!(
        missing.err.contains("/nowhere: name the journal directory of a process: "),
        "{}",
        missing.err
    );
    let empty = ran(["ctl", &whole, "stats"]);
    assert_eq!(empty.exit, Exit::NoInput);
    assert!(empty.err.contains(&format!("{whole}: no process has its control socket here")));
    assert!(empty.err.contains("--socket PATH"), "{}", empty.err);

    let one = builder(&at("one")).start().unwrap();
    for place in [at("one/journal"), at("one"), dir.path().to_owned()] {
        let ran = ran(["ctl", &text(&place), "levels"]);
        assert_eq!((ran.exit, &*ran.out, &*ran.err), (Exit::Ok, "info *\n", ""), "{place:?}");
    }
    // What a killed process left is in nobody's way.
    fs::create_dir_all(at("dead/journal")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("dead/journal/control")).unwrap());
    assert_eq!(ran(["ctl", "--journal", &whole, "levels"]).exit, Exit::Ok);
    let dead = ran(["ctl", "--journal", &text(&at("dead/journal")), "levels"]);
    assert_eq!(dead.exit, Exit::NoInput);
    assert!(dead.err.contains("dead/journal/control: no process listens there"), "{}", dead.err);

    let two = builder(&at("two")).start().unwrap();
    let pid = std::process::id();
    let listed = ["one", "two"].map(|name| format!("{whole}/{name}/journal/control\tshop {pid}\n"));
    let several = ran(["ctl", "--journal", &whole, "level", "*=debug"]);
    assert_eq!((several.exit, &*several.out), (Exit::Usage, ""));
    assert!(several.err.starts_with(&listed.concat()), "{}", several.err);
    assert!(several.err.contains("say which of these with --socket PATH"), "{}", several.err);
    assert!(!one.logger().is_enabled(Level::DEBUG) && !two.logger().is_enabled(Level::DEBUG));
    let shown = ran(["ctl", &whole]);
    assert_eq!((shown.exit, &*shown.out), (Exit::Ok, &*listed.concat()));
}

/// A running `rollway master` that is killed when the test fails.
#[cfg(feature = "cli")]
struct Master(std::process::Child);

#[cfg(feature = "cli")]
impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(feature = "cli")]
#[test]
fn a_running_master_is_told_to_reload_rotate_and_reopen_and_asked_for_its_counters() {
    use std::process::{Command, Stdio};

    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let rollway = || Command::new(env!("CARGO_BIN_EXE_rollway"));
    let describe = |pattern: &str, more: &str| {
        let text = format!(
            "[master]\nlisten = 'localhost:0'\njournal = 'DIR/journal'\n\
             [appenders.all]\ntype = 'file'\npath = 'DIR/all.log'\nroll_at_start = true\n\
             layout = {{ type = 'pattern', pattern = '{pattern}' }}\n{more}"
        );
        fs::write(at("master.toml"), text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    };
    describe("%m%n", "");
    let child = rollway()
        .args(["master", "--json", "--config"])
        .arg(at("master.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut master = Master(child.unwrap());
    let mut line = String::new();
    BufReader::new(master.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = listening["listening"].as_str().unwrap();
    let send = |text: &str| {
        let mut send = rollway()
            .args(["send", "--to", address])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        send.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(send.wait().unwrap().success());
    };
    let ctl = |command: &[&str]| {
        let output = rollway().args(["ctl", "--journal"]).arg(at("journal")).args(command).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let text_of = |name: &str| fs::read_to_string(at(name)).unwrap();

    send("one\n");
    assert_eq!(ctl(&["flush"]).0, 0);
    assert_eq!(text_of("all.log"), "one\n");
    assert_eq!(ctl(&["rotate", "all"]), (0, "all\n".to_owned(), String::new()));
    fs::rename(at("all.log.1"), at("taken.log")).unwrap();
    send("two\n");
    assert_eq!(ctl(&["flush"]).0, 0);
    fs::rename(at("all.log"), at("moved.log")).unwrap();
    assert_eq!(ctl(&["reopen"]), (0, "all\n".to_owned(), String::new()));
    send("three\n");
    assert_eq!(ctl(&["flush"]).0, 0);
    assert_eq!(["taken.log", "moved.log", "all.log"].map(text_of), ["one\n", "two\n", "three\n"]);

    describe("- %m%n", "[appenders.more]\ntype = 'null'\nthreshold = 'error'\n");
    let (code, out, err) = ctl(&["reload"]);
    assert!(code == 0 && out.contains("more") && out.contains("all"), "{out}{err}");
    send("four\n");
    assert_eq!(ctl(&["flush"]).0, 0);
    assert!(text_of("all.log").ends_with("- four\n"), "{}", text_of("all.log"));
    // What is wrong is refused whole, and told.
    describe("%q%n", "");
    let (code, _, err) = ctl(&["reload"]);
    assert!(code == 78 && err.contains("unknown conversion `%q`"), "{err}");
    describe("%m%n", "[levels.info]\nvalue = 9\n");
    assert_eq!(ctl(&["reload"]).0, 78);
    // Levels are the workers'.
    let (code, _, err) = ctl(&["level", "*=debug"]);
    assert!(code == 2 && err.contains("set levels in the workers"), "{err}");
    let (code, out, _) = ctl(&["--json", "stats"]);
    let stats: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &stats["reloads"]["done"]), (0, &1.into()), "{out}");
    assert_eq!(stats["reloads"]["failed"], 2, "{out}");

    let pid = rustix::process::Pid::from_child(&master.0);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(master.0.wait().unwrap().code(), Some(0));
}
