//! An event of which not everything is shown as it was logged.
//!
//! The record stays what it is. What a warp or a mask has changed is asked for here by the methods of
//! [`Event`], and by nobody else.

use std::ops::Range;

use super::{ContextInfo, Event};
use crate::mask::Mask;
use crate::template::{Chunk, Chunks as TemplateChunks, Template, is_plain};
use crate::value::Value;

/// What is shown of an event in another way.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct View<'a> {
    /// The message, where it is not that of the record.
    message: Option<&'a [Chunk<'a>]>,
    mask: Option<&'a Mask>,
    /// What hides values beside the mask.
    beneath: Option<&'a View<'a>>,
}

impl View<'_> {
    /// Whether the values of this name are hidden.
    pub(super) fn hides(&self, name: &str) -> bool {
        self.mask.is_some_and(|mask| mask.hides(name))
            || self.beneath.is_some_and(|view| view.hides(name))
    }

    /// Appends the message of `event`, which has this view. Returns whether it is plain.
    #[cold]
    pub(super) fn message(&self, event: &Event<'_>, out: &mut String) -> bool {
        let start = out.len();
        for chunk in event.chunks() {
            if out.len() - start >= Template::MESSAGE_BYTES_MAX {
                out.push('…');
                break;
            }
            chunk.push_to(out);
        }
        is_plain(&out[start..])
    }
}

impl Event<'_> {
    /// Shows the event with another message to `each`.
    pub(crate) fn with_message<R>(
        &self,
        chunks: &[Chunk<'_>],
        each: impl FnOnce(&Event<'_>) -> R,
    ) -> R {
        let view = View { message: Some(chunks), mask: None, beneath: self.view };
        each(&Event { view: Some(&view), ..*self })
    }
}

impl Mask {
    /// Calls `each` with the event as the rules let it be seen: its key-values, its arguments by name,
    /// the chunks of its message, its context. A message that a [`Warp`](crate::warp::Warp) has made is
    /// left as it is: the mask comes first.
    ///
    /// Looks at all names of the event. Allocates where the context has a value to hide.
    pub fn with<R>(&self, event: &Event<'_>, each: impl FnOnce(&Event<'_>) -> R) -> R {
        let hides = |name: &str| self.hides(name);
        let hides_context = event.context.pairs.iter().any(|(key, _)| hides(key));
        let context = hides_context.then(|| {
            let shown = |(key, value): &(Box<str>, Box<str>)| {
                (key.clone(), if hides(key) { Mask::shown_text().into() } else { value.clone() })
            };
            let pairs = event.context.pairs.iter().map(shown).collect();
            ContextInfo { pairs, stack: event.context.stack.clone() }
        });
        let context = context.as_ref().unwrap_or(event.context);
        if !event.site.names.iter().any(|name| hides(name)) {
            return each(&Event { context, ..*event });
        }
        let message = event.view.and_then(|view| view.message);
        let view = View { message, mask: Some(self), beneath: event.view };
        each(&Event { context, view: Some(&view), ..*event })
    }
}

/// The chunks of an event's message: see [`Event::chunks`].
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    source: Source<'a>,
    names: &'a [Box<str>],
    view: Option<&'a View<'a>>,
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Record(TemplateChunks<'a>),
    Made(std::slice::Iter<'a, Chunk<'a>>),
}

impl<'a> Chunks<'a> {
    pub(super) fn new(event: &Event<'a>) -> Chunks<'a> {
        let source = match event.view.and_then(|view| view.message) {
            Some(chunks) => Source::Made(chunks.iter()),
            None => Source::Record(event.site.template.chunks(event.values)),
        };
        Chunks { source, names: &event.site.names, view: event.view }
    }

    fn hides(&self, places: Range<usize>) -> bool {
        let Some(view) = self.view else { return false };
        self.names.iter().take(places.end).skip(places.start).any(|name| view.hides(name))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        match &mut self.source {
            Source::Made(chunks) => chunks.next().cloned(),
            Source::Record(chunks) => {
                let (chunk, places) = chunks.next()?;
                let shown = || Chunk::from(Mask::shown());
                Some(if self.hides(places) { shown() } else { chunk })
            }
        }
    }
}

/// What is shown of a value with this name.
pub(super) fn seen<'a>(view: Option<&View<'_>>, name: &str, value: Value<'a>) -> Value<'a> {
    match view {
        Some(view) if view.hides(name) => Mask::shown(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::layout::{Json, Layout, Page, Pattern};
    use crate::value::Kind;
    use crate::warp::Warp;

    /// `login of {user} with {password:>w$}` and a key-value, within a context.
    fn login() -> Fixture {
        let mut fixture = Fixture::saying("")
            .with("user", Kind::STR, b"ada")
            .with("width", Kind::U64, &40u64.to_le_bytes())
            .with("password", Kind::STR, b"hunter2")
            .with("API_Token", Kind::STR, b"hunter3")
            .inside("token", "hunter4")
            .inside("request", "r1");
        fixture.site.template = Template::parse("login of {user} with {password:>width$}");
        fixture
    }

    fn mask() -> Mask {
        Mask::new().key("password").key_pattern("*token*")
    }

    /// The line as it comes out of a page, where patterns have their short way.
    fn line(layout: &mut dyn Layout, event: &Event<'_>) -> String {
        let mut page = Page::default();
        layout.write_page(event, &mut page);
        String::from_utf8(page.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_masked_value_is_seen_nowhere() {
        let mut fixture = login();
        let mut json = Json::full();
        mask().with(&fixture.event(), |event| {
            for layout in [
                &mut Pattern::parse("%m%k %X %k{API_Token} %X{token}%n").unwrap()
                    as &mut dyn Layout,
                &mut json,
            ] {
                let line = line(layout, event);
                assert!(!line.contains("hunter"), "{line}");
                assert!(line.contains("login of ada with [masked]"), "{line}");
                assert!(line.contains("r1"), "{line}");
            }
        });
    }

    #[test]
    fn a_pattern_that_knows_the_site_writes_each_event_as_it_is_to_be_seen() {
        let mut fixture = login();
        let mut pattern = Pattern::parse("%p %m%k%n").unwrap();
        let event = fixture.event();
        let (mask, warp) = (mask(), Warp::join("|"));
        for _ in 0..3 {
            let plain = line(&mut pattern, &event);
            assert_eq!(plain.matches("hunter").count(), 2, "{plain}");
            let masked = mask.with(&event, |event| line(&mut pattern, event));
            assert_eq!(masked, "INFO login of ada with [masked] API_Token=[masked]\n");
            let warped =
                mask.with(&event, |event| warp.with(event, |event| line(&mut pattern, event)));
            assert_eq!(warped, "INFO login of |ada| with |[masked] API_Token=[masked]\n");
        }
    }

    #[test]
    fn a_width_that_is_hidden_does_not_show_in_blanks() {
        let mut fixture = login();
        Mask::new().key("width").with(&fixture.event(), |event| {
            let mut message = String::new();
            event.message(&mut message);
            assert_eq!(message, "login of ada with [masked]");
        });
    }

    #[test]
    fn two_masks_hide_what_either_hides() {
        let mut fixture = login();
        let (outer, inner) = (Mask::new().key("password"), Mask::new().key("user"));
        outer.with(&fixture.event(), |event| {
            inner.with(event, |event| {
                let mut message = String::new();
                event.message(&mut message);
                assert_eq!(message, "login of [masked] with [masked]");
            });
        });
    }

    #[test]
    fn an_event_that_no_rule_names_is_left_as_it_is() {
        let mut fixture = login();
        Mask::new().key("other").with(&fixture.event(), |event| assert!(event.view.is_none()));
    }

    #[test]
    fn a_warp_sees_nothing_that_is_masked() {
        let mut fixture = login();
        let warp = Warp::function("all", |chunks| {
            let shown: String =
                chunks.iter().map(|chunk| format!("{chunk} {:?} ", chunk.value())).collect();
            assert!(!shown.contains("hunter"));
            chunks.truncate(1);
        });
        mask().with(&fixture.event(), |event| {
            warp.with(event, |event| {
                let mut message = String::new();
                assert!(event.message(&mut message), "plain");
                assert_eq!(message, "login of ");
            });
        });
    }

    #[test]
    fn a_message_out_of_all_proportion_is_ended() {
        let mut fixture = Fixture::saying("x");
        let mebibyte = "y".repeat(1 << 20);
        let warp = Warp::function("long", move |chunks| {
            chunks.extend((0..100).map(|_| Chunk::from(mebibyte.clone())));
        });
        warp.with(&fixture.event(), |event| {
            let mut message = String::new();
            event.message(&mut message);
            assert!(
                message.ends_with("y…") && message.len() < Template::MESSAGE_BYTES_MAX + (2 << 20)
            );
        });
    }
}
