//! Which blocks of a run a reader has met.

/// Gaps that are remembered. Beyond it the lowest one counts as met.
const RANGES_MAX: usize = 1024;

/// The sequences of the blocks of one run that were met, as ranges.
///
/// In a journal that nobody damaged they come in order, and there is one range. Where a page stands
/// in the place of another, a later block may come before earlier ones: each is met once all the same.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// First and last sequence, ascending, with a gap between any two.
    ranges: Vec<(u64, u64)>,
}

impl Seen {
    /// Whether a block was met.
    pub(crate) fn has(&self, sequence: u64) -> bool {
        let at = self.ranges.partition_point(|(_, last)| *last < sequence);
        self.ranges.get(at).is_some_and(|(first, _)| *first <= sequence)
    }

    /// Remembers a block. `false` when it was met before.
    pub(crate) fn insert(&mut self, sequence: u64) -> bool {
        let behind = self.ranges.partition_point(|(_, last)| *last < sequence);
        if self.ranges.get(behind).is_some_and(|(first, _)| *first <= sequence) {
            return false;
        }
        let joins_next = self
            .ranges
            .get(behind)
            .is_some_and(|(first, _)| first.checked_sub(1) == Some(sequence));
        let before = behind.checked_sub(1);
        let joins_last = before.filter(|at| self.ranges[*at].1.checked_add(1) == Some(sequence));
        match (joins_last, joins_next) {
            (Some(at), true) => {
                self.ranges[at].1 = self.ranges[behind].1;
                self.ranges.remove(behind);
            }
            (Some(at), false) => self.ranges[at].1 = sequence,
            (None, true) => self.ranges[behind].0 = sequence,
            (None, false) => self.ranges.insert(behind, (sequence, sequence)),
        }
        if self.ranges.len() > RANGES_MAX {
            self.ranges[1].0 = self.ranges[0].0;
            self.ranges.remove(0);
        }
        true
    }

    /// Forgets a block: it is to be met again.
    pub(crate) fn remove(&mut self, sequence: u64) {
        let at = self.ranges.partition_point(|(_, last)| *last < sequence);
        let Some((first, last)) = self.ranges.get(at).copied().filter(|found| found.0 <= sequence)
        else {
            return;
        };
        // Both are within u64: the range has more than the block on that side.
        let before = (first < sequence).then(|| (first, sequence - 1));
        let behind = (sequence < last).then(|| (sequence + 1, last));
        self.ranges.splice(at..=at, before.into_iter().chain(behind));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_block_is_met_once_in_any_order(
            sequences in prop::collection::vec(prop_oneof![0_u64..40, Just(u64::MAX), Just(u64::MAX - 1)], 0..80),
        ) {
            let (mut seen, mut model) = (Seen::default(), BTreeSet::new());
            for (n, sequence) in sequences.into_iter().enumerate() {
                if n % 3 == 2 {
                    seen.remove(sequence);
                    model.remove(&sequence);
                }
                prop_assert_eq!(seen.insert(sequence), model.insert(sequence));
            }
            let mut gaps = seen.ranges.windows(2);
            prop_assert!(gaps.all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn many_gaps_take_bounded_memory_and_the_newest_stay() {
        let mut seen = Seen::default();
        for sequence in (0..10_000).step_by(2) {
            assert!(seen.insert(sequence));
        }
        assert_eq!(seen.ranges.len(), RANGES_MAX);
        assert!(seen.insert(9_997) && !seen.insert(3));
    }
}
