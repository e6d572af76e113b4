//! Pictures as SVG: dots over a logarithmic axis, and lines over a count.
//!
//! Self-contained text without scripts. Colours follow the reader's light or dark setting. What is
//! not a positive, finite number is not drawn; a picture without anything to draw says so.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 20.0;
const TITLE_HEIGHT: f64 = 34.0;
const AXIS_HEIGHT: f64 = 46.0;
const ROW_HEIGHT: f64 = 24.0;
/// Letters of the names beside rows and lines are about this wide.
const LETTER_WIDTH: f64 = 7.3;
const NAME_LETTERS_MAX: usize = 34;
/// Of a plot with lines.
const PLOT_HEIGHT: f64 = 380.0;
/// Names of lines are no closer.
const NAME_HEIGHT: f64 = 15.0;
/// The one that the picture is about.
const STRONG: &str = "#e8590c";
/// The others, each visible on white and on black.
const COLOURS: [&str; 7] =
    ["#4c78a8", "#54a24b", "#b279a2", "#9d755d", "#3fa7a0", "#8a8f3c", "#7f7f8c"];
const DASHES: [&str; 3] = ["", "7 3", "2 3"];
const STYLE: &str = "\
.paper{fill:#ffffff}.ink{fill:#1f2328}.faint{fill:#59636e}.grid{stroke:#d1d9e0}\
.rule{stroke:#818b98}.dot{stroke:#ffffff}\
@media(prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#f0f6fc}.faint{fill:#9198a1}\
.grid{stroke:#30363d}.rule{stroke:#656c76}.dot{stroke:#0d1117}}";

/// A row of marks for each subject, over one logarithmic axis.
#[derive(Debug)]
pub(crate) struct Dots {
    pub(crate) title: String,
    /// What the axis counts, with its unit.
    pub(crate) axis: String,
    /// The names of the marks, such as `p50` and `p99`; four at the most.
    pub(crate) marks: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
}

/// One subject.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Drawn in the strong colour.
    pub(crate) is_strong: bool,
    /// One for each mark; `None` was not measured.
    pub(crate) values: Vec<Option<f64>>,
}

impl Dots {
    pub(crate) fn to_svg(&self) -> String {
        let left = MARGIN + name_width(self.rows.iter().map(|row| &*row.name));
        let right = WIDTH - MARGIN - 12.0;
        let bottom = TITLE_HEIGHT + 30.0 + ROW_HEIGHT * self.rows.len().max(1) as f64;
        let mut svg = Svg::new(&self.title, bottom + AXIS_HEIGHT);
        let values = self.rows.iter().flat_map(|row| row.values.iter().flatten());
        let Some(axis) = LogAxis::over(values.copied(), left, right) else {
            return svg.without_anything();
        };

        for (at, mark) in self.marks.iter().enumerate() {
            let x = left + 90.0 * at as f64;
            svg.dot(x, TITLE_HEIGHT + 10.0, at, "#7f7f8c");
            svg.text(x + 12.0, TITLE_HEIGHT + 14.0, "start", "faint", mark);
        }
        for (value, is_labelled) in axis.ticks() {
            let x = axis.place(value);
            svg.line("grid", [x, TITLE_HEIGHT + 24.0, x, bottom]);
            if is_labelled {
                svg.text(x, bottom + 18.0, "middle", "faint", &number(value));
            }
        }
        svg.text((left + right) / 2.0, bottom + 38.0, "middle", "ink", &self.axis);
        for (at, row) in self.rows.iter().enumerate() {
            let y = TITLE_HEIGHT + 30.0 + ROW_HEIGHT * (at as f64 + 0.5);
            svg.text(left - 14.0, y + 4.0, "end", "ink", &short(&row.name));
            let colour = if row.is_strong { STRONG } else { COLOURS[0] };
            let drawn = |value: &Option<f64>| value.filter(|value| is_drawn(*value));
            let known: Vec<f64> = row.values.iter().filter_map(drawn).collect();
            if known.is_empty() {
                svg.text(left + 4.0, y + 4.0, "start", "faint", "not measured");
            }
            let least = known.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = known.iter().copied().fold(0.0, f64::max);
            if known.len() > 1 {
                svg.stroke(&[(axis.place(least), y), (axis.place(greatest), y)], colour, 2.0, "");
            }
            for (mark, value) in row.values.iter().enumerate() {
                if let Some(value) = drawn(value) {
                    svg.dot(axis.place(value), y, mark, colour);
                }
            }
        }
        svg.end()
    }
}

/// Lines over a count: threads, bytes. Both axes are logarithmic.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) x_axis: String,
    pub(crate) y_axis: String,
    pub(crate) lines: Vec<Line>,
}

/// One subject.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Drawn in the strong colour.
    pub(crate) is_strong: bool,
    /// In any order.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Lines {
    pub(crate) fn to_svg(&self) -> String {
        let (top, bottom) = (TITLE_HEIGHT + 14.0, TITLE_HEIGHT + 14.0 + PLOT_HEIGHT);
        let names = name_width(self.lines.iter().map(|line| &*line.name));
        let (left, right) = (MARGIN + 56.0, WIDTH - MARGIN - names - 24.0);
        let mut svg = Svg::new(&self.title, bottom + AXIS_HEIGHT);
        let lines: Vec<(&Line, Vec<(f64, f64)>)> = self
            .lines
            .iter()
            .map(|line| (line, drawn_points(&line.points)))
            .filter(|(_, points)| !points.is_empty())
            .collect();
        let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
        let (Some(x_axis), Some(y_axis)) = (
            LogAxis::between(points().map(|(x, _)| x), left + 10.0, right - 10.0),
            LogAxis::over(points().map(|(_, y)| y), bottom, top),
        ) else {
            return svg.without_anything();
        };

        for (value, is_labelled) in y_axis.ticks() {
            let y = y_axis.place(value);
            svg.line("grid", [left, y, right, y]);
            if is_labelled {
                svg.text(left - 8.0, y + 4.0, "end", "faint", &number(value));
            }
        }
        let mut counts: Vec<f64> = points().map(|(x, _)| x).collect();
        counts.sort_by(f64::total_cmp);
        counts.dedup();
        for count in counts {
            let x = x_axis.place(count);
            svg.line("rule", [x, bottom, x, bottom + 5.0]);
            svg.text(x, bottom + 19.0, "middle", "faint", &count_text(count));
        }
        svg.line("rule", [left, bottom, right, bottom]);
        svg.text((left + right) / 2.0, bottom + 38.0, "middle", "ink", &self.x_axis);
        svg.upright(MARGIN + 4.0, (top + bottom) / 2.0, &self.y_axis);

        let mut ends = Vec::new();
        for (at, (line, points)) in lines.iter().enumerate() {
            let colour = if line.is_strong { STRONG } else { COLOURS[at % COLOURS.len()] };
            let dash = match line.is_strong {
                true => "",
                false => DASHES[at / COLOURS.len() % DASHES.len()],
            };
            let places: Vec<(f64, f64)> =
                points.iter().map(|(x, y)| (x_axis.place(*x), y_axis.place(*y))).collect();
            svg.stroke(&places, colour, if line.is_strong { 3.5 } else { 1.8 }, dash);
            for (x, y) in &places {
                svg.dot(*x, *y, 0, colour);
            }
            if let Some((x, y)) = places.last() {
                ends.push((*x, *y, line.name.as_str(), colour));
            }
        }
        // Lines end close to one another; their names must not.
        ends.sort_by(|a, b| a.1.total_cmp(&b.1));
        let heights: Vec<f64> = ends.iter().map(|(_, y, ..)| *y).collect();
        for ((x, y, name, colour), name_y) in ends.into_iter().zip(apart(&heights, top, bottom)) {
            svg.line("grid", [x + 7.0, y, right + 22.0, name_y]);
            svg.coloured(right + 26.0, name_y + 4.0, colour, &short(name));
        }
        svg.end()
    }
}

/// Moves heights, which ascend, apart so that names find room; within the plot as long as they fit.
fn apart(heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::with_capacity(heights.len());
    for height in heights {
        let free = placed.last().map_or(top, |last| last + NAME_HEIGHT);
        placed.push(height.max(free));
    }
    let mut limit = bottom;
    for height in placed.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - NAME_HEIGHT;
    }
    placed
}

fn drawn_points(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut drawn: Vec<(f64, f64)> =
        points.iter().copied().filter(|(x, y)| is_drawn(*x) && is_drawn(*y)).collect();
    drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
    drawn
}

/// Whether a value has a place on a logarithmic axis.
fn is_drawn(value: f64) -> bool {
    value.is_finite() && value >= f64::MIN_POSITIVE
}

/// From values to places, each decade equally long.
struct LogAxis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl LogAxis {
    /// An axis that begins and ends at 1, 2 or 5 of a decade, and has room for one value, too.
    /// `None` without a value that can be drawn.
    fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<LogAxis> {
        let (least, greatest) = range(values)?;
        let (from, mut to) = (step_below(least), step_above(greatest));
        if to / from < 5.0 {
            to = step_above(from * 5.0);
        }
        Some(LogAxis { from: from.log10(), to: to.log10(), start, end })
    }

    /// An axis from the least to the greatest value; a single one is in the middle.
    fn between(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<LogAxis> {
        let (least, greatest) = range(values)?;
        let (mut from, mut to) = (least.log10(), greatest.log10());
        if to - from < 1e-9 {
            (from, to) = (from - 0.5, to + 0.5);
        }
        Some(LogAxis { from, to, start, end })
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.log10() - self.from) / (self.to - self.from);
        self.start + part.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Values with a line of the grid, and whether they are written. Over many decades only these.
    fn ticks(&self) -> Vec<(f64, bool)> {
        let decades = self.to - self.from;
        let every = (decades / 12.0).ceil().max(1.0) as usize;
        let steps: &[f64] = if decades > 4.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        for decade in (self.from.floor() as i32..=self.to.ceil() as i32).step_by(every) {
            for step in steps {
                let value = step * 10_f64.powi(decade);
                let at = value.log10();
                if at >= self.from - 1e-9 && at <= self.to + 1e-9 {
                    ticks.push((value, decades <= 2.5 || *step == 1.0));
                }
            }
        }
        ticks
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.filter(|value| is_drawn(*value)).collect();
    let least = values.iter().copied().reduce(f64::min)?;
    let greatest = values.iter().copied().reduce(f64::max)?;
    Some((least, greatest))
}

fn step_below(value: f64) -> f64 {
    let decade = 10_f64.powi(value.log10().floor() as i32);
    let steps = [5.0, 2.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step <= value).unwrap_or(decade.max(f64::MIN_POSITIVE))
}

fn step_above(value: f64) -> f64 {
    let decade = 10_f64.powi(value.log10().floor() as i32);
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value).min(f64::MAX)
}

/// A tick as people write it.
fn number(value: f64) -> String {
    for (unit, letter) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if (unit..unit * 1e3).contains(&value) {
            let number = format!("{:.2}", value / unit);
            return format!("{}{letter}", number.trim_end_matches('0').trim_end_matches('.'));
        }
    }
    if (0.001..1e3).contains(&value) {
        let number = format!("{value:.3}");
        return number.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{value:.0e}")
}

/// A count: exact as long as that is short.
fn count_text(count: f64) -> String {
    if count.fract() == 0.0 && count < 1e6 { format!("{count:.0}") } else { number(count) }
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_LETTERS_MAX {
        return name.to_owned();
    }
    name.chars().take(NAME_LETTERS_MAX - 1).chain(['…']).collect()
}

fn name_width<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    let letters = names.map(|name| name.chars().count().min(NAME_LETTERS_MAX)).max().unwrap_or(0);
    letters as f64 * LETTER_WIDTH + 20.0
}

/// The text of a picture, piece by piece.
struct Svg {
    text: String,
}

impl Svg {
    fn new(title: &str, height: f64) -> Svg {
        let title = escaped(title);
        let middle = WIDTH / 2.0;
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
             font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12.5\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
             <text class=\"ink\" x=\"{middle}\" y=\"22\" text-anchor=\"middle\" \
             font-size=\"15\" font-weight=\"600\">{title}</text>\n"
        );
        Svg { text }
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let text = escaped(text);
        self.add(format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn coloured(&mut self, x: f64, y: f64, colour: &str, text: &str) {
        let text = escaped(text);
        self.add(format!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{text}</text>"));
    }

    fn upright(&mut self, x: f64, y: f64, text: &str) {
        let text = escaped(text);
        self.add(format!(
            "<text class=\"ink\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{text}</text>"
        ));
    }

    fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        self.add(format!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn stroke(&mut self, places: &[(f64, f64)], colour: &str, width: f64, dash: &str) {
        let places: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-dasharray=\"{}\"/>",
            places.join(" "),
            if dash.is_empty() { "none" } else { dash },
        ));
    }

    /// A mark of its own shape: colour alone does not tell everybody which is which.
    fn dot(&mut self, x: f64, y: f64, mark: usize, colour: &str) {
        self.add(match mark % 4 {
            0 => format!(
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>"
            ),
            1 => format!(
                "<rect class=\"dot\" x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\" \
                 fill=\"{colour}\"/>",
                x - 4.5,
                y - 4.5
            ),
            2 => format!(
                "<path class=\"dot\" d=\"M{x:.1} {:.1}l6 11h-12z\" fill=\"{colour}\"/>",
                y - 6.5
            ),
            _ => format!(
                "<path class=\"dot\" d=\"M{x:.1} {:.1}l6 6l-6 6l-6 -6z\" fill=\"{colour}\"/>",
                y - 6.0
            ),
        });
    }

    fn without_anything(mut self) -> String {
        self.text(WIDTH / 2.0, TITLE_HEIGHT + 30.0, "middle", "faint", "not measured");
        self.end()
    }

    fn add(&mut self, piece: String) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{piece}");
    }

    fn end(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// Text that is neither an element nor an entity, nor a character that XML forbids.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every element that is opened is closed, attributes are quoted, and no number is none.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        let mut rest = svg;
        while let Some(at) = rest.find('<') {
            assert!(!rest[..at].contains('>'), "a bare `>` in {rest}");
            let end = rest[at..].find('>').expect("an element ends") + at;
            let element = &rest[at + 1..end];
            assert_eq!(element.matches('"').count() % 2, 0, "{element}");
            let name = |text: &str| {
                text.trim_matches('/').split_whitespace().next().expect("a name").to_owned()
            };
            if element.starts_with('/') {
                assert_eq!(open.pop(), Some(name(element)), "{element}");
            } else if !element.ends_with('/') {
                open.push(name(element));
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty(), "{open:?} stay open");
        for word in ["NaN", "inf", "<script"] {
            assert!(!svg.contains(word), "{word} in {svg}");
        }
    }

    fn dots(rows: &[(&str, &[Option<f64>])]) -> String {
        let row = |(name, values): &(&str, &[Option<f64>])| Row {
            name: (*name).to_owned(),
            is_strong: *name == "rollway",
            values: values.to_vec(),
        };
        let marks = vec!["p50", "p99", "p99.9"];
        let (title, axis) = ("Cost of a call".to_owned(), "ns".to_owned());
        Dots { title, axis, marks, rows: rows.iter().map(row).collect() }.to_svg()
    }

    fn lines(lines: &[(&str, &[(f64, f64)])]) -> String {
        let line = |(name, points): &(&str, &[(f64, f64)])| Line {
            name: (*name).to_owned(),
            is_strong: *name == "rollway",
            points: points.to_vec(),
        };
        Lines {
            title: "Lines a second".to_owned(),
            x_axis: "threads".to_owned(),
            y_axis: "M/s".to_owned(),
            lines: lines.iter().map(line).collect(),
        }
        .to_svg()
    }

    #[test]
    fn pictures_are_well_formed_whatever_the_figures_are() {
        let odd = [f64::NAN, f64::INFINITY, 0.0, -3.0, f64::MIN_POSITIVE, f64::MAX, 1e-320];
        let values: Vec<Option<f64>> = odd.iter().copied().map(Some).collect();
        let points: Vec<(f64, f64)> = odd.iter().flat_map(|x| odd.map(|y| (*x, y))).collect();
        for svg in [
            dots(&[]),
            dots(&[("rollway", &[])]),
            dots(&[("rollway", &[Some(9.5)])]),
            dots(&[("rollway", &[Some(9.5), None, Some(20.0)]), ("<peer & \"co\">", &[None])]),
            dots(&[("odd", &values), ("\u{1}", &[Some(f64::NAN)])]),
            lines(&[]),
            lines(&[("rollway", &[])]),
            lines(&[("rollway", &[(1.0, 15.0)])]),
            lines(&[("rollway", &[(4.0, 14.0), (1.0, 15.0)]), ("a<b", &[(2.0, f64::NAN)])]),
            lines(&[("odd", &points)]),
        ] {
            assert_well_formed(&svg);
        }
    }

    #[test]
    fn a_picture_without_figures_says_so() {
        assert!(dots(&[]).contains("not measured"));
        assert!(lines(&[("rollway", &[])]).contains("not measured"));
        let row = dots(&[("rollway", &[Some(9.5)]), ("peer", &[None, None])]);
        assert!(row.contains("peer") && row.contains("not measured"));
    }

    #[test]
    fn a_longer_time_stands_further_to_the_right() {
        let axis = LogAxis::over([9.5, 3000.0].into_iter(), 100.0, 800.0).unwrap();
        assert!(axis.place(9.5) < axis.place(20.0) && axis.place(20.0) < axis.place(3000.0));
        assert!(axis.place(9.5) >= 100.0 && axis.place(3000.0) <= 800.0);
        let labelled = axis.ticks().into_iter().filter(|(_, is_labelled)| *is_labelled);
        assert_eq!(labelled.map(|(tick, _)| tick).collect::<Vec<_>>(), [10.0, 100.0, 1000.0]);
    }

    #[test]
    fn names_of_lines_do_not_cover_one_another() {
        let placed = apart(&[10.0, 11.0, 12.0, 300.0, 379.0, 380.0], 0.0, 380.0);
        assert!(placed.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT), "{placed:?}");
        assert_eq!(placed.last(), Some(&380.0));
    }

    #[test]
    fn ticks_are_written_as_people_write_them() {
        assert_eq!(
            [0.5, 1.0, 20.0, 1e3, 1.5e6, 65536.0, 1e-9].map(number),
            ["0.5", "1", "20", "1k", "1.5M", "65.54k", "1e-9"]
        );
        assert_eq!([4.0, 1024.0, 0.5, 2e6].map(count_text), ["4", "1024", "0.5", "2M"]);
    }
}
