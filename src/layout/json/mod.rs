//! One line of JSON per event.

mod text;

use super::Layout;
use super::repeats::Repeats;
use super::scalar::push_integer;
use super::time::DateFormat;
use crate::event::Event;
use crate::value::{Scalar, Value};
use text::{push_escaped, push_string, push_value};

/// [`Layout::hash`] of JSON layouts begins with this.
const HASH_KIND: u8 = b'J';

/// Events as JSON, one object and line each.
///
/// The order is fixed: `time` (RFC 3339, nanoseconds, UTC), `level`, `category`, `message`, then
/// the [`Group`]s that are shown, in the order of that enumeration. A group that is empty is left
/// out. `docs/layouts.md` has every field.
///
/// Values keep their types: integers of any width and finite floats are numbers, `bool` is itself,
/// `None` is `null`, bytes are arrays of numbers. NaN and the infinities, which JSON has not, are
/// the strings `"NaN"`, `"inf"` and `"-inf"`.
///
/// # Examples
/// ```
/// use rollway::layout::{Group, Json};
///
/// let layout = Json::new().with(Group::Location).without(Group::Context);
/// ```
#[derive(Clone, Debug)]
pub struct Json {
    /// One bit for each [`Group`].
    shown: u8,
    time: DateFormat,
    received: DateFormat,
    scratch: String,
    repeats: Repeats,
}

/// What an event in JSON may show beside time, level, category and message; in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Group {
    /// `fields`: the key-values, an object. Shown unless switched off.
    Fields,
    /// `args`: the template's values by name or position, an object.
    Args,
    /// `template`: the format string as written.
    Template,
    /// `context`: the mapped diagnostic context, an object of strings. Shown unless switched off.
    Context,
    /// `file`, `line` and `module` of the call; each left out where it is unknown.
    Location,
    /// `thread`, left out where it has no name, and the number `thread_id`.
    Thread,
    /// `process`: an object of `pid`, `service` and `host`.
    Process,
    /// `received` and `peer`: when and from where a master got it; `elsewhere`, if another master may
    /// have it, too. Left out where it was logged.
    Receipt,
}

impl Group {
    const ALL: [Group; 8] = [
        Group::Fields,
        Group::Args,
        Group::Template,
        Group::Context,
        Group::Location,
        Group::Thread,
        Group::Process,
        Group::Receipt,
    ];
}

impl Json {
    /// Shows time, level, category, message, [`Group::Fields`] and [`Group::Context`].
    pub fn new() -> Json {
        let empty = Json {
            shown: 0,
            time: DateFormat::rfc3339(),
            received: DateFormat::rfc3339(),
            scratch: String::new(),
            repeats: Repeats::default(),
        };
        empty.with(Group::Fields).with(Group::Context)
    }

    /// Shows every group.
    pub fn full() -> Json {
        Group::ALL.into_iter().fold(Json::new(), Json::with)
    }

    /// Shows `group` too.
    pub fn with(mut self, group: Group) -> Json {
        self.shown |= 1 << group as u8;
        self
    }

    /// Leaves `group` out.
    pub fn without(mut self, group: Group) -> Json {
        self.shown &= !(1 << group as u8);
        self
    }

    fn shows(&self, group: Group) -> bool {
        self.shown & 1 << group as u8 != 0
    }
}

impl Default for Json {
    fn default() -> Json {
        Json::new()
    }
}

impl Layout for Json {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        out.push_str("{\"time\":\"");
        self.time.write(event.time_ns, out);
        out.push_str("\",\"level\":\"");
        out.push_str(event.level.name());
        out.push_str("\",\"category\":");
        push_string(&event.site.category, out);
        out.push_str(",\"message\":\"");
        let start = out.len();
        if !event.message(out) {
            self.scratch.clear();
            self.scratch.push_str(&out[start..]);
            out.truncate(start);
            push_escaped(&self.scratch, out);
        }
        out.push('"');
        for group in Group::ALL {
            if self.shows(group) {
                self.push_group(group, event, out);
            }
        }
        out.push_str("}\n");
    }

    fn hash(&self) -> u64 {
        let shown = Group::ALL.map(|group| if self.shows(group) { "1" } else { "0" });
        super::hash_of(HASH_KIND, &shown)
    }
}

impl Json {
    fn push_group(&mut self, group: Group, event: &Event<'_>, out: &mut String) {
        let names = &event.site.names;
        let slots = event.site.template.slots().min(names.len());
        match group {
            Group::Fields => self.push_values("fields", &names[slots..], event.pairs(), out),
            Group::Args => self.push_values("args", &names[..slots], event.arguments(), out),
            Group::Template => {
                out.push_str(",\"template\":");
                push_string(event.site.template.text(), out);
            }
            Group::Context => self.push_context(event, out),
            Group::Location => {
                push_known(",\"file\":", &event.site.file, out);
                if event.site.line != 0 {
                    out.push_str(",\"line\":");
                    push_integer(Scalar::U32(event.site.line), out);
                }
                push_known(",\"module\":", &event.site.module, out);
            }
            Group::Thread => {
                push_known(",\"thread\":", &event.thread.name, out);
                out.push_str(",\"thread_id\":");
                push_integer(Scalar::U64(event.thread.os_id), out);
            }
            Group::Process => {
                out.push_str(",\"process\":{\"pid\":");
                push_integer(Scalar::U32(event.source.pid), out);
                out.push_str(",\"service\":");
                push_string(&event.source.service, out);
                out.push_str(",\"host\":");
                push_string(&event.source.host, out);
                out.push('}');
            }
            Group::Receipt => {
                let Some(receipt) = event.receipt else { return };
                out.push_str(",\"received\":\"");
                self.received.write(receipt.received_ns, out);
                out.push_str("\",\"peer\":\"");
                out.push_str(&receipt.peer.to_string());
                out.push('"');
                if receipt.is_elsewhere {
                    out.push_str(",\"elsewhere\":true");
                }
            }
        }
    }

    /// Appends an object of values; of equal names the first.
    fn push_values<'a>(
        &mut self,
        key: &str,
        names: &[Box<str>],
        values: impl Iterator<Item = (&'a str, Value<'a>)>,
        out: &mut String,
    ) {
        if names.is_empty() {
            return;
        }
        let repeated = self.repeats.find(names.len(), |index| &names[index]);
        let mut object = Object::new(key);
        for ((name, value), _) in values.zip(repeated).filter(|(_, repeated)| !**repeated) {
            object.push_name(name, out);
            push_value(value, out);
        }
        object.end(out);
    }

    /// Appends the context, outermost first; of equal keys the innermost.
    fn push_context(&mut self, event: &Event<'_>, out: &mut String) {
        let pairs = &event.context.pairs;
        if pairs.is_empty() {
            return;
        }
        let last = pairs.len() - 1;
        let covered = self.repeats.find(pairs.len(), |index| &pairs[last - index].0);
        let mut object = Object::new("context");
        for ((name, value), _) in
            pairs.iter().zip(covered.iter().rev()).filter(|(_, covered)| !**covered)
        {
            object.push_name(name, out);
            push_string(value, out);
        }
        object.end(out);
    }
}

/// An object that is not there while it is empty.
struct Object<'a> {
    key: &'a str,
    empty: bool,
}

impl<'a> Object<'a> {
    fn new(key: &'a str) -> Object<'a> {
        Object { key, empty: true }
    }

    /// Appends a name and its colon; the value is to follow.
    fn push_name(&mut self, name: &str, out: &mut String) {
        if std::mem::take(&mut self.empty) {
            out.push_str(",\"");
            out.push_str(self.key);
            out.push_str("\":{");
        } else {
            out.push(',');
        }
        push_string(name, out);
        out.push(':');
    }

    fn end(self, out: &mut String) {
        if !self.empty {
            out.push('}');
        }
    }
}

/// Appends a comma, a name and a string, unless the string is empty.
fn push_known(name: &str, text: &str, out: &mut String) {
    if !text.is_empty() {
        out.push_str(name);
        push_string(text, out);
    }
}

#[cfg(test)]
mod tests;
