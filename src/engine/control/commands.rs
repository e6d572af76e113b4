//! The commands of the control socket, and their answers.

use std::fmt;

use crate::engine::Durability;
use crate::engine::outlet::Command;
use crate::level::{LevelFilter, Levels};
use crate::route::Directives;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The name of the root among the categories.
const ROOT: &str = "*";

const HELP: [&str; 10] = [
    "levels: the categories that have a level",
    "level CATEGORY=LEVEL: set it; * is the root, LEVEL is trace … fatal, off or inherit",
    "directives TEXT: set levels, as in info,shop::till=debug",
    "reload: read the configuration again, and take it",
    "reopen [APPENDER]: have an appender, or each one, open its destination again",
    "rotate [APPENDER]: have an appender, or each one, begin a new file if it rotates",
    "flush [L2]: return when everything logged before is delivered; with L2, so that it survives a power failure",
    "release COMPOSITE: have a buffer or a limit hand on what it holds",
    "stats: the counters, as one JSON object",
    "help: these lines",
];

/// Why a command was not carried out. Variants are the kinds of the protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// There is no such thing; the message has the remedy.
    Unknown(String),
    /// It was understood and not done; everything is as before.
    Refused(String),
    /// It was not done in time, or not wholly.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refusal::Unknown(why) | Refusal::Refused(why) | Refusal::Failed(why)) = self;
        why.fmt(f)
    }
}

/// What a client may ask for and change.
pub(crate) trait Controlled: Send + Sync {
    /// From which level on events are taken.
    fn levels(&self) -> Result<Levels, Refusal>;

    /// Sets the level of a category, or takes it away.
    fn set_level(&self, category: &str, level: Option<LevelFilter>) -> Result<(), Refusal>;

    /// Sets the levels that directives name.
    fn apply(&self, directives: &Directives) -> Result<(), Refusal>;

    /// Takes the configuration again. Says what changed.
    fn reload(&self) -> Result<String, Refusal>;

    /// Has one appender, or all, do something. Says which did.
    fn command(&self, command: Command, appender: Option<&str>) -> Result<Vec<String>, Refusal>;

    /// Delivers what was logged before.
    fn flush(&self, durability: Durability) -> Result<(), Refusal>;

    /// Has a composite hand on what it holds.
    fn release(&self, composite: &str) -> Result<(), Refusal>;

    /// The counters, as a JSON object.
    fn stats(&self) -> String;
}

/// Carries out one line, and has its answer.
pub(super) fn answer(controlled: &dyn Controlled, line: &[u8]) -> String {
    match carry_out(controlled, line) {
        Ok(lines) => {
            let mut text = format!("ok {}\n", lines.len());
            for line in &lines {
                push_line(&mut text, line);
            }
            match text.len() {
                0..=ANSWER_BYTES_MAX => text,
                _ => error("failed", &format!("the answer has more than {ANSWER_BYTES_MAX} bytes")),
            }
        }
        Err(Refusal::Unknown(why)) => error("unknown", &why),
        Err(Refusal::Refused(why)) => error("refused", &why),
        Err(Refusal::Failed(why)) => error("failed", &why),
    }
}

/// The answer of one line that says what went wrong.
pub(super) fn error(kind: &str, message: &str) -> String {
    let mut text = format!("error {kind} ");
    push_line(&mut text, message);
    text
}

/// What names and messages hold must not look like the end of a line.
fn push_line(out: &mut String, line: &str) {
    out.extend(line.chars().map(|found| if found.is_control() { ' ' } else { found }));
    out.push('\n');
}

fn carry_out(controlled: &dyn Controlled, line: &[u8]) -> Result<Vec<String>, Refusal> {
    let Ok(line) = std::str::from_utf8(line) else {
        return Err(Refusal::Unknown("a command is text in UTF-8".to_owned()));
    };
    let mut words = line.split_ascii_whitespace();
    let command = words.next().unwrap_or_default();
    let arguments: Vec<&str> = words.collect();
    match (command, &*arguments) {
        ("levels", []) => Ok(lines_of(&controlled.levels()?)),
        ("level", [setting]) => {
            let (category, level) = parse_setting(setting)?;
            controlled.set_level(category, level).map(|()| Vec::new())
        }
        ("directives", [_, ..]) => {
            let directives = Directives::parse(&arguments.join(" "));
            match directives.errors() {
                [] => controlled.apply(&directives).map(|()| Vec::new()),
                errors => {
                    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                    Err(Refusal::Unknown(errors.join("; ")))
                }
            }
        }
        ("reload", []) => Ok(vec![controlled.reload()?]),
        ("reopen", [] | [_]) => controlled.command(Command::Reopen, arguments.first().copied()),
        ("rotate", [] | [_]) => controlled.command(Command::Rotate, arguments.first().copied()),
        ("flush", []) => controlled.flush(Durability::L1).map(|()| Vec::new()),
        ("flush", ["L2"]) => controlled.flush(Durability::L2).map(|()| Vec::new()),
        ("release", [composite]) => controlled.release(composite).map(|()| Vec::new()),
        ("stats", []) => Ok(vec![controlled.stats()]),
        ("help", []) => Ok(HELP.iter().map(|line| (*line).to_owned()).collect()),
        _ => Err(not_understood(command)),
    }
}

/// The way a command is written, or those that there are.
fn not_understood(command: &str) -> Refusal {
    let name = |line: &&str| line.split([' ', ':']).next().unwrap_or_default().to_owned();
    let usage = HELP.iter().find(|line| name(line) == command);
    Refusal::Unknown(match usage {
        Some(usage) => format!("`{command}` is written so: {usage}"),
        None => {
            let known: Vec<_> = HELP.iter().map(name).collect();
            format!("there is no command `{command}`; known are {}", known.join(", "))
        }
    })
}

/// A line for the root, and for each category that has a level of its own.
fn lines_of(levels: &Levels) -> Vec<String> {
    let line = |category: &str, level: LevelFilter| {
        format!("{} {category}", level.to_string().to_ascii_lowercase())
    };
    let root = line(ROOT, levels.root());
    std::iter::once(root)
        .chain(levels.categories().map(|(name, level)| line(name, level)))
        .collect()
}

/// A category, empty for the root, and its level; `None` takes that away.
fn parse_setting(setting: &str) -> Result<(&str, Option<LevelFilter>), Refusal> {
    let Some((category, level)) = setting.split_once('=') else {
        return Err(Refusal::Unknown(format!(
            "`{setting}` names no level; write shop::till=debug, or *=debug for the root"
        )));
    };
    let category = if category == ROOT { "" } else { category };
    let level = match level {
        "inherit" if category.is_empty() => {
            let why = "nothing lies above the root; give it a level";
            return Err(Refusal::Unknown(why.to_owned()));
        }
        "inherit" => None,
        level => Some(level.parse().map_err(|error| Refusal::Unknown(format!("{error}")))?),
    };
    Ok((category, level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    struct Fixed;

    impl Controlled for Fixed {
        fn levels(&self) -> Result<Levels, Refusal> {
            let mut levels = Levels::new(Level::INFO);
            levels.set("a\nb", Some(LevelFilter::OFF)).unwrap();
            Ok(levels)
        }

        fn apply(&self, directives: &Directives) -> Result<(), Refusal> {
            Err(Refusal::Refused(format!("{:?}", directives.root().map(|root| root.to_string()))))
        }

        fn set_level(&self, category: &str, level: Option<LevelFilter>) -> Result<(), Refusal> {
            let level = level.map(|level| level.to_string());
            Err(Refusal::Refused(format!("{category} {level:?}")))
        }

        fn reload(&self) -> Result<String, Refusal> {
            Err(Refusal::Refused("line 1,\ncolumn 2".to_owned()))
        }

        fn command(&self, _: Command, appender: Option<&str>) -> Result<Vec<String>, Refusal> {
            Ok(appender.into_iter().map(str::to_owned).collect())
        }

        fn flush(&self, durability: Durability) -> Result<(), Refusal> {
            Err(Refusal::Failed(format!("{durability:?}")))
        }

        fn release(&self, composite: &str) -> Result<(), Refusal> {
            Err(Refusal::Failed(composite.to_owned()))
        }

        fn stats(&self) -> String {
            "x".repeat(ANSWER_BYTES_MAX)
        }
    }

    #[test]
    fn each_line_gets_one_answer() {
        for (line, expected) in [
            ("levels", "ok 2\ninfo *\noff a b\n"),
            ("level *=debug", "error refused  Some(\"DEBUG\")\n"),
            ("level a::b=inherit", "error refused a::b None\n"),
            ("directives info, a=debug", "error refused Some(\"INFO\")\n"),
            ("  reopen   all  ", "ok 1\nall\n"),
            ("rotate", "ok 0\n"),
            ("flush", "error failed L1\n"),
            ("flush L2", "error failed L2\n"),
            ("release digest", "error failed digest\n"),
            ("reload", "error refused line 1, column 2\n"),
            ("stats", "error failed the answer has more than 1048576 bytes\n"),
        ] {
            assert_eq!(answer(&Fixed, line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told_with_the_remedy() {
        for (line, expected) in [
            ("", "error unknown there is no command ``; known are levels, level, "),
            ("relaod", "error unknown there is no command `relaod`; known are levels, "),
            ("flush L3", "error unknown `flush` is written so: flush [L2]"),
            ("level shop", "error unknown `shop` names no level; write shop::till=debug"),
            ("level shop=loud", "error unknown unknown level `loud`"),
            ("directives info,a=lound", "error unknown `a=lound` at character 6: "),
            ("level *=inherit", "error unknown nothing lies above the root"),
            ("reopen a b", "error unknown `reopen` is written so"),
        ] {
            let found = answer(&Fixed, line.as_bytes());
            assert!(found.starts_with(expected) && found.ends_with('\n'), "{line}: {found}");
            assert_eq!(found.lines().count(), 1);
        }
        assert!(answer(&Fixed, b"\xff").starts_with("error unknown a command is text"));
    }

    #[test]
    fn help_names_every_command() {
        let help = answer(&Fixed, b"help");
        assert_eq!(help.lines().count(), 11);
        assert!(help.starts_with("ok 10\nlevels: "));
    }
}
