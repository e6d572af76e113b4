//! The figures of all rounds, side by side.

use crate::job::{Metric, Outcome};

/// One table: one case, a row for each subject.
pub struct Table {
    pub case: String,
    rows: Vec<Row>,
}

struct Row {
    subject: String,
    config: String,
    rounds: Vec<Result<Outcome, String>>,
}

impl Table {
    pub fn new(case: String) -> Table {
        Table { case, rows: Vec::new() }
    }

    /// Adds the result of a round.
    pub fn add(&mut self, subject: &str, config: &str, result: Result<Outcome, String>) {
        match self.rows.iter_mut().find(|row| row.subject == subject) {
            Some(row) => row.rounds.push(result),
            None => self.rows.push(Row {
                subject: subject.to_owned(),
                config: config.to_owned(),
                rounds: vec![result],
            }),
        }
    }

    /// Prints medians, with the least and the greatest of the rounds, and what failed.
    pub fn print(&self) {
        let heads: Vec<Metric> = self.rows.iter().find_map(Row::metrics).unwrap_or_default();
        println!("\n### {}\n", self.case);
        print!("| {:16} |", "subject");
        heads.iter().for_each(|head| print!(" {:>26} |", format!("{} {}", head.metric, head.unit)));
        println!(" failed | config |");
        println!("|---|{}---:|---|", "---:|".repeat(heads.len()));
        for row in &self.rows {
            print!("| {:16} |", row.subject);
            heads.iter().for_each(|head| print!(" {:>26} |", row.cell(head.metric)));
            println!(" {} | {} |", row.failures(), row.config);
        }
    }
}

impl Row {
    fn metrics(&self) -> Option<Vec<Metric>> {
        self.rounds.iter().find_map(|round| Some(round.as_ref().ok()?.0.clone()))
    }

    fn cell(&self, metric: &str) -> String {
        let outcomes = self.rounds.iter().filter_map(|round| round.as_ref().ok());
        let figures = outcomes.flat_map(|outcome| &outcome.0);
        let mut values: Vec<f64> =
            figures.filter(|figure| figure.metric == metric).map(|figure| figure.value).collect();
        values.sort_by(f64::total_cmp);
        match (values.first(), values.get(values.len() / 2), values.last()) {
            (Some(least), Some(median), Some(greatest)) => {
                format!("{} [{}..{}]", short(*median), short(*least), short(*greatest))
            }
            _ => "–".to_owned(),
        }
    }

    fn failures(&self) -> String {
        let failed: Vec<_> = self.rounds.iter().filter_map(|round| round.as_ref().err()).collect();
        match failed.first() {
            None => "0".to_owned(),
            Some(reason) => format!("{} of {}: {reason}", failed.len(), self.rounds.len()),
        }
    }
}

/// Three digits at least.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_median_and_the_range_of_the_rounds_that_did_not_fail() {
        let round = |value| Ok(Outcome(vec![Metric { metric: "p50", unit: "ns", value }]));
        let mut table = Table::new("mixed4 burst".to_owned());
        for result in [round(31.0), Err("timed out".to_owned()), round(7.5), round(1200.0)] {
            table.add("peer", "1.0", result);
        }
        assert_eq!(table.rows[0].cell("p50"), "31.0 [7.50..1200]");
        assert_eq!(table.rows[0].cell("rate"), "–");
        assert_eq!(table.rows[0].failures(), "1 of 4: timed out");
    }
}
