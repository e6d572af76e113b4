//! The log calls of 06-synchronized.pl, each in the line that it has there.

use rollway::{Logger, debug, info, warn};








pub(crate) fn by_configuration(logger: &Logger) {
    fn in_a_sub(logger: &Logger) { warn!(logger: logger, target: "Bar::Twix", "from a sub") }
    warn!(logger: logger, target: "Bar::Twix", "from main"); in_a_sub(logger); info!(logger: logger, target: "Bar::Twix", "too low");
}








pub(crate) fn in_code(logger: &Logger) {
    debug!(logger: logger, target: "wonk", "waah!"); debug!(logger: logger, target: "wonk", "line one\nline two");
}
