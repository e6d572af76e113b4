//! From a template and figures to the page: tables, pictures, and where rollway loses.

use super::figures::{FAILED, Figures, LOST, Metric, Row, Samples};
use crate::chart::{self, Dots, Lines};

/// The subject that has no logger at all: that it is ahead is nobody's loss.
const BASELINE: &str = "nothing";
/// Tables with more kinds of figures have a row for each.
const COLUMNS_MAX: usize = 4;
const NOT_MEASURED: &str = "not measured";

/// A page and the pictures that it shows.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) text: String,
    /// File names and their contents.
    pub(super) pictures: Vec<(String, String)>,
}

impl Page {
    /// Puts what was measured into the places of the template:
    ///
    /// `{{fact NAME}}`, `{{facts}}`, `{{probe}}`, `{{table BENCH CASES}}`, `{{losses}}`,
    /// `{{dots FILE | TITLE | BENCH | CASE}}` and
    /// `{{lines FILE | TITLE | X-AXIS | BENCH | CASE WITH # | METRIC}}`.
    ///
    /// # Errors
    /// The line of a place that is not known.
    pub(super) fn render(template: &str, figures: &Figures) -> Result<Page, String> {
        let mut page = Page { text: String::new(), pictures: Vec::new() };
        for (at, line) in template.split_inclusive('\n').enumerate() {
            let mut rest = line;
            while let Some(begin) = rest.find("{{") {
                let found = rest[begin..].find("}}");
                let end = found.ok_or_else(|| format!("line {}: `}}}}` is missing", at + 1))?;
                page.text.push_str(&rest[..begin]);
                let place = rest[begin + 2..begin + end].trim();
                page.fill(place, figures).map_err(|why| format!("line {}: {why}", at + 1))?;
                rest = &rest[begin + end + 2..];
            }
            page.text.push_str(rest);
        }
        Ok(page)
    }

    fn fill(&mut self, place: &str, figures: &Figures) -> Result<(), String> {
        let (name, rest) = place.split_once(' ').unwrap_or((place, ""));
        let options: Vec<&str> = rest.split('|').map(str::trim).collect();
        let text = match (name, &options[..]) {
            ("fact", [name]) => {
                figures.facts.get(*name).map_or(NOT_MEASURED.to_owned(), |text| cell(text))
            }
            ("facts", [""]) => facts(figures),
            ("probe", [""]) => probe(figures),
            ("losses", [""]) => losses(figures),
            ("table", [selection]) if !selection.is_empty() => {
                let (bench, cases) = selection.split_once(' ').unwrap_or((selection, ""));
                table(figures, bench, cases.trim())
            }
            ("dots", [file, title, bench, case]) => {
                let svg = dots(figures, title, bench, case).to_svg();
                self.picture(file, title, svg)
            }
            ("lines", [file, title, x_axis, bench, case, metric]) if case.contains('#') => {
                let svg = lines(figures, title, x_axis, bench, case, metric).to_svg();
                self.picture(file, title, svg)
            }
            _ => return Err(format!("`{{{{{place}}}}}` is not known; see page.rs for what is")),
        };
        // The template ends its own lines.
        self.text.push_str(text.trim_end_matches('\n'));
        Ok(())
    }

    fn picture(&mut self, file: &str, title: &str, svg: String) -> String {
        let file = format!("{file}.svg");
        let link = format!("![{title}](performance/{file})");
        self.pictures.push((file, svg));
        link
    }
}

fn facts(figures: &Figures) -> String {
    let rows = figures.facts.iter().map(|(name, text)| vec![name.clone(), cell(text)]);
    markdown(&["", ""], 2, rows.collect())
}

fn probe(figures: &Figures) -> String {
    let rows = figures
        .probes()
        .into_iter()
        .map(|(name, unit, samples)| vec![name, told(&samples), unit, samples.count().to_string()]);
    markdown(&["probe", "median [min..max]", "unit", "n"], 1, rows.collect())
}

/// The rows of a program whose cases begin so, and what failed.
fn table(figures: &Figures, bench: &str, cases: &str) -> String {
    let rows: Vec<&Row> = by_case(figures.rows(bench, cases));
    let mut columns: Vec<(&str, &str)> = Vec::new();
    for metric in rows.iter().flat_map(|row| &row.metrics) {
        if !columns.contains(&(&metric.name, &metric.unit)) {
            columns.push((&metric.name, &metric.unit));
        }
    }
    let mut text = match columns.len() <= COLUMNS_MAX {
        true => wide_table(&rows, &columns),
        false => long_table(&rows),
    };
    for row in figures.failures(bench, cases) {
        let (subject, case, reason) = (&row.subject, &row.case, cell(&row.config));
        let times = row.metric(FAILED).map_or(0, |metric| metric.samples.count());
        text.push_str(&format!("\nWithout a result: {subject}, {case}, {times} times: {reason}\n"));
    }
    text
}

/// A column for each kind of figure.
fn wide_table(rows: &[&Row], columns: &[(&str, &str)]) -> String {
    let titles: Vec<String> =
        columns.iter().map(|(name, unit)| format!("{name}, {unit}")).collect();
    let mut head = vec!["case", "subject"];
    head.extend(titles.iter().map(String::as_str));
    head.extend(["n", "configuration"]);
    let told_row = |row: &&Row| {
        let mut cells = vec![cell(&row.case), subject(row)];
        cells.extend(columns.iter().map(|(name, _)| match row.metric(name) {
            Some(metric) => told(&metric.samples),
            None => NOT_MEASURED.to_owned(),
        }));
        let count = row.metrics.iter().map(|metric| metric.samples.count()).max().unwrap_or(0);
        cells.extend([count.to_string(), cell(&row.config)]);
        cells
    };
    markdown(&head, 2, rows.iter().map(told_row).collect())
}

/// A row for each figure.
fn long_table(rows: &[&Row]) -> String {
    let head = ["case", "subject", "figure", "median [min..max]", "unit", "n", "configuration"];
    let told_metric = |row: &Row, metric: &Metric| {
        let samples = &metric.samples;
        let count = samples.count().to_string();
        vec![
            cell(&row.case),
            subject(row),
            cell(&metric.name),
            told(samples),
            cell(&metric.unit),
            count,
            cell(&row.config),
        ]
    };
    let rows =
        rows.iter().flat_map(|row| row.metrics.iter().map(|metric| told_metric(row, metric)));
    markdown(&head, 3, rows.collect())
}

/// Rows of one case together, cases in the order of their first appearance.
fn by_case<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a Row> {
    let mut rows: Vec<&Row> = rows.collect();
    let cases: Vec<&str> = rows.iter().map(|row| &*row.case).collect();
    let first = |row: &&Row| cases.iter().position(|case| *case == row.case);
    rows.sort_by_key(first);
    rows
}

/// Every figure in which a peer is better than rollway, the furthest ahead first; and every case
/// that has peers and lacks rollway.
fn losses(figures: &Figures) -> String {
    let mut losses = Vec::new();
    for bench in figures.benches() {
        let rows: Vec<&Row> = figures.rows(bench, "").collect();
        for peer in rows.iter().filter(|row| !row.is_ours() && row.subject != BASELINE) {
            for metric in &peer.metrics {
                let own = rows.iter().filter(|row| row.is_ours() && row.case == peer.case);
                let own: Vec<_> =
                    own.filter_map(|row| Some((*row, row.metric(&metric.name)?))).collect();
                if own.is_empty() {
                    losses.push(Loss { peer, metric, own: None });
                }
                let ahead = own.into_iter().filter(|(_, own)| is_ahead(metric, own));
                losses.extend(ahead.map(|own| Loss { peer, metric, own: Some(own) }));
            }
        }
    }
    if losses.is_empty() {
        let has_peers = figures
            .benches()
            .into_iter()
            .any(|bench| figures.rows(bench, "").any(|row| !row.is_ours()));
        return match has_peers {
            true => "In this run no peer was ahead in any figure.\n".to_owned(),
            false => format!("Peers were {NOT_MEASURED}.\n"),
        };
    }
    losses.sort_by(|a, b| b.factor().total_cmp(&a.factor()));
    let head = ["case", "figure", "ahead", "its median", "rollway", "its median", "unit", "factor"];
    markdown(&head, 3, losses.iter().map(Loss::cells).collect())
}

/// A figure in which a peer is better, or stands alone.
struct Loss<'a> {
    peer: &'a Row,
    metric: &'a Metric,
    own: Option<(&'a Row, &'a Metric)>,
}

impl Loss<'_> {
    /// How many times as good the peer is.
    fn factor(&self) -> f64 {
        let Some((_, own)) = self.own else { return f64::INFINITY };
        let (peer, own) = (self.metric.samples.median(), own.samples.median());
        let (better, worse) = if self.metric.is_rate() { (own, peer) } else { (peer, own) };
        if better == 0.0 { f64::INFINITY } else { worse / better }
    }

    fn cells(&self) -> Vec<String> {
        let Loss { peer, metric, own } = self;
        let mut ahead = cell(&peer.subject);
        if metric.name != LOST && loses(peer) {
            ahead.push_str(" (loses)");
        }
        let (ours, median) = match own {
            Some((row, own)) => (cell(&row.subject), brief(own.samples.median())),
            None => (NOT_MEASURED.to_owned(), NOT_MEASURED.to_owned()),
        };
        let factor = match self.factor() {
            factor if factor.is_finite() => format!("{factor:.2}"),
            _ => "–".to_owned(),
        };
        vec![
            cell(&peer.case),
            cell(&metric.name),
            ahead,
            brief(metric.samples.median()),
            ours,
            median,
            cell(&metric.unit),
            factor,
        ]
    }
}

fn is_ahead(peer: &Metric, own: &Metric) -> bool {
    let (peer_median, own) = (peer.samples.median(), own.samples.median());
    if peer.is_rate() { peer_median > own } else { peer_median < own }
}

/// The quantiles of all subjects in one case, the fastest first.
fn dots(figures: &Figures, title: &str, bench: &str, case: &str) -> Dots {
    let marks = vec!["p50", "p99", "p99.9"];
    let mut rows: Vec<chart::Row> = figures
        .rows(bench, case)
        .filter(|row| row.case == case)
        .map(|row| chart::Row {
            name: named(row),
            is_strong: row.is_ours(),
            values: marks.iter().map(|mark| row.median(mark)).collect(),
        })
        .collect();
    let first = |row: &chart::Row| row.values[0].unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| first(a).total_cmp(&first(b)));
    Dots {
        title: title.to_owned(),
        axis: "ns a call, medians of the rounds".to_owned(),
        marks,
        rows,
    }
}

/// A figure of all subjects over the number in the name of the case.
fn lines(
    figures: &Figures,
    title: &str,
    x_axis: &str,
    bench: &str,
    case: &str,
    metric: &str,
) -> Lines {
    // By subject: the name also tells whether one of its points was bought with losses.
    let mut lines: Vec<(&str, chart::Line)> = Vec::new();
    let mut unit = String::new();
    for row in figures.rows(bench, "") {
        let (Some(x), Some(metric)) = (number_in(case, &row.case), row.metric(metric)) else {
            continue;
        };
        unit.clone_from(&metric.unit);
        let point = (x, metric.samples.median());
        match lines.iter_mut().find(|(subject, _)| *subject == row.subject) {
            Some((_, line)) => {
                line.points.push(point);
                if loses(row) {
                    line.name = named(row);
                }
            }
            None => {
                let (name, is_strong) = (named(row), row.is_ours());
                let line = chart::Line { name, is_strong, points: vec![point] };
                lines.push((&row.subject, line));
            }
        }
    }
    let lines = lines.into_iter().map(|(_, line)| line).collect();
    let (title, x_axis) = (title.to_owned(), x_axis.to_owned());
    Lines { title, x_axis, y_axis: format!("{metric}, {unit}"), lines }
}

/// The number that stands in `case` where the pattern has `#`. A plural's `s` at the end of either
/// makes no difference.
fn number_in(pattern: &str, case: &str) -> Option<f64> {
    let (before, behind) = pattern.split_once('#')?;
    let rest = case.strip_prefix(before)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(digits);
    let singular = |text: &str| text.strip_suffix('s').unwrap_or(text).to_owned();
    (singular(rest) == singular(behind)).then(|| number.parse().ok())?
}

/// The name for a picture.
fn named(row: &Row) -> String {
    if loses(row) { format!("{} (loses)", row.subject) } else { row.subject.clone() }
}

fn loses(row: &Row) -> bool {
    row.median(LOST).is_some_and(|lost| lost > 0.0)
}

fn subject(row: &Row) -> String {
    let name = cell(&row.subject);
    if row.is_ours() { format!("**{name}**") } else { name }
}

/// Median and range.
fn told(samples: &Samples) -> String {
    let [median, least, greatest] =
        [samples.median(), samples.least(), samples.greatest()].map(brief);
    if least == greatest { median } else { format!("{median} [{least}..{greatest}]") }
}

/// Three digits at least, and no more decimals than that takes.
fn brief(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size == 0.0 || size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 0.1 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// A table whose first `texts` columns are aligned to the left, as the last is; without rows the
/// words that say so.
fn markdown(head: &[&str], texts: usize, rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return format!("*{NOT_MEASURED}*\n");
    }
    let mut text = format!("| {} |\n|", head.join(" | "));
    for column in 0..head.len() {
        let is_text = column < texts || column + 1 == head.len();
        text.push_str(if is_text { "---|" } else { "--:|" });
    }
    text.push('\n');
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of `(bench, subject, case, metric, unit, value)`.
    fn figures(of: &[(&str, &str, &str, &str, &str, f64)]) -> Figures {
        let line = |(bench, subject, case, metric, unit, value): &(_, _, _, _, _, f64)| {
            format!(
                r#"{{"bench":"{bench}","subject":"{subject}","case":"{case}","metric":"{metric}","unit":"{unit}","value":{value},"config":"a|b"}}"#
            )
        };
        Figures::parse(&of.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap()
    }

    fn rendered(template: &str, figures: &Figures) -> String {
        Page::render(template, figures).unwrap().text
    }

    #[test]
    fn a_table_has_median_range_and_count_and_says_what_is_missing() {
        let figures = figures(&[
            ("peers", "rollway-text", "mixed4 burst", "p50", "ns", 10.0),
            ("peers", "rollway-text", "mixed4 burst", "p50", "ns", 12.25),
            ("peers", "rollway-text", "mixed4 burst", "p50", "ns", 300.0),
            ("peers", "rollway-text", "mixed4 burst", "p99", "ns", 14.0),
            ("peers", "peer", "mixed4 burst", "p50", "ns", 70.0),
            ("peers", "peer", "int2 burst", "p50", "ns", 60.0),
        ]);
        assert_eq!(
            rendered("Calls:\n\n{{table peers mixed4}}\nend", &figures),
            "Calls:\n\n\
             | case | subject | p50, ns | p99, ns | n | configuration |\n\
             |---|---|--:|--:|--:|---|\n\
             | mixed4 burst | **rollway-text** | 12.2 [10.0..300] | 14.0 | 3 | a\\|b |\n\
             | mixed4 burst | peer | 70.0 | not measured | 1 | a\\|b |\n\
             end"
        );
    }

    #[test]
    fn many_kinds_of_figures_get_a_row_each() {
        let metrics = ["rate", "cpu", "size", "p50", "p99"];
        let of: Vec<_> =
            metrics.map(|metric| ("paths", "rollway", "text", metric, "x", 1.5)).into();
        let text = rendered("{{table paths}}", &figures(&of));
        assert!(text.contains("| text | **rollway** | size | 1.50 | x | 1 | a\\|b |"), "{text}");
    }

    #[test]
    fn nothing_measured_is_a_page_that_says_so() {
        let template = "{{facts}}{{probe}}{{table peers}}{{losses}}{{fact cpu}}\
                        {{dots a | A | peers | mixed4 burst}}\
                        {{lines b | B | threads | peers | text # producers | rate}}";
        let page = Page::render(template, &Figures::default()).unwrap();
        assert_eq!(page.text.matches(NOT_MEASURED).count(), 5, "{}", page.text);
        assert!(page.text.ends_with("![A](performance/a.svg)![B](performance/b.svg)"));
        for (file, svg) in page.pictures {
            assert!(svg.contains(NOT_MEASURED), "{file}: {svg}");
        }
    }

    #[test]
    fn every_peer_that_is_ahead_is_listed_and_none_that_is_not() {
        let figures = figures(&[
            ("peers", "rollway-text", "text 1 producer", "rate", "M/s", 15.0),
            ("peers", "faster", "text 1 producer", "rate", "M/s", 30.0),
            ("peers", "faster", "text 1 producer", "lost", "events", 7.0),
            ("peers", "slower", "text 1 producer", "rate", "M/s", 1.0),
            ("peers", "rollway-text", "burst", "p50", "ns", 10.0),
            ("peers", "faster", "burst", "p50", "ns", 2.5),
            ("peers", "slower", "burst", "p50", "ns", 80.0),
            ("peers", "alone", "json", "rate", "M/s", 3.0),
        ]);
        let text = rendered("{{losses}}", &figures);
        let row = |words: &str| text.lines().any(|line| line == words);
        assert!(row(
            "| text 1 producer | rate | faster (loses) | 30.0 | rollway-text | 15.0 | M/s | 2.00 |"
        ));
        assert!(row("| burst | p50 | faster | 2.50 | rollway-text | 10.0 | ns | 4.00 |"));
        assert!(row("| json | rate | alone | 3.00 | not measured | not measured | M/s | – |"));
        assert!(!text.contains("slower"), "{text}");
        let none = rendered(
            "{{losses}}",
            &super::tests::figures(&[
                ("peers", "rollway-text", "burst", "p50", "ns", 10.0),
                ("peers", "slower", "burst", "p50", "ns", 80.0),
            ]),
        );
        assert!(none.contains("no peer was ahead"), "{none}");
    }

    #[test]
    fn a_measurement_without_a_result_stays_visible() {
        let text = rendered(
            "{{table peers}}",
            &figures(&[("peers", "peer", "burst", "failed", "runs", 1.0)]),
        );
        assert!(text.contains("Without a result: peer, burst, 1 times: a\\|b"), "{text}");
    }

    #[test]
    fn the_number_in_the_name_of_a_case_is_its_place_on_the_axis() {
        let number = |case| number_in("mixed4 text # producers", case);
        assert_eq!(number("mixed4 text 1 producer"), Some(1.0));
        assert_eq!(number("mixed4 text 16 producers"), Some(16.0));
        assert_eq!(number("mixed4 journal 1 producer"), None);
        assert_eq!(number("mixed4 text  producers"), None);
    }

    #[test]
    fn a_place_that_is_not_known_is_named_with_its_line() {
        for template in ["\n{{tabel peers}}", "\n{{table}}", "\n{{dots a}}", "\n{{table peers"] {
            let error = Page::render(template, &Figures::default()).unwrap_err();
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }
}
