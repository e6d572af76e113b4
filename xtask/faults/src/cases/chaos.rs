//! Everything at once, for a while.

use crate::case::Case;

pub(crate) const CASES: &[Case] = &[];
