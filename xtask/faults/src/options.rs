//! The arguments of the bench.

use std::path::PathBuf;

use crate::cases;

/// How the bench is called.
pub(crate) const USAGE: &str = "\
usage: cargo xtask faults [--case ID]... [--long] [--minutes N] [--seed S] [--list] [--json FILE] [--markdown]

Runs the cases of the fault bench and prints what came of them; without --case all of them. Ends with
status 1 if a case failed.

--case ID    Runs this case, such as R16. May be repeated; `R0` stands for R01 to R09.
--long       Runs the loops of the targets, which takes hours, instead of a few of them.
--minutes N  How long CHAOS lasts: 20 minutes with --long, else 20 seconds.
--seed S     Draws everything random from S (1). A failure names the seed that repeats it.
--list       Lists the cases and runs none.
--json FILE  Writes the table to FILE as well.
--markdown   Prints the table as a page has it.";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    cases: Vec<String>,
    pub(crate) long: bool,
    pub(crate) minutes: Option<u64>,
    pub(crate) seed: u64,
    pub(crate) list: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) markdown: bool,
}

impl Options {
    /// Reads the arguments; `None` if help is wanted.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Options>, String> {
        let mut options = Options {
            cases: Vec::new(),
            long: false,
            minutes: None,
            seed: 1,
            list: false,
            json: None,
            markdown: false,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--case" => options.cases.push(known(value()?)?),
                "--long" => options.long = true,
                "--seed" => options.seed = number(name, value()?)?,
                "--minutes" => options.minutes = Some(number(name, value()?)?),
                "--list" => options.list = true,
                "--json" => options.json = Some(value()?.into()),
                "--markdown" => options.markdown = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option `{name}`")),
            }
        }
        Ok(Some(options))
    }

    /// Whether a case was asked for.
    pub(crate) fn wants(&self, id: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| begins(id, wanted))
    }
}

/// The id, if a case has it.
fn known(id: &str) -> Result<String, String> {
    if cases::all().any(|case| begins(case.id, id)) {
        Ok(id.to_owned())
    } else {
        Err(format!("there is no case `{id}`; --list shows them"))
    }
}

/// Whether an id begins so, in capitals or not.
fn begins(id: &str, wanted: &str) -> bool {
    id.get(..wanted.len()).is_some_and(|front| front.eq_ignore_ascii_case(wanted))
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name}: `{text}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_case_is_found_by_its_id_and_a_group_by_its_beginning() {
        let options = parse(&["--case", "r01"]).unwrap().unwrap();
        assert!(options.wants("R01") && !options.wants("R02"));
        let options = parse(&["--case", "R0"]).unwrap().unwrap();
        assert!(options.wants("R01") && options.wants("R09") && !options.wants("R17"));
        assert!(parse(&[]).unwrap().unwrap().wants("R17"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parse(&["--case", "X1"]).unwrap_err().contains("X1"));
        assert!(parse(&["--seed", "one"]).unwrap_err().contains("one"));
        assert!(parse(&["--sed"]).unwrap_err().contains("--sed"));
        assert!(parse(&["--seed"]).unwrap_err().contains("value"));
    }
}
