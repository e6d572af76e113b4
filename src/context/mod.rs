//! The diagnostic context of a thread: what each of its events carries beside its own values.
//!
//! The mapped one (MDC) has values by key, the nested one (NDC) is a stack of texts. A change is one
//! record of its own in the thread's ring, written with the next event and not before. An event
//! whose context did not change pays nothing for it.

mod record;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::capture::{Capture, Rendered};
use crate::event::{NDC_KEY, RESERVED};
pub(crate) use record::{from_record, info_to_record, stretches};

/// Longer keys, values and texts are cut at a character's border.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;
/// All entries in their record together; beyond it the outermost ones are left out. Fits the
/// smallest ring.
pub(crate) const CONTEXT_BYTES_MAX: usize = 3 << 10;
/// Entries that a thread keeps; beyond it the outermost one goes.
const ENTRIES_MAX: usize = 256;
/// Texts on the stack of the NDC; beyond it the innermost one is replaced.
const NDC_DEPTH_MAX: usize = 64;
/// The scope of an entry that belongs to none.
const NO_SCOPE: u64 = 0;

thread_local! {
    static CONTEXT: RefCell<Context> = const { RefCell::new(Context::EMPTY) };
}

/// The context of one thread.
struct Context {
    /// Outermost first.
    entries: Vec<Entry>,
    /// Those that stand back while others stand in for them, the ones that return last first.
    set_aside: Vec<Vec<Entry>>,
    revision: u64,
}

/// A value of the MDC, or a text of the NDC.
#[derive(Clone)]
struct Entry {
    /// The number of the scope that removes it, or [`NO_SCOPE`].
    scope: u64,
    /// `None` for a text of the NDC.
    key: Option<Arc<str>>,
    text: Arc<str>,
}

/// The entries of a thread at some time, for others to take over.
#[derive(Clone, Default)]
pub(crate) struct Snapshot(Arc<[Entry]>);

impl Context {
    const EMPTY: Context = Context { entries: Vec::new(), set_aside: Vec::new(), revision: 0 };

    /// Adds an entry inside all others. Returns the number of its scope, if it is to have one.
    fn push(&mut self, key: Option<Arc<str>>, text: Arc<str>, is_scoped: bool) -> u64 {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.remove(0);
        }
        self.revision += 1;
        let scope = if is_scoped { self.revision } else { NO_SCOPE };
        self.entries.push(Entry { scope, key, text });
        scope
    }

    /// Removes the entries that are `unwanted`.
    fn remove(&mut self, unwanted: impl Fn(&Entry) -> bool) {
        let before = self.entries.len();
        self.entries.retain(|entry| !unwanted(entry));
        self.revision += u64::from(self.entries.len() < before);
    }

    /// The texts of the NDC, innermost first.
    fn texts(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().filter(|entry| entry.is_text())
    }
}

impl Entry {
    fn has_key(&self, key: &str) -> bool {
        self.key.as_deref() == Some(key)
    }

    fn is_text(&self) -> bool {
        self.key.is_none()
    }

    /// As it stands in a record.
    fn as_pair(&self) -> (&str, &str) {
        (self.key.as_deref().unwrap_or(NDC_KEY), &self.text)
    }
}

/// Adds a value to the MDC and returns the number of its scope; `None` while the thread is ending.
pub(crate) fn push(key: &str, value: impl fmt::Display) -> Option<u64> {
    let (key, value) = (key_of(key), rendered(value));
    with(|context| context.push(Some(key), value, true))
}

/// Adds a value to the MDC that no scope removes, in the place of the one that was added so before.
pub(crate) fn put(key: &str, value: impl fmt::Display) {
    let (key, value) = (key_of(key), rendered(value));
    with(|context| {
        context.remove(|entry| entry.scope == NO_SCOPE && entry.has_key(&key));
        context.push(Some(key), value, false);
    });
}

/// The innermost value of `key`.
pub(crate) fn get(key: &str) -> Option<String> {
    let key = key_of(key);
    with(|context| {
        let innermost = context.entries.iter().rev().find(|entry| entry.has_key(&key));
        innermost.map(|entry| entry.text.to_string())
    })?
}

/// Removes all values of `key`.
pub(crate) fn remove(key: &str) {
    let key = key_of(key);
    with(|context| context.remove(|entry| entry.has_key(&key)));
}

/// Removes all values.
pub(crate) fn clear() {
    with(|context| context.remove(|entry| !entry.is_text()));
}

/// Adds a text to the NDC. Returns the number of its scope, if it is to have one; `None` while the
/// thread is ending.
pub(crate) fn push_text(text: impl fmt::Display, is_scoped: bool) -> Option<u64> {
    let text = rendered(text);
    with(|context| {
        if context.texts().count() == NDC_DEPTH_MAX {
            pop(context);
        }
        context.push(None, text, is_scoped)
    })
}

/// Removes the innermost text of the NDC and returns it.
pub(crate) fn pop_text() -> Option<String> {
    with(pop)?.map(|entry| entry.text.to_string())
}

/// The texts of the NDC, outermost first.
pub(crate) fn texts() -> Vec<String> {
    let texts = with(|context| {
        let mut texts: Vec<_> = context.texts().map(|entry| entry.text.to_string()).collect();
        texts.reverse();
        texts
    });
    texts.unwrap_or_default()
}

/// Removes all texts.
pub(crate) fn clear_texts() {
    with(|context| context.remove(Entry::is_text));
}

/// Removes the entry of a scope, wherever it is.
pub(crate) fn leave(scope: u64) {
    with(|context| {
        context.remove(|entry| entry.scope == scope);
        for entries in &mut context.set_aside {
            entries.retain(|entry| entry.scope != scope);
        }
    });
}

/// The thread's context as it is now.
pub(crate) fn snapshot() -> Snapshot {
    // Scopes are numbered by their own threads: here they end, elsewhere the numbers are others'.
    let unscoped = |entry: &Entry| Entry { scope: NO_SCOPE, ..entry.clone() };
    with(|context| Snapshot(context.entries.iter().map(unscoped).collect())).unwrap_or_default()
}

/// Has a snapshot stand in for the thread's context until [`stand_back`]. Returns whether it does: not
/// where both are empty, and not while the thread is ending.
pub(crate) fn stand_in(snapshot: &Snapshot) -> bool {
    let stands_in = with(|context| {
        if snapshot.0.is_empty() && context.entries.is_empty() {
            return false;
        }
        let entries = std::mem::replace(&mut context.entries, snapshot.0.to_vec());
        context.set_aside.push(entries);
        context.revision += 1;
        true
    });
    stands_in.unwrap_or(false)
}

/// Gives the thread the context back that it had before the last [`stand_in`].
pub(crate) fn stand_back() {
    with(|context| {
        if let Some(entries) = context.set_aside.pop() {
            context.entries = entries;
            context.revision += 1;
        }
    });
}

/// Changes with every change of the thread's context; 0 while it never had one.
pub(crate) fn revision() -> u64 {
    with(|context| context.revision).unwrap_or(0)
}

/// The record that says the thread's context.
pub(crate) fn to_record() -> Vec<u8> {
    let of_thread = |context: &mut Context| {
        let mut room = CONTEXT_BYTES_MAX;
        let fits = |entry: &&Entry| {
            let (key, text) = entry.as_pair();
            room = room.saturating_sub(key.len() + text.len() + 10);
            room > 0
        };
        let kept = context.entries.iter().rev().take_while(fits).count();
        let kept = &context.entries[context.entries.len() - kept..];
        record::encode(kept.iter().map(Entry::as_pair))
    };
    with(of_thread).unwrap_or_else(|| record::encode(std::iter::empty()))
}

/// Nothing that runs in `f` is the program's own code. `None` while the thread is ending, and in a
/// signal handler that finds the context in the middle of a change.
fn with<R>(f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    CONTEXT.try_with(|context| Some(f(&mut *context.try_borrow_mut().ok()?))).ok()?
}

fn pop(context: &mut Context) -> Option<Entry> {
    let at = context.entries.iter().rposition(Entry::is_text)?;
    context.revision += 1;
    Some(context.entries.remove(at))
}

/// A key as it is kept. What it begins with must not make it one of those that are no MDC's.
fn key_of(key: &str) -> Arc<str> {
    cut(key.trim_start_matches(RESERVED))
}

/// What a value shows, which runs the program's own code: see [`Rendered`].
fn rendered(value: impl fmt::Display) -> Arc<str> {
    let mut bytes = Vec::new();
    Rendered::new(value).prepare(&mut bytes);
    cut(&String::from_utf8_lossy(&bytes))
}

fn cut(text: &str) -> Arc<str> {
    Arc::from(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

/// Compiles the examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/context.md")]
struct Documentation;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ContextInfo;
    use crate::record::Records;

    /// Runs `f` on a thread of its own, which has no context yet.
    fn anew(f: impl FnOnce() + Send + 'static) {
        std::thread::spawn(f).join().unwrap();
    }

    /// The context as the next event would carry it.
    fn carried() -> ContextInfo {
        from_record(&Records::new(&to_record()).next().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn a_context_survives_its_record_with_any_number_of_pairs() {
        anew(|| {
            for n in 0..20 {
                push(&format!("key {n}"), "x".repeat(n)).unwrap();
                assert_eq!(carried().pairs.len(), n + 1);
                assert_eq!(carried().get(&format!("key {n}")), Some(&*"x".repeat(n)));
            }
        });
    }

    #[test]
    fn too_much_context_loses_its_outermost_entries() {
        anew(|| {
            for n in 0..10 {
                push(&format!("key {n}"), "x".repeat(2000)).unwrap();
                push_text(n, true).unwrap();
            }
            assert!(to_record().len() <= CONTEXT_BYTES_MAX + 64);
            assert_eq!(carried().get("key 9").unwrap().len(), TEXT_BYTES_MAX);
            assert_eq!(carried().get("key 0"), None);
            assert_eq!(&*carried().stack, ["7".into(), "8".into(), "9".into()]);
        });
    }

    #[test]
    fn a_thread_keeps_so_many_entries_and_no_more() {
        anew(|| {
            for n in 0..10_000 {
                put(&n.to_string(), n);
            }
            with(|context| assert_eq!(context.entries.len(), ENTRIES_MAX)).unwrap();
            assert_eq!(get("9999").as_deref(), Some("9999"));
        });
    }

    #[test]
    fn the_stack_replaces_its_top_when_it_is_full() {
        anew(|| {
            for n in 1..=NDC_DEPTH_MAX + 2 {
                push_text(n, false);
            }
            let texts = texts();
            assert_eq!(texts.len(), NDC_DEPTH_MAX);
            assert_eq!((&*texts[0], &*texts[62], &*texts[63]), ("1", "63", "66"));
            clear_texts();
            assert_eq!(pop_text(), None);
        });
    }

    #[test]
    fn what_is_put_replaces_what_was_put_and_hides_what_a_scope_has() {
        anew(|| {
            let scope = push("user", "ada").unwrap();
            put("user", "grace");
            put("user", "edith");
            assert_eq!(get("user").as_deref(), Some("edith"));
            assert_eq!(carried().pairs.len(), 2);
            leave(scope);
            assert_eq!(get("user").as_deref(), Some("edith"));
            remove("user");
            assert_eq!((get("user"), carried()), (None, ContextInfo::default()));
        });
    }

    #[test]
    fn what_changes_nothing_makes_no_new_revision() {
        anew(|| {
            put("a", 1);
            let before = revision();
            remove("b");
            clear_texts();
            leave(77);
            assert_eq!((pop_text(), texts(), revision()), (None, Vec::new(), before));
            clear();
            assert_ne!(revision(), before);
        });
    }

    #[test]
    fn no_key_of_the_program_passes_for_another_kind() {
        anew(|| {
            put("\0ndc", "forged");
            put("\0\0later", 1);
            put("line\nbreak\u{1b}[31m", 2);
            let context = carried();
            assert!(context.stack.is_empty());
            assert_eq!((context.get("ndc"), context.get("later")), (Some("forged"), Some("1")));
            assert_eq!(context.get("line\nbreak\u{1b}[31m"), Some("2"));
            assert_eq!(get("\0ndc").as_deref(), Some("forged"));
        });
    }

    #[test]
    fn a_value_that_panics_or_logs_or_changes_the_context_does_no_harm() {
        struct Hostile(fn() -> fmt::Result);
        impl fmt::Display for Hostile {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                (self.0)()
            }
        }
        anew(|| {
            put("panics", Hostile(|| panic!("in Display")));
            put("fails", Hostile(|| Err(fmt::Error)));
            put(
                "changes",
                Hostile(|| {
                    put("inner", 1);
                    Ok(())
                }),
            );
            let found = ["panics", "fails", "changes", "inner"].map(|key| get(key).unwrap());
            assert_eq!(found, ["<formatting panicked>", "<formatting failed>", "", "1"]);
        });
    }

    #[test]
    fn a_scope_that_ends_while_another_context_stands_in_is_gone_afterwards() {
        anew(|| {
            let scope = push("a", 1).unwrap();
            push("b", 2).unwrap();
            let snapshot = snapshot();
            assert!(stand_in(&snapshot));
            leave(scope);
            assert_eq!(get("a").as_deref(), Some("1"), "the snapshot has it");
            stand_back();
            assert_eq!((get("a"), get("b").as_deref()), (None, Some("2")));
        });
    }

    #[test]
    fn the_number_of_a_scope_means_nothing_to_another_thread() {
        anew(|| {
            let scope = push("a", 1).unwrap();
            let snapshot = snapshot();
            anew(move || {
                assert!(stand_in(&snapshot));
                leave(scope);
                assert_eq!(get("a").as_deref(), Some("1"));
                stand_back();
                assert!(!stand_in(&Snapshot::default()), "nothing would change");
            });
        });
    }
}
