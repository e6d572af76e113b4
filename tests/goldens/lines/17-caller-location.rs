//! The log calls of 17-caller-location.pl, each in the line that it has there. A macro stands for a helper.
use rollway::{Level, Logger, info, log}; use std::panic::{AssertUnwindSafe, catch_unwind}; macro_rules! say { ($log:expr, $text:expr) => { info!(logger: $log, target: "x", "{}", $text) } } macro_rules! wrapped { ($log:expr) => { say!($log, "registered wrapper") } }
pub(crate) fn run(l: &Logger) {
    fn plain(l: &Logger) { info!(logger: l, target: "x", "plain sub") } plain(l); info!(logger: l, target: "x", "top level");
    catch_unwind(AssertUnwindSafe(|| info!(logger: l, target: "x", "in eval at top level"))).unwrap(); fn ev(l: &Logger) { catch_unwind(AssertUnwindSafe(|| info!(logger: l, target: "x", "in eval in sub"))).unwrap() } ev(l);
    let anonymous = || info!(logger: l, target: "x", "anonymous"); anonymous(); #[allow(non_snake_case, reason = "as in the script")] mod Other { pub(crate) mod Pkg { pub(crate) fn meth(l: &rollway::Logger) { rollway::info!(logger: l, target: "x", "method") } } } Other::Pkg::meth(l);
    fn user_of_helper(l: &Logger) { say!(l, "through a helper") } user_of_helper(l);
    fn user_of_wrap(l: &Logger) { wrapped!(l) } user_of_wrap(l);
    log!(logger: l, target: "x", Level::INFO, "{}{}",
        "call spread over",
        "three lines");
    for level in [Level::WARN] { log!(logger: l, target: "x", level, "log() in a loop") } let lazy = || format!("lazy {}", "value"); info!(logger: l, target: "x", "{}", lazy()); info!(logger: l, target: "x", "{}", "filtered".to_uppercase());
}
