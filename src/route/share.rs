//! What one appender gets of the events.

use std::collections::HashMap;
use std::sync::Arc;

use super::Router;

/// Decisions an outlet remembers. Beyond it they are made anew each time.
const REMEMBERED_MAX: usize = 65_536;

/// What one appender gets of the events. Remembers its decisions by category.
#[derive(Debug)]
pub(crate) struct Share {
    router: Arc<Router>,
    appender: Box<str>,
    remembered: HashMap<Box<str>, bool>,
}

impl Share {
    pub(super) fn new(router: Arc<Router>, appender: Box<str>) -> Share {
        Share { router, appender, remembered: HashMap::new() }
    }

    /// Whether events of this category are the appender's.
    pub(crate) fn takes(&mut self, category: &str) -> bool {
        if let Some(takes) = self.remembered.get(category) {
            return *takes;
        }
        let takes = self.router.delivers(category, &self.appender);
        if self.remembered.len() < REMEMBERED_MAX {
            self.remembered.insert(category.into(), takes);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_decides_as_its_router() {
        let mut router = Router::new();
        router.route("a", ["x"]);
        let router = Arc::new(router);
        let mut share = router.share("y").unwrap();
        for _ in 0..2 {
            assert!(!share.takes("a::b"));
            assert!(share.takes("b"));
        }
        assert!(Arc::new(Router::new()).share("y").is_none());
    }
}
