//! `cargo xtask bench`: measures everything there is a program for, and writes the page about it.
//!
//! The programs run in turn, round after round, so that what changes on the machine meets all of
//! them alike. Each adds its figures to one file; the page is rendered from that file and from
//! `docs/performance.in.md`, where everything stands that no program can write.

mod criterion;
mod figures;
mod machine;
mod page;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::json;

use figures::Figures;
use page::Page;

pub(crate) const USAGE: &str = "\
usage: cargo xtask bench [--rounds N] [--only PROGRAM,…] [--quick] [--criterion] [--keep]
       cargo xtask bench --render-only FILE

Measures, and rewrites docs/performance.md and docs/performance/*.svg from docs/performance.in.md.

  --rounds N          runs of each program (5), in turn: latency, paths … sites, latency …
  --only A,B          these programs alone: latency, paths, peers, collectors, sites
  --quick             one round, and little of what takes long: a look whether everything works;
                      the page goes to target/bench, docs/ stays as it is
  --criterion         the criterion benches too, once, at the end
  --keep              adds to the figures of an earlier run instead of replacing them
  --render-only FILE  measures nothing, and renders these figures

Programs: `cargo bench --bench latency` and `--bench paths`, and for peers and collectors the crate in
benches/peers; for sites `cargo xtask sites`. The figures are lines of JSON in target/bench/figures.jsonl; a program adds one with
bench, subject, case, metric, unit, value and config to the file that ROLLWAY_BENCH_OUT names.
What was not measured says so on the page. Ends with status 1 if a program failed.";

/// The environment variable that tells the programs where figures go.
pub(crate) const OUT: &str = "ROLLWAY_BENCH_OUT";
const TEMPLATE: &str = "docs/performance.in.md";
/// Where the page and its pictures go.
const PAGES: &str = "docs";
/// Where they go that nobody shall quote.
const QUICK_PAGES: &str = "target/bench";
const FIGURES: &str = "target/bench/figures.jsonl";

/// What measures.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Program {
    Latency,
    Paths,
    Peers,
    Collectors,
    Sites,
}

impl Program {
    const ALL: [Program; 5] =
        [Program::Latency, Program::Paths, Program::Peers, Program::Collectors, Program::Sites];

    fn name(self) -> &'static str {
        match self {
            Program::Latency => "latency",
            Program::Paths => "paths",
            Program::Peers => "peers",
            Program::Collectors => "collectors",
            Program::Sites => "sites",
        }
    }

    /// The arguments of cargo for one round.
    fn arguments(self, is_quick: bool) -> Vec<&'static str> {
        let bench = ["bench", "--all-features", "--bench"];
        let crate_ = ["run", "--release", "--manifest-path", "benches/peers/Cargo.toml"];
        if self == Program::Sites {
            return vec!["run", "--quiet", "--package", "xtask", "--", "sites", "--builds", "1"];
        }
        let mut arguments = match self {
            Program::Latency | Program::Paths => [&bench[..], &[self.name()]].concat(),
            _ => crate_.to_vec(),
        };
        arguments.extend(["--", "--rounds", "1"]);
        match self {
            Program::Peers => arguments.extend(["--modes", "latency,throughput"]),
            Program::Collectors => arguments.extend(["--modes", "master"]),
            _ => return arguments,
        }
        if is_quick {
            arguments.push("--quick");
        }
        arguments
    }
}

/// What `bench` was asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    rounds: u32,
    programs: Vec<Program>,
    is_quick: bool,
    with_criterion: bool,
    keep: bool,
    render_only: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(mut arguments: &[String]) -> Result<Options, String> {
        let mut options = Options {
            rounds: 5,
            programs: Program::ALL.to_vec(),
            is_quick: false,
            with_criterion: false,
            keep: false,
            render_only: None,
        };
        while let [name, rest @ ..] = arguments {
            arguments = rest;
            match name.as_str() {
                "--quick" => options.is_quick = true,
                "--criterion" => options.with_criterion = true,
                "--keep" => options.keep = true,
                "--rounds" | "--only" | "--render-only" => {
                    let [value, rest @ ..] = arguments else {
                        return Err(format!("{name} needs a value"));
                    };
                    arguments = rest;
                    match name.as_str() {
                        "--rounds" => options.rounds = rounds(value)?,
                        "--only" => options.programs = programs(value)?,
                        _ => options.render_only = Some(value.into()),
                    }
                }
                _ => return Err(format!("there is no option `{name}`")),
            }
        }
        if options.is_quick {
            options.rounds = 1;
        }
        Ok(options)
    }
}

fn rounds(value: &str) -> Result<u32, String> {
    let rounds = value.parse().ok().filter(|rounds| (1..=100).contains(rounds));
    rounds.ok_or_else(|| format!("--rounds: `{value}` is not a number from 1 to 100"))
}

fn programs(value: &str) -> Result<Vec<Program>, String> {
    let names = Program::ALL.map(Program::name).join(", ");
    let program = |name: &str| {
        let found = Program::ALL.into_iter().find(|program| program.name() == name.trim());
        found.ok_or_else(|| format!("--only: there is no program `{name}`; there are {names}"))
    };
    value.split(',').map(program).collect()
}

/// Measures if that is asked for, and renders the page.
pub(crate) fn run(options: &Options) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let measured = match &options.render_only {
        Some(_) => Ok(true),
        None => measure(root, options),
    };
    let figures = options.render_only.clone().unwrap_or_else(|| root.join(FIGURES));
    let pages = root.join(if options.is_quick { QUICK_PAGES } else { PAGES });
    match measured.and_then(|is_whole| render(root, &figures, &pages).map(|()| is_whole)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the programs. `false` when one of them failed.
fn measure(root: &Path, options: &Options) -> Result<bool, String> {
    let out = root.join(FIGURES);
    let failed = |error| format!("{}: cannot be written: {error}", out.display());
    fs::create_dir_all(out.parent().unwrap_or(root)).map_err(failed)?;
    if !options.keep {
        fs::write(&out, "").map_err(failed)?;
    }
    add(&out, &[json!({ "facts": machine::facts(root) }).to_string()])?;
    let mut is_whole = true;
    for round in 1..=options.rounds {
        for program in &options.programs {
            println!("\n== round {round} of {}: {}", options.rounds, program.name());
            is_whole &= cargo(root, &program.arguments(options.is_quick), &out)?;
        }
    }
    if options.with_criterion {
        for bench in criterion::benches(root)? {
            println!("\n== criterion: {bench}");
            is_whole &= cargo(root, &["bench", "--all-features", "--bench", &bench], &out)?;
        }
        add(&out, &criterion::figures(&root.join("target/criterion")))?;
    }
    Ok(is_whole)
}

/// Runs cargo. What it prints is for the terminal; its figures go to `out`.
fn cargo(root: &Path, arguments: &[&str], out: &Path) -> Result<bool, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(arguments).env(OUT, out).current_dir(root).status();
    let status = status.map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        eprintln!("cargo {}: {status}", arguments.join(" "));
    }
    Ok(status.success())
}

/// Adds lines to a file of figures.
pub(crate) fn add(out: &Path, lines: &[String]) -> Result<(), String> {
    let file = OpenOptions::new().append(true).create(true).open(out);
    let written =
        file.and_then(|mut file| lines.iter().try_for_each(|line| writeln!(file, "{line}")));
    written.map_err(|error| format!("{}: cannot be written: {error}", out.display()))
}

/// Writes `performance.md` and its pictures into the directory `pages`.
fn render(root: &Path, figures: &Path, pages: &Path) -> Result<(), String> {
    let told = |path: &Path, what: &str, error| format!("{}: {what}: {error}", path.display());
    let read =
        |path: &Path| fs::read_to_string(path).map_err(|error| told(path, "cannot be read", error));
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|error| told(path, "cannot be written", error))
    };
    let parsed = Figures::parse(&read(figures)?)
        .map_err(|error| format!("{}: {error}", figures.display()))?;
    let page = Page::render(&read(&root.join(TEMPLATE))?, &parsed)
        .map_err(|error| format!("{TEMPLATE}: {error}"))?;
    let pictures = pages.join("performance");
    fs::create_dir_all(&pictures).map_err(|error| told(&pictures, "cannot be made", error))?;
    for (name, svg) in &page.pictures {
        write(&pictures.join(name), svg)?;
    }
    let path = pages.join("performance.md");
    write(&path, &page.text)?;
    println!("{} and {} pictures were written", path.display(), page.pictures.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        Options::parse(&arguments)
    }

    #[test]
    fn programs_and_rounds_can_be_chosen() {
        let options = parsed(&["--only", "peers,latency", "--rounds", "3", "--keep"]).unwrap();
        assert_eq!(options.programs, [Program::Peers, Program::Latency]);
        assert_eq!((options.rounds, options.keep), (3, true));
        assert_eq!(parsed(&["--rounds", "7", "--quick"]).unwrap().rounds, 1);
    }

    #[test]
    fn wrong_options_are_named_with_what_there_is() {
        for (arguments, words) in [
            (&["--only", "peer"][..], "there are latency, paths, peers, collectors"),
            (&["--rounds", "0"], "from 1 to 100"),
            (&["--rounds"], "--rounds needs a value"),
            (&["--fast"], "no option `--fast`"),
        ] {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_template_is_understood_and_without_figures_nothing_is_promised() {
        let template = include_str!("../../../docs/performance.in.md");
        let page = Page::render(template, &Figures::default()).unwrap();
        assert!(page.text.contains("not measured") && !page.text.contains("{{"));
        assert_eq!(page.pictures.len(), 3);
    }
}
