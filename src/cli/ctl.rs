//! `rollway ctl`: asks and tells a running process things, over its control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::args::CtlArgs;
use super::exit::{Exit, Failure};
use crate::engine::control;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 2 << 20;
/// How long a socket may take to greet that nobody named.
const GREETING: Duration = Duration::from_secs(1);
/// Directories below the one that is named in which a socket is looked for.
const DIRS_MAX: usize = 4096;
/// How deep these lie: the journals of a cluster's processes are in `members/1` and so on.
const DEPTH_MAX: u32 = 2;
/// What a greeting begins with, with the version of the protocol.
const GREETS: &str = "rollway 1 ";

pub(super) fn run(
    args: &CtlArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let (dir, command) = place_and_command(args);
    let path = match (&args.socket, dir) {
        (Some(path), _) => path.clone(),
        (None, dir) => {
            let found = match dir {
                Some(dir) => sockets_in(dir)?,
                None => sockets_of_user(),
            };
            match (&*found, command) {
                ([path], [_, ..]) if dir.is_some() => path.clone(),
                (_, command) => return list(dir, found, command, out, err),
            }
        }
    };
    if command.is_empty() {
        let what = "a command is missing; `rollway ctl … help` has those that there are";
        return Err(Failure::new(Exit::Usage, what));
    }
    let timeout = Duration::from_secs_f64(args.timeout);
    let mut connection =
        Connection::open(&path, timeout).map_err(|error| unreached(&path, &error))?;
    let answer = connection.ask(&command.join(" ")).map_err(|error| unreached(&path, &error))?;
    match answer {
        Answer::Done(lines) => {
            let is_stats = command.first().is_some_and(|command| command == "stats");
            let lines = if is_stats && !args.json { shown(&lines) } else { lines };
            let written = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
            written.and_then(|()| out.flush()).map_err(Failure::of_output)?;
            Ok(Exit::Ok)
        }
        Answer::Not { kind, message } => {
            let exit = match &*kind {
                "unknown" => Exit::Usage,
                "refused" => Exit::Config,
                _ => Exit::Io,
            };
            Err(Failure::new(exit, message))
        }
    }
}

/// The directory that is named, and the words that go to the process. A first word with a `/` in it
/// is a directory: no command has one.
fn place_and_command(args: &CtlArgs) -> (Option<&Path>, &[String]) {
    match (&args.journal, &*args.command) {
        (Some(dir), command) => (Some(dir), command),
        (None, [dir, command @ ..]) if args.socket.is_none() && dir.contains('/') => {
            (Some(Path::new(dir)), command)
        }
        (None, command) => (None, command),
    }
}

/// Lists the sockets that answer. An error where a command wants one of them, or there is none.
fn list(
    dir: Option<&Path>,
    found: Vec<PathBuf>,
    command: &[String],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let mut answering = Vec::new();
    for path in found {
        match Connection::open(&path, GREETING) {
            Ok(connection) => answering.push((path, connection.greeting)),
            // Somebody named its directory, and there is no other.
            Err(error) if dir.is_some_and(|dir| dir.join(control::FILE) == path) => {
                return Err(unreached(&path, &error));
            }
            Err(_) => {}
        }
    }
    let is_wanted = !command.is_empty();
    let to: &mut dyn Write = if is_wanted { err } else { out };
    for (path, greeting) in &answering {
        writeln!(to, "{}\t{greeting}", path.display()).map_err(Failure::of_output)?;
    }
    match (is_wanted, answering.is_empty(), dir) {
        (false, false, _) => Ok(Exit::Ok),
        (true, false, _) => Err(Failure::new(Exit::Usage, "say which of these with --socket PATH")),
        (_, true, None) => Err(Failure::new(
            Exit::NoInput,
            "no control socket was found; name one with --socket PATH, or the process's journal with \
             --journal DIR",
        )),
        (_, true, Some(dir)) => Err(Failure::new(
            Exit::NoInput,
            format!(
                "{}: no process has its control socket here; is it running, with [control] in its \
                 configuration? Where that names another path, give it as --socket PATH",
                dir.display()
            ),
        )),
    }
}

/// The control sockets in a directory: its own, if it is a journal's; else those of the journals below.
fn sockets_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let own = dir.join(control::FILE);
    if own.symlink_metadata().is_ok() {
        return Ok(vec![own]);
    }
    let unread = |error: io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Exit::NoInput,
            _ => Exit::Io,
        };
        let what = format!("{}: name the journal directory of a process", dir.display());
        Failure::caused(exit, what, &error)
    };
    let mut found = Vec::new();
    let mut open = vec![(dir.to_owned(), 0)];
    let mut seen = 0;
    while let Some((dir, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(unread(error)),
            // One that ended, or that is somebody else's.
            Err(_) => continue,
        };
        // What is no socket does not greet.
        found.extend(Some(dir.join(control::FILE)).filter(|path| path.symlink_metadata().is_ok()));
        let below =
            entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for entry in below {
            seen += 1;
            if depth < DEPTH_MAX && seen <= DIRS_MAX {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    found.sort();
    // Two would be listed; one that does not answer is not in the way of one that does.
    if found.len() > 1 {
        found.retain(|path| Connection::open(path, GREETING).is_ok());
    }
    Ok(found)
}

/// The sockets of this user's processes without journals.
fn sockets_of_user() -> Vec<PathBuf> {
    let dir = control::runtime_dir().and_then(|dir| std::fs::read_dir(dir).ok());
    let mut found: Vec<_> = dir.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn unreached(path: &Path, error: &io::Error) -> Failure {
    let (exit, remedy) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            (Exit::NoInput, "no process listens there; is it running, and has it a control socket?")
        }
        io::ErrorKind::PermissionDenied => (Exit::Io, "only its own user and root may ask it"),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            (Exit::Io, "no answer came in time; give it more with --timeout")
        }
        _ => (Exit::Io, "it cannot be asked"),
    };
    Failure::caused(exit, format!("{}: {remedy}", path.display()), error)
}

/// What came of a command.
enum Answer {
    Done(Vec<String>),
    Not { kind: String, message: String },
}

/// A conversation with a process.
struct Connection {
    stream: UnixStream,
    lines: BufReader<io::Take<UnixStream>>,
    /// Who it is: its service and its process id.
    greeting: String,
}

impl Connection {
    fn open(path: &Path, timeout: Duration) -> io::Result<Connection> {
        let stream = UnixStream::connect(path)?;
        // Zero would mean for ever.
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        stream.set_read_timeout(timeout)?;
        stream.set_write_timeout(timeout)?;
        let lines = BufReader::new(stream.try_clone()?.take(ANSWER_BYTES_MAX));
        let mut connection = Connection { stream, lines, greeting: String::new() };
        let greeting = connection.line()?;
        match (greeting.strip_prefix(GREETS), greeting.strip_prefix("error ")) {
            (Some(who), _) => connection.greeting = who.to_owned(),
            (None, Some(refusal)) => return Err(io::Error::other(refusal.to_owned())),
            (None, None) => {
                let what = format!("`{greeting}` is no greeting of this version of the protocol");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(connection)
    }

    fn ask(&mut self, command: &str) -> io::Result<Answer> {
        if command.contains('\n') {
            let what = "a command is one line".to_owned();
            return Ok(Answer::Not { kind: "unknown".to_owned(), message: what });
        }
        self.stream.write_all(format!("{command}\n").as_bytes())?;
        let status = self.line()?;
        if let Some(refusal) = status.strip_prefix("error ") {
            let (kind, message) = refusal.split_once(' ').unwrap_or((refusal, ""));
            return Ok(Answer::Not { kind: kind.to_owned(), message: message.to_owned() });
        }
        let count = status.strip_prefix("ok ").and_then(|count| count.parse::<u64>().ok());
        let Some(count) = count else {
            let what = format!("`{status}` is no answer");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        (0..count).map(|_| self.line()).collect::<io::Result<_>>().map(Answer::Done)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        match line.strip_suffix('\n') {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up")),
        }
    }
}

/// An object of counters as lines of names and values.
fn shown(lines: &[String]) -> Vec<String> {
    let mut shown = Vec::new();
    for line in lines {
        match serde_json::from_str(line) {
            Ok(value) => show("", &value, &mut shown),
            Err(_) => shown.push(line.clone()),
        }
    }
    shown
}

fn show(name: &str, value: &Value, out: &mut Vec<String>) {
    let below =
        |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(part, value)| show(&below(part), value, out))
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let known = item.get("name").and_then(Value::as_str);
                show(&below(known.unwrap_or(&at.to_string())), item, out);
            }
        }
        Value::Null => {}
        Value::String(text) => out.push(format!("{name} {text}")),
        value => out.push(format!("{name} {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_shown_by_their_paths() {
        let line = r#"{"a":1,"b":{"c":"x y"},"appenders":[{"name":"file","n":2}],"none":null}"#;
        let mut lines = shown(&[line.to_owned()]);
        lines.sort();
        assert_eq!(lines, ["a 1", "appenders.file.n 2", "appenders.file.name file", "b.c x y"]);
    }
}
