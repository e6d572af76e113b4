//! The figures for people.

use std::io::{self, Write};

use serde_json::Value;

use super::advice::Advice;

/// Writes a table of each phase that was measured, and the advice.
pub(super) fn write(figures: &Value, advice: &[Advice], out: &mut dyn Write) -> io::Result<()> {
    let report = Report { figures };
    report.machine(out)?;
    if figures.get("call").is_some() {
        report.call(out)?;
    }
    if figures.get("file").is_some() {
        report.file(out)?;
    }
    if figures.get("tcp").is_some() {
        report.tcp(out)?;
    }
    writeln!(out, "advice")?;
    for advice in advice {
        writeln!(out, "  {advice}")?;
    }
    if advice.is_empty() {
        writeln!(out, "  Nothing to change: the defaults serve this machine.")?;
    }
    Ok(())
}

/// Events that did not get where they should, in all phases.
pub(super) fn lost(figures: &Value) -> u64 {
    ["/call/lost", "/file/journal/lost", "/file/text/lost", "/tcp/lost"]
        .into_iter()
        .filter_map(|place| figures.pointer(place)?.as_u64())
        .sum()
}

/// A number of bytes in the unit that suits it.
pub(super) fn bytes(bytes: f64) -> String {
    let (mut number, mut unit) = (bytes, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, next);
    }
    let digits = usize::from(number < 100.0 && unit != "B");
    format!("{number:.digits$} {unit}")
}

/// A number of things in a second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.1} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

struct Report<'a> {
    figures: &'a Value,
}

impl Report<'_> {
    fn machine(&self, out: &mut dyn Write) -> io::Result<()> {
        let cores = self.number("/machine/cores");
        let plural = if cores == 1.0 { "" } else { "s" };
        writeln!(out, "machine")?;
        writeln!(out, "  cpu      {}, {cores} core{plural}", self.text("/machine/cpu"))?;
        writeln!(out, "  kernel   {}", self.text("/machine/kernel"))?;
        let used = match self.figures.pointer("/machine/clock/counter_used") {
            Some(Value::Bool(true)) => "the processor's counter",
            _ => "the system's clock, because the counter is not usable",
        };
        writeln!(
            out,
            "  clock    {used}: {:.1} ns a reading, in steps of {:.1} ns; the kernel's is {}",
            self.number("/machine/clock/read_ns"),
            self.number("/machine/clock/step_ns"),
            self.text("/machine/clock/source"),
        )?;
        match self.figures["machine"]["round_trip"].is_null() {
            true => writeln!(out, "  cores    a single one")?,
            false => writeln!(
                out,
                "  cores    {:.0} ns a round trip before ({}), {:.0} ns after ({})",
                self.number("/machine/round_trip/before_ns"),
                self.text("/machine/round_trip/before"),
                self.number("/machine/round_trip/after_ns"),
                self.text("/machine/round_trip/after"),
            )?,
        }
        match self.figures["machine"]["shm"].is_null() {
            true => writeln!(out, "  memory   no {}", super::SHM),
            false => writeln!(
                out,
                "  memory   {} free of {} on {}",
                bytes(self.number("/machine/shm/free_bytes")),
                bytes(self.number("/machine/shm/bytes")),
                super::SHM,
            ),
        }
    }

    fn call(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "call, ns        p50     p99   p99.9")?;
        for (name, title) in [
            ("disabled", "disabled"),
            ("int2", "int2"),
            ("mixed4", "mixed4"),
            ("str100", "str100"),
            ("after_pause", "after pause"),
        ] {
            let [p50, p99, p999] = ["p50_ns", "p99_ns", "p999_ns"]
                .map(|quantile| self.number(&format!("/call/{name}/{quantile}")));
            writeln!(out, "  {title:11} {p50:>7.1} {p99:>7.1} {p999:>7.1}")?;
        }
        writeln!(out, "  durability  {} when the call returns", self.text("/call/durability"))
    }

    fn file(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "file, in {} ({} on {}, {} free)",
            self.text("/file/disk/dir"),
            self.text("/file/disk/file_system"),
            self.text("/file/disk/device"),
            bytes(self.number("/file/disk/free_bytes")),
        )?;
        writeln!(
            out,
            "  journal  {:>7} events/s, {:>7} with a sync at the end, {:.0} bytes a record",
            rate(self.number("/file/journal/events_per_second")),
            rate(self.number("/file/journal/synced_events_per_second")),
            self.number("/file/journal/record_bytes_per_event"),
        )?;
        writeln!(
            out,
            "  text     {:>7} lines/s, {:.0} bytes a line",
            rate(self.number("/file/text/lines_per_second")),
            self.number("/file/text/bytes_per_line"),
        )
    }

    fn tcp(&self, out: &mut dyn Write) -> io::Result<()> {
        let events = rate(self.number("/tcp/events_per_second"));
        writeln!(out, "tcp\n  master   {events:>7} events/s acknowledged, over loopback")
    }

    fn number(&self, place: &str) -> f64 {
        self.figures.pointer(place).and_then(Value::as_f64).unwrap_or(0.0)
    }

    fn text(&self, place: &str) -> &str {
        self.figures.pointer(place).and_then(Value::as_str).unwrap_or("unknown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_short_whatever_their_size() {
        assert_eq!([0.0, 1023.0, 1536.0, 3e11].map(bytes), ["0 B", "1023 B", "1.5 KiB", "279 GiB"]);
        assert_eq!([12.0, 34_567.0, 8.91e7].map(rate), ["12", "35 k", "89.1 M"]);
    }

    #[test]
    fn losses_of_all_phases_are_added() {
        let figures = json!({ "call": { "lost": 1 }, "file": { "text": { "lost": 2 } } });
        assert_eq!(lost(&figures), 3);
        assert_eq!(lost(&json!({})), 0);
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        let mut written = Vec::new();
        write(&json!({ "machine": {} }), &[], &mut written).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert!(text.contains("machine") && text.contains("Nothing to change"), "{text}");
        assert!(!text.contains("call") && !text.contains("tcp"), "{text}");
    }
}
