//! The log calls of 09-own-composite.pl, each in the line that it has there.

use rollway::{Guard, info};








pub(crate) fn emit(guard: &Guard, message: &str) { info!(logger: guard.logger(), target: "x", "{message}"); guard.flush().unwrap(); }
pub(crate) fn from_main(guard: &Guard) { info!(logger: guard.logger(), target: "x", "c from main"); guard.flush().unwrap(); }
