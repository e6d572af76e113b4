//! The log calls of 04-api-synopsis.pl, each in the line that it has there.

use rollway::{Logger, debug};



pub(crate) fn twice(logger: &Logger) {
    debug!(logger: logger, target: "abc.def.ghi", "first"); debug!(logger: logger, target: "abc.def.ghi", "second");
}
