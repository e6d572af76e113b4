//! The known word that a mistyped one is probably meant to be.

/// The word of `known` that is nearest to `found`, if one is near: at most one character off, and one
/// more for every four that it has. Case does not count.
pub(crate) fn nearest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = known.into_iter().map(|word| (distance(found, word), word)).min()?;
    (near.0 <= 1 + near.1.chars().count() / 4).then_some(near.1)
}

/// How many characters must be put in, left out or changed to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(!from.eq_ignore_ascii_case(to));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

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
