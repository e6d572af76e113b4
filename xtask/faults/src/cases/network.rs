//! Connections break, and masters stop.

use crate::case::Case;

pub(crate) const CASES: &[Case] = &[];
