//! The log calls of 07-limit.pl, each in the line that it has there.

use rollway::{Guard, warn};



pub(crate) fn logit(guard: &Guard, message: &str) {
    warn!(logger: guard.logger(), "{message}"); guard.flush().unwrap();
}
