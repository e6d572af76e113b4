//! A process ends between two steps of a protocol.

use crate::case::Case;

pub(crate) const CASES: &[Case] = &[];
