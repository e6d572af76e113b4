//! Whatever an event says is text: nothing in it is looked up, run, opened or connected to.

mod support;

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rollway::Level;
use rollway::appender::File;
use rollway::layout::escape::unescape;
use rollway::layout::{Json, Logfmt, Pattern};

use support::{PATIENCE, child, lines, message_file, watchdog};

/// What the environment of the child says, and no log may.
const SECRET: &str = "9b1f4c-not-to-be-seen";
/// Nothing of this kind is done between the markers.
const FORBIDDEN: [&str; 6] = ["socket", "connect", "sendto", "execve", "fork", "vfork"];
/// Calls that name files: those of the logger alone.
const NAMING: [&str; 9] =
    ["open", "stat", "access", "mkdir", "rmdir", "unlink", "link", "rename", "creat"];

/// Hostile texts, with a port where somebody listens and a file that nobody is to make.
fn texts(port: &str, touched: &str) -> Vec<String> {
    vec![
        format!("${{jndi:ldap://127.0.0.1:{port}/x}}"),
        format!("${{${{lower:j}}ndi:rmi://127.0.0.1:{port}/x}}"),
        format!("http://127.0.0.1:{port}/"),
        format!("$(touch {touched})"),
        format!("`touch {touched}`"),
        format!("; touch {touched} #"),
        format!("{touched}"),
        format!("file://{touched}"),
        format!("@{touched}"),
        "${env:ROLLWAY_SECRET} $ROLLWAY_SECRET %ROLLWAY_SECRET%".to_owned(),
        "{{7*7}} #{7*7} <%= 7*7 %>".to_owned(),
        "{} {0} {text} {text:?} {:>1$}".to_owned(),
        "%n%X{}%m%d{%s}%F %s%n%x".to_owned(),
        "../../../../etc/passwd".to_owned(),
        "host.invalid".to_owned(),
    ]
}

/// Logs each text wherever an event has room for one.
fn log(texts: &[String]) {
    for text in texts {
        let _user = rollway::mdc(text, text);
        let _place = rollway::ndc(text);
        rollway::info!("{text}");
        rollway::error!(target: "${jndi:ldap://host.invalid/x}", text, "a.b" = text; "{}", text);
    }
}

/// The child: a file in each form, and hostile events between two calls that a trace shows.
fn log_between_markers() {
    let dir = child::variable("HOSTILE_DIR");
    let dir = Path::new(&dir);
    let every = "%d %p %c %m %k %X %X{a} %x %F %L %M %l %t %P %H %r %R%n";
    let file = |name: &str| File::new(dir.join(name));
    let guard = rollway::builder()
        .level(Level::TRACE)
        .flush_timeout(PATIENCE)
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .appender("message", message_file(&dir.join("message")))
        .appender("text", file("text").layout(Pattern::parse(every).unwrap()))
        .appender("json", file("json").layout(Json::full()))
        .appender("logfmt", file("logfmt").layout(Logfmt::full()))
        .init()
        .unwrap();
    // The thread gets its rings, and the files their first line.
    log(&["begun".to_owned()]);
    guard.flush().unwrap();
    mark("before");
    log(&texts(&child::variable("HOSTILE_PORT"), &child::variable("HOSTILE_FILE")));
    guard.flush().unwrap();
    mark("after");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

/// A system call that nobody else makes.
fn mark(name: &str) {
    assert!(!Path::new(&format!("/rollway-marker-{name}")).exists());
}

/// The calls of all threads in a trace between the two markers.
fn between_markers(trace: &str) -> Vec<&str> {
    let lines: Vec<&str> = trace.lines().collect();
    let position = |name: &str| lines.iter().position(|line| line.contains(name));
    let before = position("/rollway-marker-before").expect("the child has not begun");
    let after = position("/rollway-marker-after").expect("the child has not ended");
    // Each begins with the number of a thread. One that another thread interrupts has two lines, and
    // its name and what it names are in the first.
    let calls = lines[before + 1..after].iter();
    let calls = calls.filter_map(|line| line.split_once(' ').map(|(_, call)| call.trim_start()));
    calls.filter(|call| !call.starts_with("<... ")).collect()
}

#[test]
fn nothing_in_an_event_is_looked_up_run_opened_or_connected_to() {
    const TEST: &str = "nothing_in_an_event_is_looked_up_run_opened_or_connected_to";
    if child::part().is_some() {
        return log_between_markers();
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (trace, touched) = (dir.path().join("trace"), dir.path().join("touched"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let touched = touched.to_str().unwrap();

    let mut probe = Command::new("strace");
    probe.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
    let is_traced = probe.status().is_ok_and(|status| status.success());
    let child = child::command(TEST, "log");
    let mut command = match is_traced {
        true => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-s", "4096", "-o"]).arg(&trace).arg(child.get_program());
            strace
        }
        false => Command::new(child.get_program()),
    };
    command.args(child.get_args());
    command.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("HOSTILE_DIR", dir.path()).env("HOSTILE_PORT", &port).env("HOSTILE_FILE", touched);
    let status = command.env("ROLLWAY_SECRET", SECRET).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());

    // Everything is there as it was given, and nothing came of it.
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!Path::new(touched).exists());
    let given: Vec<_> =
        texts(&port, touched).into_iter().flat_map(|text| [text.clone(), text]).collect();
    let messages = lines(&dir.path().join("message"));
    assert_eq!(messages.iter().skip(2).map(|line| unescape(line)).collect::<Vec<_>>(), given);
    for name in ["text", "json", "logfmt"] {
        let found = fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(found.lines().count(), given.len() + 2, "{name}");
        assert!(!found.contains(SECRET), "{name}");
    }
    for (line, text) in lines(&dir.path().join("json")).iter().skip(2).zip(&given) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["message"].as_str(), Some(&**text));
    }
    if !is_traced {
        return println!(
            "skipped: strace is not here, or may not trace: system calls are not looked at"
        );
    }
    let trace = fs::read_to_string(&trace).unwrap();
    let calls = between_markers(&trace);
    assert!(calls.iter().any(|call| call.starts_with("write") || call.starts_with("pwrite")));
    for call in calls {
        let name = call.split('(').next().unwrap_or_default();
        assert!(!FORBIDDEN.iter().any(|forbidden| name.starts_with(forbidden)), "{call}");
        let path = call.split('"').nth(1).unwrap_or_default();
        if NAMING.iter().any(|naming| name.contains(naming)) && !path.is_empty() {
            let is_own = Path::new(path).starts_with(dir.path()) || path.starts_with("/proc/");
            assert!(is_own && path != touched, "{call}");
        }
    }
}
