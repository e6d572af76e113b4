//! Appenders with the same layout share what they make of an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rollway::appender::{File, Memory};
use rollway::event::Event;
use rollway::info;
use rollway::layout::{Json, Layout, Pattern};

const EVENTS: u64 = 2000;
const AMPLE: Duration = Duration::from_secs(60);

/// Counts how often it renders.
#[derive(Clone)]
struct Counting(Arc<AtomicU64>);

impl Layout for Counting {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        self.0.fetch_add(1, Ordering::Relaxed);
        event.message(out);
        out.push('\n');
    }

    fn hash(&self) -> u64 {
        7
    }

    fn is_shareable(&self) -> bool {
        true
    }
}

#[test]
fn an_event_for_three_appenders_is_rendered_once_for_each_distinct_layout() {
    let dir = tempfile::tempdir().unwrap();
    let rendered = Arc::new(AtomicU64::new(0));
    let counting = || Counting(Arc::clone(&rendered));
    let memory = Memory::new().layout(counting());
    let (one, two) = (dir.path().join("one.log"), dir.path().join("two.log"));
    let guard = rollway::builder()
        // All of it is one block or two, so that nobody is left behind.
        .linger(AMPLE)
        .appender("one", File::new(&one).layout(counting()))
        .appender("two", File::new(&two).layout(counting()))
        .appender("memory", memory.clone())
        .appender("json", Memory::new().layout(Json::new()))
        .start()
        .unwrap();
    for n in 0..EVENTS {
        info!(logger: guard.logger(), "event {n}");
    }
    // Whoever is ready shares nothing with the others any more: not before all are.
    guard.flush().unwrap();
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    let expected: String = (0..EVENTS).map(|n| format!("event {n}\n")).collect();
    assert_eq!(std::fs::read_to_string(one).unwrap(), expected);
    assert_eq!(std::fs::read_to_string(two).unwrap(), expected);
    assert_eq!(memory.text(), expected);
    assert_eq!(rendered.load(Ordering::Relaxed), EVENTS);
}

#[test]
fn what_an_appender_alone_sees_of_an_event_stays_its_own() {
    use rollway::Mask;
    use rollway::appender;

    let layout = || Pattern::parse("%m%n").unwrap();
    let (open, masked) = (Memory::new().layout(layout()), Memory::new().layout(layout()));
    let hides = Mask::new().key("password");
    let guard = rollway::builder()
        .appender("open", open.clone())
        .appender("masked", appender::with(masked.clone()).mask(hides))
        .start()
        .unwrap();
    for n in 0..100 {
        let password = n;
        info!(logger: guard.logger(), "login with {password}");
    }
    guard.flush().unwrap();
    assert!(open.text().contains("login with 99"));
    assert!(!masked.text().contains("99"), "{}", masked.text());
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
}
