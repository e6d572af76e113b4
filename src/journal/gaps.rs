//! Which blocks of a run a reader has not met.

/// Gaps that are remembered where blocks may come late. Beyond it the lowest one counts as final.
pub(crate) const GAPS_MAX: usize = 1024;

/// The blocks of one run that are missing so far, each gap with the place `P` of the block behind it.
///
/// A block that a power failure took may have come again: then it stands behind later ones, and was
/// never missing. So what is missing is known at the end.
#[derive(Debug)]
pub(crate) struct Gaps<P> {
    max: usize,
    /// The greatest sequence so far.
    last: Option<u64>,
    /// First and last sequence of each, ascending.
    gaps: Vec<(u64, u64, P)>,
}

impl<P: Clone + PartialEq> Gaps<P> {
    /// Of a run of which no block was met. Remembers `max` gaps.
    pub(crate) fn remembering(max: usize) -> Gaps<P> {
        Gaps { max, last: None, gaps: Vec::new() }
    }

    /// The greatest sequence so far.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Meets a block, for the first time. Yields a gap that is one too many to remember: its place and
    /// its blocks.
    pub(crate) fn meet(&mut self, sequence: u64, place: P) -> Option<(P, u64)> {
        match self.last {
            Some(last) if sequence <= last => self.fill(sequence),
            Some(last) if sequence - last > 1 => self.gaps.push((last + 1, sequence - 1, place)),
            _ => {}
        }
        self.last = self.last.max(Some(sequence));
        (self.gaps.len() > self.max).then(|| told(self.gaps.remove(0)))
    }

    /// What is missing in the end: places and numbers of blocks, ascending.
    pub(crate) fn end(&mut self) -> Vec<(P, u64)> {
        let mut missing: Vec<(P, u64)> = Vec::new();
        for (place, blocks) in self.gaps.drain(..).map(told) {
            match missing.last_mut() {
                Some((last, sum)) if *last == place => *sum += blocks,
                _ => missing.push((place, blocks)),
            }
        }
        missing
    }

    /// A block came late.
    fn fill(&mut self, sequence: u64) {
        let at = self.gaps.partition_point(|(_, last, _)| *last < sequence);
        let gap = self.gaps.get(at).filter(|(first, ..)| *first <= sequence).cloned();
        let Some((first, last, place)) = gap else { return };
        let before = (first < sequence).then(|| (first, sequence - 1, place.clone()));
        let behind = (sequence < last).then(|| (sequence + 1, last, place));
        self.gaps.splice(at..=at, before.into_iter().chain(behind));
    }
}

fn told<P>((first, last, place): (u64, u64, P)) -> (P, u64) {
    (place, last - first + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_missing_at_the_end_never_came(
            sequences in prop::collection::vec(prop_oneof![1_u64..40, Just(u64::MAX)], 1..60),
            max in 0_usize..6,
        ) {
            let mut gaps = Gaps::remembering(max);
            let mut met = BTreeSet::new();
            let mut missing = Vec::new();
            for sequence in sequences.iter().copied() {
                if met.insert(sequence) {
                    missing.extend(gaps.meet(sequence, sequence));
                }
            }
            let is_final = missing.is_empty();
            missing.extend(gaps.end());
            let (first, last) = (sequences[0], met.last().copied().unwrap());
            let there = met.iter().filter(|sequence| **sequence >= first).count() as u64;
            let truly = last - first + 1 - there;
            let told: u64 = missing.iter().map(|(_, blocks)| blocks).sum();
            prop_assert!(told == truly || (!is_final && told > truly), "{told} of {truly}");
            prop_assert!(missing.windows(2).all(|pair| !is_final || pair[0].0 < pair[1].0));
        }
    }
}
