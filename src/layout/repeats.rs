//! Which names of a list have stood in it before.

/// Finds repeated names; keeps its buffers from one list to the next.
#[derive(Clone, Default, Debug)]
pub(super) struct Repeats {
    order: Vec<usize>,
    repeated: Vec<bool>,
}

impl Repeats {
    /// For each of `count` names whether an earlier one is equal.
    ///
    /// Sorts, so that a hostile list of many names costs no more than its length and a logarithm.
    pub(super) fn find<'n>(&mut self, count: usize, name: impl Fn(usize) -> &'n str) -> &[bool] {
        self.repeated.clear();
        self.repeated.resize(count, false);
        self.order.clear();
        self.order.extend(0..count);
        self.order.sort_unstable_by_key(|&index| (name(index), index));
        for pair in self.order.windows(2) {
            self.repeated[pair[1]] = name(pair[0]) == name(pair[1]);
        }
        &self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_names_is_the_one_kept() {
        let names = ["b", "a", "b", "", "a", "b", ""];
        let mut repeats = Repeats::default();
        let expected = [false, false, true, false, true, true, true];
        assert_eq!(repeats.find(names.len(), |index| names[index]), expected);
        assert_eq!(repeats.find(1, |index| names[index]), [false]);
    }
}
