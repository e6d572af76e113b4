//! The known word that a wrong one is probably meant to be.

/// The nearest of the known words, if it is near enough to be meant.
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
            let changed = diagonal + usize::from(from != *to);
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
    fn a_slip_of_the_pen_is_understood_and_another_word_is_not() {
        let known = ["console", "file", "audit"];
        assert_eq!(nearest("consol", known), Some("console"));
        assert_eq!(nearest("fiel", known), Some("file"));
        assert_eq!(nearest("network", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
