//! The cases, a file for each group of faults.

mod chaos;
mod cluster;
mod corruption;
mod crash_points;
mod death;
mod disk;
mod files;
mod host;
mod network;
mod power;
mod reload;
mod rolled;

use crate::case::Case;

/// All cases, in the order of the table.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [
        death::CASES,
        crash_points::CASES,
        power::CASES,
        corruption::CASES,
        host::CASES,
        disk::CASES,
        rolled::CASES,
        files::CASES,
        network::CASES,
        reload::CASES,
        cluster::CASES,
        chaos::CASES,
    ]
    .into_iter()
    .flatten()
}
