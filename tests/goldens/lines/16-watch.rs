//! The log calls of 16-watch.pl, each in the line that it has there.

use rollway::{Logger, debug, error, info};



pub(crate) fn first(l: &Logger) { debug!(logger: l, target: "animal.dog", "d1"); info!(logger: l, target: "animal.dog", "i1") }
pub(crate) fn too_early(l: &Logger) { debug!(logger: l, target: "animal.dog", "d2 too early") }
pub(crate) fn reloaded(l: &Logger) { debug!(logger: l, target: "animal.dog", "d3 on the OLD logger object") }

pub(crate) fn after_bad(l: &Logger) { error!(logger: l, target: "animal.dog", "e after bad config") }
pub(crate) fn file_gone(l: &Logger) { error!(logger: l, target: "animal.dog", "file is gone") }
pub(crate) fn before_signal(l: &Logger) { debug!(logger: l, target: "animal.dog", "before signal") } pub(crate) fn after_signal(l: &Logger) { debug!(logger: l, target: "animal.dog", "after signal"); error!(logger: l, target: "animal.dog", "after signal") }
