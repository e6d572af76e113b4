//! What a program did to its files, recorded by strace: each write with its bytes, each sync, and the
//! inode of each open file that it asked for.
//!
//! strace prints a call on one line or, if another thread's call came between, on two. A call takes
//! effect at its end; a sync covers what ended before it began.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::case::Failure;

const CALLS: &str = "trace=openat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,fsync,\
    fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,statx,fstat,newfstatat";
/// The longest write that is recorded whole.
const WRITE_BYTES_MAX: &str = "8388608";

/// One change of files below a directory, whose names are relative to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// A file is made, or emptied if it is there.
    Create {
        name: String,
        truncate: bool,
    },
    MakeDir {
        name: String,
    },
    /// At an offset, or at the end of the file.
    Write {
        name: String,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    SetLength {
        name: String,
        bytes: u64,
    },
    /// Space behind the end is reserved and counts as zeroes.
    Extend {
        name: String,
        bytes: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        name: String,
    },
    /// A file or a directory.
    Sync {
        name: String,
    },
    /// Nothing: the program learned the inode of the file.
    Learn {
        name: String,
        inode: u64,
    },
}

/// A change with its lines in the trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) begun: usize,
    pub(crate) ended: usize,
    pub(crate) change: Change,
}

/// Whether strace can be had here.
pub(crate) fn is_possible() -> bool {
    let mut strace = Command::new("strace");
    let run = strace.args(["-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// The command line that records what `program` does into `into`.
pub(crate) fn recording(program: &Command, into: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-x", "-v", "-s", WRITE_BYTES_MAX, "-e", CALLS, "-o"]).arg(into);
    strace.arg(program.get_program()).args(program.get_args());
    strace
}

/// The changes below `dir` in a recorded trace, in the order of their ends.
pub(crate) fn read(trace: &Path, dir: &Path) -> Result<Vec<Step>, Failure> {
    let text = fs::read(trace)?;
    let dir = format!("{}/", dir.display());
    let mut unfinished = HashMap::new();
    let mut steps = Vec::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line).map_err(io::Error::other)?;
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let (begun, call) = if let Some(front) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread.to_owned(), (at, front.to_owned()));
            continue;
        } else if call.starts_with("<... ") {
            let Some((begun, front)) = unfinished.remove(thread) else { continue };
            let rest = call.split_once(" resumed>").map_or("", |(_, rest)| rest);
            (begun, format!("{front}{rest}"))
        } else {
            (at, call.to_owned())
        };
        let change = change_of(&call, &dir).map_err(|what| format!("line {}: {what}", at + 1))?;
        steps.extend(change.map(|change| Step { begun, ended: at, change }));
    }
    Ok(steps)
}

/// The change that a call makes below `dir`; `None` if it failed or touched something else.
fn change_of(call: &str, dir: &str) -> Result<Option<Change>, String> {
    let Some((name, rest)) = call.split_once('(') else { return Ok(None) };
    let Some((arguments, result)) = rest.rsplit_once(") ") else { return Ok(None) };
    let result = result.trim_start().trim_start_matches("= ");
    if result.starts_with('-') || result.starts_with('?') {
        return Ok(None);
    }
    let arguments = split(arguments);
    let argument = |at: usize| arguments.get(at).copied().unwrap_or("");
    // A descriptor is printed as `7</the/path>`, a path as a string.
    let of_descriptor = |at: usize| {
        let path = argument(at).split_once('<')?.1.strip_suffix('>')?;
        if path == dir.trim_end_matches('/') { Some("") } else { path.strip_prefix(dir) }
            .map(str::to_owned)
    };
    let of_path = |at: usize| {
        let path = String::from_utf8(bytes_of(argument(at)).ok()?).ok()?;
        path.strip_prefix(dir).map(str::to_owned)
    };
    let number = |at: usize| {
        let text = argument(at);
        text.parse::<u64>().map_err(|_| format!("`{text:.40}` is not a number"))
    };
    let change = match name {
        "openat" if argument(2).contains("O_CREAT") => of_path(1)
            .map(|name| Change::Create { name, truncate: argument(2).contains("O_TRUNC") }),
        "mkdir" => of_path(0).map(|name| Change::MakeDir { name }),
        "mkdirat" => of_path(1).map(|name| Change::MakeDir { name }),
        "write" | "pwrite64" => match of_descriptor(0) {
            Some(name) => {
                let mut bytes = bytes_of(argument(1))?;
                let written = result.split(' ').next().and_then(|count| count.parse().ok());
                bytes.truncate(written.unwrap_or(0));
                let at = if name_is_positioned(call) { Some(number(3)?) } else { None };
                Some(Change::Write { name, at, bytes })
            }
            None => None,
        },
        "writev" | "pwritev" | "pwritev2" if of_descriptor(0).is_some() => {
            return Err(format!("{name} is not understood"));
        }
        "ftruncate" => match of_descriptor(0) {
            Some(name) => Some(Change::SetLength { name, bytes: number(1)? }),
            None => None,
        },
        "fallocate" if argument(1) == "0" => match of_descriptor(0) {
            Some(name) => Some(Change::Extend { name, bytes: number(2)? + number(3)? }),
            None => None,
        },
        "fsync" | "fdatasync" => of_descriptor(0).map(|name| Change::Sync { name }),
        // By name it may be any file's.
        "statx" | "newfstatat" if argument(1) != "\"\"" => None,
        "statx" | "fstat" | "newfstatat" => {
            of_descriptor(0).zip(inode_of(call)).map(|(name, inode)| Change::Learn { name, inode })
        }
        "rename" => renamed(of_path(0), of_path(1)),
        "renameat" | "renameat2" => renamed(of_path(1), of_path(3)),
        "unlink" => of_path(0).map(|name| Change::Unlink { name }),
        "unlinkat" => of_path(1).map(|name| Change::Unlink { name }),
        _ => None,
    };
    Ok(change)
}

fn name_is_positioned(call: &str) -> bool {
    call.starts_with("pwrite64")
}

fn renamed(from: Option<String>, to: Option<String>) -> Option<Change> {
    Some(Change::Rename { from: from?, to: to? })
}

/// The inode in what a call tells of a file.
fn inode_of(call: &str) -> Option<u64> {
    let behind = call.split_once("_ino=")?.1;
    behind.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// The arguments of a call: commas in strings and in paths do not count.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut in_string, mut in_path, mut escaped) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' if !in_path => in_string = !in_string,
            b'<' if !in_string => in_path = true,
            b'>' if !in_string => in_path = false,
            b',' if !in_string && !in_path => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

/// The bytes of a string as strace prints it.
fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = quoted.ok_or_else(|| format!("`{text:.40}` is not a whole string"))?;
    let mut bytes = Vec::new();
    let mut rest = inner.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let [kind, behind @ ..] = rest else { return Err("an escape is cut short".to_owned()) };
        rest = behind;
        bytes.push(match kind {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                rest = rest.get(2..).unwrap_or(&[]);
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                byte.ok_or("an escape is no number")?
            }
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
                let digits = rest[..more].iter().fold(u32::from(kind - b'0'), |value, digit| {
                    value * 8 + u32::from(digit - b'0')
                });
                rest = &rest[more..];
                digits as u8
            }
            other => *other,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(trace: &str) -> Vec<Step> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        fs::write(&path, trace).unwrap();
        read(&path, Path::new("/tmp/x")).unwrap()
    }

    #[test]
    fn writes_are_read_with_their_bytes_and_places() {
        let found = steps(
            "12 pwrite64(5</tmp/x/seg, ment>, \"\\x52\\x00\\n\", 3, 64) = 3\n\
             12 write(6</tmp/x/f>, \"a \\\"b\\\", c\\0\", 9) = 4\n\
             12 write(6</tmp/y>, \"elsewhere\", 9) = 9\n\
             12 write(6</tmp/x/f>, \"refused\", 7) = -1 ENOSPC (No space left on device)\n",
        );
        let changes: Vec<_> = found.into_iter().map(|step| step.change).collect();
        let write = |name: &str, at, bytes: &[u8]| Change::Write {
            name: name.to_owned(),
            at,
            bytes: bytes.to_vec(),
        };
        assert_eq!(changes, [write("seg, ment", Some(64), b"R\0\n"), write("f", None, b"a \"b")]);
    }

    #[test]
    fn the_inode_of_an_open_file_is_learned() {
        let found = steps(
            "1 statx(5</tmp/x/f>, \"\", AT_EMPTY_PATH, STATX_ALL, {stx_mask=0, stx_ino=77, stx_size=1}) = 0\n\
             1 fstat(6</tmp/x/g>, {st_dev=makedev(0xfe, 0), st_ino=78, st_mode=S_IFREG|0600}) = 0\n\
             1 newfstatat(7</tmp/x>, \"h\", {st_dev=makedev(0xfe, 0), st_ino=79}, 0) = 0\n",
        );
        let changes: Vec<_> = found.into_iter().map(|step| step.change).collect();
        let learn = |name: &str, inode| Change::Learn { name: name.to_owned(), inode };
        assert_eq!(changes, [learn("f", 77), learn("g", 78)]);
    }

    #[test]
    fn a_call_on_two_lines_ends_on_the_second() {
        let found = steps(
            "1 fdatasync(6</tmp/x/f> <unfinished ...>\n\
             2 rename(\"/tmp/x/a\", \"/tmp/x/b\") = 0\n\
             1 <... fdatasync resumed>)               = 0\n\
             1 fsync(9</tmp/x>)   = 0\n",
        );
        let sync = |name: &str| Change::Sync { name: name.to_owned() };
        let rename = Change::Rename { from: "a".to_owned(), to: "b".to_owned() };
        assert_eq!(
            found,
            [
                Step { begun: 1, ended: 1, change: rename },
                Step { begun: 0, ended: 2, change: sync("f") },
                Step { begun: 3, ended: 3, change: sync("") },
            ]
        );
    }
}
