//! What criterion left in `target/criterion`, as figures.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Benches that are programs of their own, not criterion's.
const NOT_CRITERION: [&str; 2] = ["latency", "paths"];

/// The names of the criterion benches.
///
/// # Errors
/// When `benches/` cannot be read.
pub(super) fn benches(root: &Path) -> Result<Vec<String>, String> {
    let entries =
        fs::read_dir(root.join("benches")).map_err(|error| format!("benches: {error}"))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .filter(|name| !NOT_CRITERION.contains(&&**name))
        .collect();
    names.sort();
    Ok(names)
}

/// A line for each benchmark below `dir`, in the order of their names: the median of an iteration,
/// and what falls to one element where the benchmark says how many there are.
pub(super) fn figures(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    add(dir, dir, &mut lines);
    lines.sort();
    lines
}

fn add(root: &Path, dir: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        if entry.file_name() == "new" {
            lines.extend(figure(root, &path));
        } else {
            add(root, &path, lines);
        }
    }
}

fn figure(root: &Path, new: &Path) -> Option<String> {
    let read = |name: &str| -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(new.join(name)).ok()?).ok()
    };
    let median_ns = read("estimates.json")?.pointer("/median/point_estimate")?.as_f64()?;
    let about = read("benchmark.json").unwrap_or_default();
    let place = new.parent()?.strip_prefix(root).ok()?.to_string_lossy().into_owned();
    let case = about["full_id"].as_str().map_or(place, str::to_owned);
    let elements = about.pointer("/throughput/Elements").and_then(Value::as_f64);
    let (value, unit) = match elements.filter(|elements| *elements > 0.0) {
        Some(elements) => (median_ns / elements, "ns an element"),
        None => (median_ns, "ns"),
    };
    let line = json!({
        "bench": "criterion", "subject": "rollway", "case": case, "metric": "median",
        "unit": unit, "value": value, "config": "",
    });
    Some(line.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_benchmark_is_a_figure_and_what_is_damaged_is_left_out() {
        let dir = std::env::temp_dir().join(format!("xtask-criterion-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("call/int2/new/estimates.json", r#"{"median":{"point_estimate":240.0}}"#);
        write(
            "call/int2/new/benchmark.json",
            r#"{"full_id":"call/int2","throughput":{"Elements":20}}"#,
        );
        write("read/new/estimates.json", r#"{"median":{"point_estimate":7.5}}"#);
        write("read/base/estimates.json", r#"{"median":{"point_estimate":9.0}}"#);
        write("damaged/new/estimates.json", "{");
        let lines = figures(&dir);
        fs::remove_dir_all(&dir).unwrap();
        let read = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (call, whole) = (read(&lines[0]), read(&lines[1]));
        assert_eq!((&call["case"], &call["value"]), (&"call/int2".into(), &12.0.into()));
        assert_eq!((&whole["case"], &whole["unit"]), (&"read".into(), &"ns".into()));
        assert_eq!(figures(Path::new("/no/such/directory")), [""; 0]);
    }
}
