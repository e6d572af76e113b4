//! Which versions of the protocol a side speaks, and which one two sides have in common.

use std::fmt;

/// A range of protocol versions, from the least to the greatest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The least.
    pub min: u8,
    /// The greatest.
    pub max: u8,
}

impl Versions {
    /// What this build speaks.
    pub const BUILT: Versions = Versions { min: 1, max: 2 };
    /// From this version on a frame of blocks can say that another master may have them, too.
    pub const WITH_ELSEWHERE: u8 = 2;

    /// What this process speaks: [`Versions::BUILT`]. With the feature `crash-points` the variable
    /// `ROLLWAY_FAULT_PROTOCOL` narrows it, as `1` or `1-2`, so that a fault bench can let builds of
    /// different age meet.
    pub fn spoken() -> Versions {
        #[cfg(feature = "crash-points")]
        return *narrowed::SPOKEN;
        #[cfg(not(feature = "crash-points"))]
        Versions::BUILT
    }

    /// The greatest version in both ranges.
    pub fn common(self, other: Versions) -> Option<u8> {
        let greatest = self.max.min(other.max);
        (greatest >= self.min.max(other.min)).then_some(greatest)
    }

    /// Whether `version` is one of them.
    pub fn contains(self, version: u8) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

#[cfg(feature = "crash-points")]
mod narrowed {
    use std::sync::LazyLock;

    use super::Versions;

    pub(super) static SPOKEN: LazyLock<Versions> = LazyLock::new(|| {
        let wanted = std::env::var("ROLLWAY_FAULT_PROTOCOL").ok();
        wanted.and_then(|wanted| parse(&wanted)).unwrap_or(Versions::BUILT)
    });

    /// A version, or two with a hyphen between them, of those that were built.
    pub(super) fn parse(wanted: &str) -> Option<Versions> {
        let (min, max) = wanted.split_once('-').unwrap_or((wanted, wanted));
        let versions = Versions { min: min.parse().ok()?, max: max.parse().ok()? };
        let is_built =
            Versions::BUILT.contains(versions.min) && Versions::BUILT.contains(versions.max);
        (is_built && versions.min <= versions.max).then_some(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Versions = Versions { min: 1, max: 1 };
    const BOTH: Versions = Versions { min: 1, max: 2 };
    const NEW: Versions = Versions { min: 2, max: 2 };

    #[test]
    fn two_sides_speak_the_greatest_version_that_both_know() {
        for (one, other, common) in [
            (OLD, OLD, Some(1)),
            (OLD, BOTH, Some(1)),
            (OLD, NEW, None),
            (BOTH, BOTH, Some(2)),
            (BOTH, NEW, Some(2)),
            (NEW, NEW, Some(2)),
        ] {
            assert_eq!(one.common(other), common, "{one} and {other}");
            assert_eq!(other.common(one), common, "{other} and {one}");
        }
        let upside_down = Versions { min: 9, max: 2 };
        assert_eq!(BOTH.common(upside_down), None);
    }

    #[cfg(feature = "crash-points")]
    #[test]
    fn a_fault_bench_can_make_a_process_older_than_its_build() {
        assert_eq!(narrowed::parse("1"), Some(OLD));
        assert_eq!(narrowed::parse("1-2"), Some(BOTH));
        assert_eq!(narrowed::parse("2"), Some(NEW));
        for wrong in ["", "0", "3", "2-1", "1-3", "x"] {
            assert_eq!(narrowed::parse(wrong), None, "{wrong}");
        }
    }
}
