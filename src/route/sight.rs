//! How an appender sees the events that it gets.

use std::sync::Arc;

use crate::event::Event;
use crate::mask::Mask;
use crate::warp::Warp;

/// What stands between an event and an appender that is not to see it as it was logged.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    mask: Arc<Mask>,
    warp: Option<Warp>,
}

impl Sight {
    /// `None` where everything is seen as it is.
    pub(super) fn new(mask: &Arc<Mask>, warp: Option<&Warp>) -> Option<Sight> {
        let changes_anything = !mask.is_empty() || warp.is_some();
        changes_anything.then(|| Sight { mask: Arc::clone(mask), warp: warp.cloned() })
    }

    /// Shows the event to `each`: masked, and then warped.
    pub(crate) fn with<R>(&self, event: &Event<'_>, each: impl FnOnce(&Event<'_>) -> R) -> R {
        self.mask.with(event, |event| match &self.warp {
            Some(warp) => warp.with(event, each),
            None => each(event),
        })
    }
}
