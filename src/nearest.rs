//! The known word that a mistyped one is probably meant to be.

/// The word of `known` that is nearest to `found`, if one is near: at most one character off, and one
/// more for every four that it has. Case does not count.
pub(crate) fn nearest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let (off, word) = least_off(found, known)?;
    (off <= 1 + word.chars().count() / 4).then_some(word)
}

/// The word of `known` that is one slip of the finger from `found`.
pub(crate) fn one_slip_off<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    least_off(found, known).filter(|(off, _)| *off <= 1).map(|(_, word)| word)
}

fn least_off<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<(usize, &'a str)> {
    let found = found.to_lowercase();
    known.into_iter().map(|word| (distance(&found, &word.to_lowercase()), word)).min()
}

/// How many characters must be put in, left out, changed, or changed with their neighbour to make one
/// word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut above = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let changed = row[j] + usize::from(a[i] != b[j]);
            let mut least = changed.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(above[j - 1] + 1);
            }
            next.push(least);
        }
        (above, row) = (row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_one_character_and_letters_that_changed_places_are_one() {
        let known = ["warn", "off"];
        assert_eq!(one_slip_off("wran", known), Some("warn"));
        assert_eq!(one_slip_off("warm", known), Some("warn"));
        assert_eq!(one_slip_off("main", known), None);
    }

    #[test]
    fn a_mistyped_word_finds_what_was_meant_and_a_strange_one_nothing() {
        let known = ["console", "file", "audit"];
        assert_eq!(nearest("consloe", known), Some("console"));
        assert_eq!(nearest("FILE", known), Some("file"));
        assert_eq!(nearest("fil", known), Some("file"));
        assert_eq!(nearest("syslog", known), None);
        assert_eq!(nearest("file", []), None);
    }
}
