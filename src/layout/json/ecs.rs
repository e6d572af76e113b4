//! JSON lines with the names of the Elastic Common Schema.

use super::text::{push_known, push_number, push_string, push_strings};
use crate::event::Event;
use crate::layout::flat::Flat;
use crate::layout::group::{Group, Groups};
use crate::layout::scalar::push_value;
use crate::layout::time::DateFormat;
use crate::layout::{Layout, hash_of};

/// [`Layout::hash`] of these lines begins with this.
const HASH_KIND: u8 = b'E';
/// Labels of the layout's own.
const OWN: [&str; 2] = ["template", "ndc"];

/// Events as JSON with the names of the Elastic Common Schema, one object and line each.
///
/// Names have dots and do not nest. Key-values, arguments and context are `labels`: strings, in
/// whose names each dot is a `_`, since a store would take it for an object. Of equal names the
/// first is kept: key-values before arguments before context, of which the innermost counts.
///
/// # Examples
/// ```
/// use rollway::layout::{Ecs, Group};
///
/// let layout = Ecs::new().without(Group::Thread);
/// ```
#[derive(Clone, Debug)]
pub struct Ecs {
    groups: Groups,
    time: DateFormat,
    received: DateFormat,
    scratch: String,
    flat: Flat,
}

impl Ecs {
    /// The version of the schema, as each line says it.
    pub const VERSION: &'static str = "8.11.0";

    /// Shows time, level, message, category and every group but [`Group::Args`] and
    /// [`Group::Template`].
    pub fn new() -> Ecs {
        Ecs {
            groups: Groups::ALL.without(Group::Args).without(Group::Template),
            time: DateFormat::rfc3339(),
            received: DateFormat::rfc3339(),
            scratch: String::new(),
            flat: Flat::default(),
        }
    }

    /// Shows `group` too.
    pub fn with(mut self, group: Group) -> Ecs {
        self.groups = self.groups.with(group);
        self
    }

    /// Leaves `group` out.
    pub fn without(mut self, group: Group) -> Ecs {
        self.groups = self.groups.without(group);
        self
    }
}

impl Default for Ecs {
    fn default() -> Ecs {
        Ecs::new()
    }
}

impl Layout for Ecs {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        out.push_str("{\"@timestamp\":\"");
        self.time.write(event.time_ns, out);
        out.push_str("\",\"log.level\":\"");
        out.push_str(event.level.name());
        out.push_str("\",\"message\":");
        self.scratch.clear();
        event.message(&mut self.scratch);
        push_string(&self.scratch, out);
        out.push_str(",\"ecs.version\":\"");
        out.push_str(Ecs::VERSION);
        out.push_str("\",\"log.logger\":");
        push_string(&event.site.category, out);
        self.push_groups(event, out);
        self.push_labels(event, out);
        out.push_str("}\n");
    }

    fn hash(&self) -> u64 {
        hash_of(HASH_KIND, &self.groups.marks())
    }

    fn is_shareable(&self) -> bool {
        true
    }
}

impl Ecs {
    fn push_groups(&mut self, event: &Event<'_>, out: &mut String) {
        let shows = |group| self.groups.shows(group);
        if shows(Group::Location) {
            push_known(",\"log.origin.file.name\":", &event.site.file, out);
            if event.site.line != 0 {
                push_number(",\"log.origin.file.line\":", event.site.line.into(), out);
            }
        }
        if shows(Group::Thread) {
            push_known(",\"process.thread.name\":", &event.thread.name, out);
            push_number(",\"process.thread.id\":", event.thread.os_id, out);
        }
        if shows(Group::Process) {
            push_number(",\"process.pid\":", event.source.pid.into(), out);
            push_known(",\"service.name\":", &event.source.service, out);
            push_known(",\"host.hostname\":", &event.source.host, out);
        }
        if let Some(receipt) = event.receipt.filter(|_| shows(Group::Receipt)) {
            out.push_str(",\"event.ingested\":\"");
            self.received.write(receipt.received_ns, out);
            out.push_str("\",\"source.address\":\"");
            out.push_str(&receipt.peer.to_string());
            out.push('"');
        }
    }

    fn push_labels(&mut self, event: &Event<'_>, out: &mut String) {
        let start = out.len();
        let scratch = &mut self.scratch;
        if self.groups.shows(Group::Template) {
            out.push_str(",\"template\":");
            push_string(event.site.template.text(), out);
        }
        if self.groups.shows(Group::Context) {
            push_strings(",\"ndc\":", &event.context.stack, out);
        }
        self.flat.for_each(event, self.groups, &OWN, push_label, |name, value| {
            out.push(',');
            push_string(name, out);
            out.push(':');
            match value.scalar() {
                None => out.push_str("null"),
                Some(_) => {
                    scratch.clear();
                    push_value(value, scratch);
                    push_string(scratch, out);
                }
            }
        });
        if out.len() > start {
            out.replace_range(start..=start, ",\"labels\":{");
            out.push('}');
        }
    }
}

/// Appends the name of a label: no dots, and not blank, which a store would refuse.
fn push_label(key: &str, out: &mut String) {
    out.extend(key.chars().map(|c| if c == '.' { '_' } else { c }));
    if key.trim().is_empty() {
        out.push('_');
    }
}
