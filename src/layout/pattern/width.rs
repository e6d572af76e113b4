//! How wide a field is: cut to a maximum, filled to a minimum, in characters.

/// What fills a field, a piece at a time.
pub(super) const BLANKS: &str = "                                ";
/// As long as [`BLANKS`].
const ZEROS: &str = "00000000000000000000000000000000";

/// How wide a field is, in characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    pub(super) min: usize,
    pub(super) max: Option<usize>,
    pub(super) fill: Fill,
    /// Whether a value that is too long keeps its end.
    pub(super) keeps_end: bool,
}

/// Where and with what a short value is filled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fill {
    SpacesLeft,
    SpacesRight,
    ZerosLeft,
}

impl Width {
    /// Cuts what stands in `out` from `start` on.
    pub(super) fn cut(&self, start: usize, out: &mut String) {
        let Some(max) = self.max else { return };
        let value = &out[start..];
        if value.len() <= max {
            return;
        }
        if self.keeps_end {
            let excess = value.chars().count().saturating_sub(max);
            let bytes = value.chars().take(excess).map(char::len_utf8).sum::<usize>();
            out.drain(start..start + bytes);
        } else if let Some((at, _)) = value.char_indices().nth(max) {
            out.truncate(start + at);
        }
    }

    /// Fills what stands in `out` from `start` on.
    pub(super) fn fill(&self, start: usize, out: &mut String) {
        if out.len() - start >= self.min * 4 {
            return; // no character takes more than 4 bytes
        }
        let mut missing = self.min.saturating_sub(out[start..].chars().count());
        while missing > 0 {
            let count = missing.min(BLANKS.len());
            match self.fill {
                Fill::SpacesRight => out.push_str(&BLANKS[..count]),
                Fill::SpacesLeft => out.insert_str(start, &BLANKS[..count]),
                Fill::ZerosLeft => out.insert_str(start, &ZEROS[..count]),
            }
            missing -= count;
        }
    }
}
