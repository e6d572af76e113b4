//! Figures as the measuring programs report them, one JSON object a line, and what follows from
//! several rounds.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything that was measured: all rounds of all programs, and the machine.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// In the order of their first appearance.
    rows: Vec<Row>,
    /// What the run says about itself, such as `cpu`.
    pub(super) facts: BTreeMap<String, String>,
}

/// One subject in one case with one configuration.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) bench: String,
    pub(super) subject: String,
    pub(super) case: String,
    /// How it was set up; of a failure the reason.
    pub(super) config: String,
    is_failure: bool,
    /// In the order of their first appearance.
    pub(super) metrics: Vec<Metric>,
}

/// One figure of a row, in all its rounds.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) samples: Samples,
}

/// The values of all rounds, ascending, at least one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Samples(Vec<f64>);

/// The name of the figure that counts measurements without a result.
pub(super) const FAILED: &str = "failed";
/// The name of the figure that counts events that did not arrive.
pub(super) const LOST: &str = "lost";

impl Figures {
    /// Reads lines of JSON: figures with `bench`, `subject`, `case`, `metric`, `unit`, `value` and
    /// `config`, and objects with `facts`. A value of `null` is no figure.
    ///
    /// # Errors
    /// The number of the first line that is neither, and why.
    pub(super) fn parse(text: &str) -> Result<Figures, String> {
        let mut figures = Figures::default();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            figures.add(line).map_err(|reason| format!("line {}: {reason}", at + 1))?;
        }
        Ok(figures)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let object: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(facts) = object.get("facts").and_then(Value::as_object) {
            let texts = facts.iter().filter_map(|(key, text)| Some((key, text.as_str()?)));
            self.facts.extend(texts.map(|(key, text)| (key.clone(), text.to_owned())));
            return Ok(());
        }
        let text = |name: &str| {
            let text = object.get(name).and_then(Value::as_str);
            text.map(str::to_owned).ok_or_else(|| format!("there is no text `{name}`"))
        };
        let (bench, subject, case) = (text("bench")?, text("subject")?, text("case")?);
        let (name, unit, config) = (text("metric")?, text("unit")?, text("config")?);
        let value = match object.get("value") {
            Some(Value::Null) => None,
            Some(value) => Some(value.as_f64().ok_or("`value` is no number")?),
            None => return Err("there is no `value`".to_owned()),
        };
        let is_failure = name == FAILED;
        let is_row = |row: &Row| {
            (&row.bench, &row.subject, &row.case, &row.config, row.is_failure)
                == (&bench, &subject, &case, &config, is_failure)
        };
        let at = self.rows.iter().position(is_row).unwrap_or_else(|| {
            self.rows.push(Row { bench, subject, case, config, is_failure, metrics: Vec::new() });
            self.rows.len() - 1
        });
        if let Some(value) = value {
            self.rows[at].add(name, unit, value);
        }
        Ok(())
    }

    /// The rows of a program, without those of the machine and of failures. Cases begin with
    /// `cases`, or are all.
    pub(super) fn rows<'a>(
        &'a self,
        bench: &'a str,
        cases: &'a str,
    ) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| {
            row.bench == bench
                && row.subject != "machine"
                && !row.is_failure
                && row.case.starts_with(cases)
        })
    }

    /// The machine's own figures beside all programs, by name: `clock`, `round trip`.
    pub(super) fn probes(&self) -> Vec<(String, String, Samples)> {
        let mut probes: Vec<(String, String, Samples)> = Vec::new();
        let rows = self.rows.iter().filter(|row| row.subject == "machine");
        for metric in rows.flat_map(|row| &row.metrics) {
            match probes.iter_mut().find(|(name, ..)| *name == metric.name) {
                Some((_, _, samples)) => metric.samples.0.iter().for_each(|v| samples.add(*v)),
                None => {
                    let Metric { name, unit, samples } = metric;
                    probes.push((name.clone(), unit.clone(), samples.clone()));
                }
            }
        }
        probes
    }

    /// Rows that tell of measurements without a result; their configuration is the reason.
    pub(super) fn failures<'a>(
        &'a self,
        bench: &'a str,
        cases: &'a str,
    ) -> impl Iterator<Item = &'a Row> {
        self.rows
            .iter()
            .filter(move |row| row.bench == bench && row.is_failure && row.case.starts_with(cases))
    }

    /// The programs, in the order of their first figure.
    pub(super) fn benches(&self) -> Vec<&str> {
        let mut benches: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !benches.contains(&&*row.bench) {
                benches.push(&row.bench);
            }
        }
        benches
    }
}

impl Row {
    pub(super) fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    pub(super) fn median(&self, name: &str) -> Option<f64> {
        self.metric(name).map(|metric| metric.samples.median())
    }

    /// Whether it is rollway itself, in one of its configurations.
    pub(super) fn is_ours(&self) -> bool {
        self.subject == "rollway" || self.subject.starts_with("rollway-")
    }

    fn add(&mut self, name: String, unit: String, value: f64) {
        match self.metrics.iter_mut().find(|metric| metric.name == name) {
            Some(metric) => metric.samples.add(value),
            None => self.metrics.push(Metric { name, unit, samples: Samples(vec![value]) }),
        }
    }
}

impl Metric {
    /// Whether more is better.
    pub(super) fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }
}

impl Samples {
    fn add(&mut self, value: f64) {
        let at = self.0.partition_point(|earlier| *earlier <= value);
        self.0.insert(at, value);
    }

    /// The middle one; of an even number the mean of both.
    pub(super) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.len() % 2 {
            1 => self.0[middle],
            _ => f64::midpoint(self.0[middle - 1], self.0[middle]),
        }
    }

    pub(super) fn least(&self) -> f64 {
        self.0[0]
    }

    pub(super) fn greatest(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(subject: &str, metric: &str, value: &str) -> String {
        format!(
            r#"{{"bench":"peers","subject":"{subject}","case":"mixed4 burst","metric":"{metric}","unit":"ns","value":{value},"config":"1.0"}}"#
        )
    }

    #[test]
    fn rounds_of_one_figure_become_its_median_and_range() {
        let lines: Vec<String> =
            ["12", "10.5", "99"].iter().map(|value| line("rollway", "p50", value)).collect();
        let figures = Figures::parse(&lines.join("\n")).unwrap();
        let row = figures.rows("peers", "").next().unwrap();
        let samples = &row.metric("p50").unwrap().samples;
        assert_eq!((samples.median(), samples.count()), (12.0, 3));
        assert_eq!((samples.least(), samples.greatest()), (10.5, 99.0));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let mut samples = Samples(vec![4.0]);
        assert_eq!(samples.median(), 4.0);
        [1.0, 9.0, 2.0].into_iter().for_each(|value| samples.add(value));
        assert_eq!(samples.median(), 3.0);
    }

    #[test]
    fn a_figure_without_a_value_is_not_measured() {
        let figures = Figures::parse(&line("peer", "p50", "null")).unwrap();
        let row = figures.rows("peers", "").next().unwrap();
        assert_eq!((row.median("p50"), row.metrics.len()), (None, 0));
    }

    #[test]
    fn failures_and_the_machine_are_no_rows_of_a_table() {
        let text = [
            line("peer", "failed", "1"),
            line("machine", "clock", "9"),
            line("machine", "clock", "7"),
            line("peer", "p50", "70"),
        ];
        let figures = Figures::parse(&text.join("\n")).unwrap();
        assert_eq!(figures.rows("peers", "").count(), 1);
        assert_eq!(figures.failures("peers", "mixed4").count(), 1);
        assert_eq!(figures.probes()[0].2, Samples(vec![7.0, 9.0]));
    }

    #[test]
    fn a_line_that_is_no_figure_is_named() {
        for (text, words) in [
            ("\n{\"bench\":", "line 2"),
            ("{}", "no text `bench`"),
            (&*line("peer", "p50", "\"fast\""), "`value` is no number"),
        ] {
            let error = Figures::parse(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let facts = Figures::parse("{\"facts\":{\"cpu\":\"fast\"}}").unwrap().facts;
        assert_eq!(facts["cpu"], "fast");
    }
}
