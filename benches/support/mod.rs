//! What the measuring programs share: how a figure is told.

use std::fs::OpenOptions;
use std::io::Write;

#[allow(unused_imports, reason = "its test is run where it lives")]
#[path = "../../src/cli/bench/probe.rs"]
pub mod probe;

/// The environment variable that names the file to which figures are added, one JSON object a
/// line. `cargo xtask bench` sets it.
pub const OUT: &str = "ROLLWAY_BENCH_OUT";

/// One measured figure.
pub struct Figure<'a> {
    /// The measuring program: `latency`, `paths`, `peers` …
    pub bench: &'a str,
    /// Who was measured: `rollway`, or a peer.
    pub subject: &'a str,
    /// What was measured: `mixed4 burst`, `text 4 producers` …
    pub case: &'a str,
    /// `p50`, `rate`, `lost` …
    pub metric: &'a str,
    /// `ns`, `M/s`, `bytes` …
    pub unit: &'a str,
    /// The figure.
    pub value: f64,
    /// The settings it was reached with.
    pub config: &'a str,
}

impl Figure<'_> {
    /// Prints the figure, and adds it to the file of [`OUT`].
    pub fn report(&self) {
        let Figure { bench, subject, case, metric, unit, value, config } = *self;
        println!("{bench:8} {subject:18} {case:34} {metric:8} {value:12.3} {unit:6} {config}");
        let Some(path) = std::env::var_os(OUT) else { return };
        let line = serde_json::json!({
            "bench": bench, "subject": subject, "case": case, "metric": metric, "unit": unit,
            "value": value, "config": config,
        });
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{line}"));
        written.unwrap_or_else(|error| panic!("cannot add a figure to {path:?}: {error}"));
    }
}

/// Reports the machine's own figures, `when` being `before` or `after`.
pub fn report_probe(bench: &str, when: &str) -> probe::Probe {
    let probe = probe::Probe::take();
    for (metric, value) in [("clock", probe.clock_ns), ("round trip", probe.round_trip_ns)] {
        let case = format!("probe {when}");
        Figure { bench, subject: "machine", case: &case, metric, unit: "ns", value, config: "" }
            .report();
    }
    probe
}
