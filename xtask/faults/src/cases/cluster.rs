//! Processes of a cluster die.

use crate::case::Case;

pub(crate) const CASES: &[Case] = &[];
