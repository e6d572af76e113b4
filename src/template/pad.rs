//! Text to a width, and to a deeper level.

use super::parse::Align;
use super::render::Flags;

/// Fills what stands from `start` on to the width of `flags`, on `default` side unless they say.
pub(super) fn pad(out: &mut String, start: usize, flags: &Flags, default: Align) {
    let missing = missing(out, start, flags);
    if missing == 0 {
        return;
    }
    let left = match flags.align.unwrap_or(default) {
        Align::Left => 0,
        Align::Center => missing / 2,
        Align::Right => missing,
    };
    insert(out, start, flags.fill, left);
    out.extend(std::iter::repeat_n(flags.fill, missing - left));
}

/// Fills a number that begins at `start` and has its digits from `digits` on with zeros between the
/// two, or else as [`pad`] does.
pub(super) fn pad_number(out: &mut String, start: usize, digits: usize, flags: &Flags) {
    if flags.zero {
        insert(out, digits, '0', missing(out, start, flags));
    } else {
        pad(out, start, flags, Align::Right);
    }
}

/// Appends `text`, each line four spaces further right.
pub(super) fn push_indented(out: &mut String, text: &str) {
    for line in text.split_inclusive('\n') {
        out.push_str("    ");
        out.push_str(line);
    }
}

/// Characters that are missing to the width.
fn missing(out: &str, start: usize, flags: &Flags) -> usize {
    if flags.width == 0 {
        return 0;
    }
    usize::from(flags.width).saturating_sub(out[start..].chars().count())
}

fn insert(out: &mut String, at: usize, fill: char, count: usize) {
    const SPACES: &str = "                                ";
    match SPACES.get(..count) {
        Some("") => {}
        Some(spaces) if fill == ' ' => out.insert_str(at, spaces),
        _ => out.insert_str(at, &String::from(fill).repeat(count)),
    }
}
