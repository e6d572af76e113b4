//! A host's code on an outlet's thread: a panic in it is a failure and not the end of the thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `work` returns, or why it panicked.
pub(super) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    // What a panic leaves half done is the host's own: it is called again, as after an error.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| words(&*payload))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without words"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        assert_eq!(caught(|| 7), Ok(7));
        let told = |work: fn()| caught(work).unwrap_err();
        assert_eq!(told(|| panic!("no ink")), "it panicked: no ink");
        assert_eq!(told(|| panic!("{} drops left", 2)), "it panicked: 2 drops left");
        assert_eq!(told(|| std::panic::panic_any(7)), "it panicked: without words");
    }
}
