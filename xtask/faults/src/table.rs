//! The table of what came of the cases.

use std::time::Duration;

use serde_json::json;

use crate::case::{Case, Outcome};
use crate::options::Options;

/// What came of one case.
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

const HEAD: [&str; 5] = ["case", "fault", "target", "figure", "verdict"];

impl Row {
    fn cells(&self) -> [&str; 5] {
        let Case { id, what, target, .. } = self.case;
        [id, what, target, self.outcome.figure(), self.outcome.verdict()]
    }
}

/// The table for a terminal: a line each, the figure below.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let [id, what, target, figure, verdict] = row.cells();
        out.push_str(&format!("{id:<5} {verdict:<8} {what}; target: {target}\n"));
        out.push_str(&format!("{:14} {figure}\n", ""));
    }
    let count = |verdict| rows.iter().filter(|row| row.outcome.verdict() == verdict).count();
    let (passed, failed, skipped) = (count("passed"), count("failed"), count("skipped"));
    out.push_str(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
    out
}

/// The table for a page.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let line = |cells: [&str; 5]| {
        // A bar or the end of a line would end the cell, and an angle bracket begin a tag.
        let cells = cells.map(|cell| {
            let words: Vec<_> = cell.split_whitespace().collect();
            words.join(" ").replace('|', "\\|").replace('<', "&lt;")
        });
        format!("| {} |\n", cells.join(" | "))
    };
    let mut out = line(HEAD);
    out.push_str("|---|---|---|---|---|\n");
    out.extend(rows.iter().map(|row| line(row.cells())));
    out
}

/// The table for a program.
pub(crate) fn json(rows: &[Row], options: &Options) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let [case, fault, target, figure, verdict] = row.cells();
            json!({
                "case": case, "fault": fault, "target": target, "figure": figure,
                "verdict": verdict, "seconds": row.took.as_secs_f64(),
            })
        })
        .collect();
    format!("{:#}\n", json!({ "seed": options.seed, "long": options.long, "cases": rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome) -> Row {
        static CASE: Case = Case {
            id: "R99",
            what: "a bar | falls",
            target: "0 hurt",
            run: |_| Outcome::Skipped(String::new()),
        };
        Row { case: &CASE, outcome, took: Duration::from_millis(1500) }
    }

    #[test]
    fn each_form_of_the_table_has_figure_and_verdict() {
        let rows = [row(Outcome::Passed("0 of 7".into())), row(Outcome::Failed("1 of 7".into()))];
        let text = text(&rows);
        assert!(text.contains("0 of 7") && text.ends_with("1 passed, 1 failed, 0 skipped\n"));
        let options = Options::parse(&[]).unwrap().unwrap();
        let json: serde_json::Value = serde_json::from_str(&json(&rows, &options)).unwrap();
        assert_eq!(json["cases"][1]["verdict"], "failed");
        assert_eq!(json["cases"][1]["seconds"], 1.5);
    }

    #[test]
    fn a_cell_of_a_page_is_not_ended_by_what_it_says() {
        let page = markdown(&[row(Outcome::Passed("fine,\n  <1 ms".into()))]);
        let last = "| R99 | a bar \\| falls | 0 hurt | fine, &lt;1 ms | passed |\n";
        assert!(page.ends_with(last), "{page}");
    }
}
