//! Disks are full, slow or gone.

use crate::case::Case;

pub(crate) const CASES: &[Case] = &[];
