//! `cargo xtask sites`: what a program with many call sites pays when it is built.
//!
//! One crate of a thousand functions with one call each, through rollway and through the `log`
//! facade; everything they depend on is built before. The two are built in turn.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use serde_json::json;

/// Calls, with from none to four values, as programs have them.
const SITES: usize = 1000;
/// Builds of each, if nobody says another number.
const BUILDS: u32 = 5;

/// What the calls go through.
#[derive(Clone, Copy, PartialEq)]
enum Facade {
    Rollway,
    Log,
    /// The same functions without a call: what is not the logger's.
    Nothing,
}

impl Facade {
    const ALL: [Facade; 3] = [Facade::Rollway, Facade::Log, Facade::Nothing];

    fn name(self) -> &'static str {
        match self {
            Facade::Rollway => "rollway",
            Facade::Log => "log",
            Facade::Nothing => "nothing",
        }
    }

    fn manifest(self, root: &Path) -> String {
        let dependency = match self {
            Facade::Rollway => format!("rollway = {{ path = {root:?} }}\n"),
            Facade::Log => "log = \"0.4\"\n".to_owned(),
            Facade::Nothing => String::new(),
        };
        format!(
            "[package]\nname = \"sites-{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [dependencies]\n{dependency}\n[workspace]\n",
            self.name()
        )
    }

    fn source(self) -> String {
        let mut source = String::new();
        for site in 0..SITES {
            let values = match site % 5 {
                0 => "",
                1 => ", a",
                2 => ", a, b",
                3 => ", a, s",
                _ => ", a, b, f, s",
            };
            let braces = " {}".repeat(values.matches(',').count());
            let call = match self {
                Facade::Nothing => "std::hint::black_box((a, b, f, s));".to_owned(),
                facade => format!("{}::info!(\"site {site}{braces}\"{values});", facade.name()),
            };
            // Infallible: the text is in memory.
            let _ = writeln!(
                source,
                "#[inline(never)]\npub fn site_{site}(a: u64, b: i32, f: f64, s: &str) {{ let _ = (a, b, f, s); {call} }}"
            );
        }
        source
    }
}

/// Reads `[--builds N]`.
pub(crate) fn parse(arguments: &[String]) -> Result<u32, String> {
    match arguments {
        [] => Ok(BUILDS),
        [name, value] if name == "--builds" => {
            let builds = value.parse().ok().filter(|builds| (1..=100).contains(builds));
            builds.ok_or_else(|| format!("--builds: `{value}` is not a number from 1 to 100"))
        }
        _ => Err("sites takes `--builds N` and nothing else".to_owned()),
    }
}

/// Builds each crate so many times and prints what came out. Figures are added to the file that
/// `ROLLWAY_BENCH_OUT` names.
pub(crate) fn run(builds: u32) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match measure(root, builds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn measure(root: &Path, builds: u32) -> Result<(), String> {
    let base = root.join("target/bench/sites");
    for facade in Facade::ALL {
        let dir = base.join(facade.name());
        write(&dir.join("Cargo.toml"), &facade.manifest(root))?;
        write(&dir.join("src/lib.rs"), &facade.source())?;
        build(&dir, "dev")?;
        build(&dir, "release")?;
    }
    for profile in ["dev", "release"] {
        let mut seconds = Facade::ALL.map(|_| Vec::new());
        for _ in 0..builds {
            for (facade, seconds) in Facade::ALL.into_iter().zip(&mut seconds) {
                let dir = base.join(facade.name());
                // Written anew, it is newer than what was built of it.
                write(&dir.join("src/lib.rs"), &facade.source())?;
                let start = Instant::now();
                build(&dir, profile)?;
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        for (facade, seconds) in Facade::ALL.into_iter().zip(&seconds) {
            for value in seconds {
                let case = format!("{SITES} sites, {profile} build");
                report(facade, &case, "time", "s", *value)?;
            }
        }
    }
    let code = |facade: Facade| code_bytes(&base.join(facade.name()));
    let nothing = code(Facade::Nothing)?;
    for facade in [Facade::Rollway, Facade::Log] {
        let bytes = (code(facade)? as f64 - nothing as f64) / SITES as f64;
        report(facade, "code of a site, release", "size", "bytes", bytes)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error| format!("{}: cannot be written: {error}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    fs::write(path, text).map_err(failed)
}

fn build(dir: &Path, profile: &str) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--profile", profile])
        .env("CARGO_INCREMENTAL", "0")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(dir)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", dir.display())) }
}

/// Bytes of code in the release library of a crate, by `size` of the binutils: the parts of its own
/// and those of generic functions that it made.
fn code_bytes(dir: &Path) -> Result<u64, String> {
    let library = fs::read_dir(dir.join("target/release"))
        .map_err(|error| format!("{}: {error}", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "rlib"))
        .unwrap_or_else(|| PathBuf::from("no library was built"));
    let output = Command::new("size")
        .args(["--format=sysv"])
        .arg(&library)
        .output()
        .map_err(|error| format!("`size` of the binutils: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let sections = text.lines().filter(|line| line.starts_with(".text"));
    Ok(sections.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}

fn report(facade: Facade, case: &str, metric: &str, unit: &str, value: f64) -> Result<(), String> {
    let subject = facade.name();
    println!("{subject:8} {case:32} {metric:5} {value:10.3} {unit}");
    let Some(path) = std::env::var_os(super::bench::OUT) else { return Ok(()) };
    let config = "four kinds of values, nothing incremental";
    let line = json!({
        "bench": "sites", "subject": subject, "case": case, "metric": metric, "unit": unit,
        "value": value, "config": config,
    });
    super::bench::add(Path::new(&path), &[line.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_builds_can_be_chosen() {
        let parsed = |arguments: &[&str]| {
            parse(&arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(parsed(&[]), Ok(BUILDS));
        assert_eq!(parsed(&["--builds", "3"]), Ok(3));
        assert!(parsed(&["--builds", "none"]).unwrap_err().contains("`none`"));
        assert!(parsed(&["--rounds", "3"]).unwrap_err().contains("--builds"));
    }

    #[test]
    fn each_facade_has_the_same_functions() {
        for facade in Facade::ALL {
            let source = facade.source();
            assert_eq!(source.matches("pub fn site_").count(), SITES);
            let calls = source.matches("::info!").count();
            assert_eq!(calls, if facade == Facade::Nothing { 0 } else { SITES });
        }
    }
}
