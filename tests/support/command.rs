//! The command, run in this process.

use std::path::Path;

use rollway::cli::{Exit, run};

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

/// Runs a command in this process.
pub fn ran<'a>(args: impl IntoIterator<Item = &'a str>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(["rollway"].into_iter().chain(args), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit, out: text(out), err: text(err) }
}

/// The messages that `rollway cat` shows of a journal that is in order.
pub fn messages(journal: &Path) -> Vec<String> {
    let ran = ran(["cat", "--pattern", "%m%n", journal.to_str().unwrap()]);
    assert_eq!((ran.exit, &*ran.err), (Exit::Ok, ""));
    ran.out.lines().map(str::to_owned).collect()
}
