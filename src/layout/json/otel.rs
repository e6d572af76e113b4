//! JSON lines with the names of OpenTelemetry's model of a log record.

use super::text::{push_known, push_number, push_string, push_strings, push_value};
use crate::event::Event;
use crate::layout::flat::Flat;
use crate::layout::group::{Group, Groups};
use crate::layout::{Layout, hash_of};

/// [`Layout::hash`] of these lines begins with this.
const HASH_KIND: u8 = b'O';
/// Attributes of the layout's own, shown or not.
const OWN: [&str; 8] = [
    "code.file.path",
    "code.line.number",
    "code.module.name",
    "thread.name",
    "thread.id",
    "template",
    "ndc",
    "network.peer.address",
];

/// Events as JSON with the names of OpenTelemetry, one object and line each.
///
/// `timeUnixNano` is a string, as OpenTelemetry writes 64-bit numbers in JSON, since many readers
/// would lose digits of it; `severityNumber` is [`Level::number`](crate::Level::number). `attributes`
/// and `resource` are plain objects, not lists of pairs: these are lines to read and to search, not
/// requests of the protocol. Of equal attributes the first is kept: key-values before arguments
/// before context, of which the innermost counts; one with a name of the layout's own gets a `_`
/// behind it.
///
/// # Examples
/// ```
/// use rollway::layout::{Group, OpenTelemetry};
///
/// let layout = OpenTelemetry::new().with(Group::Args);
/// ```
#[derive(Clone, Debug)]
pub struct OpenTelemetry {
    groups: Groups,
    scratch: String,
    flat: Flat,
}

impl OpenTelemetry {
    /// Shows time, level, category, message and every group but [`Group::Args`] and
    /// [`Group::Template`].
    pub fn new() -> OpenTelemetry {
        let groups = Groups::ALL.without(Group::Args).without(Group::Template);
        OpenTelemetry { groups, scratch: String::new(), flat: Flat::default() }
    }

    /// Shows `group` too.
    pub fn with(mut self, group: Group) -> OpenTelemetry {
        self.groups = self.groups.with(group);
        self
    }

    /// Leaves `group` out.
    pub fn without(mut self, group: Group) -> OpenTelemetry {
        self.groups = self.groups.without(group);
        self
    }
}

impl Default for OpenTelemetry {
    fn default() -> OpenTelemetry {
        OpenTelemetry::new()
    }
}

impl Layout for OpenTelemetry {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        out.push_str("{\"timeUnixNano\":\"");
        out.push_str(digits.format(event.time_ns));
        out.push('"');
        if let Some(receipt) = event.receipt.filter(|_| self.groups.shows(Group::Receipt)) {
            out.push_str(",\"observedTimeUnixNano\":\"");
            out.push_str(digits.format(receipt.received_ns));
            out.push('"');
        }
        push_number(",\"severityNumber\":", event.level.number().into(), out);
        out.push_str(",\"severityText\":\"");
        out.push_str(event.level.name());
        out.push_str("\",\"body\":");
        self.scratch.clear();
        event.message(&mut self.scratch);
        push_string(&self.scratch, out);
        self.push_attributes(event, out);
        out.push_str(",\"scope\":{\"name\":");
        push_string(&event.site.category, out);
        out.push('}');
        if self.groups.shows(Group::Process) {
            out.push_str(",\"resource\":{\"service.name\":");
            push_string(&event.source.service, out);
            push_known(",\"host.name\":", &event.source.host, out);
            push_number(",\"process.pid\":", event.source.pid.into(), out);
            out.push('}');
        }
        out.push_str("}\n");
    }

    fn hash(&self) -> u64 {
        hash_of(HASH_KIND, &self.groups.marks())
    }

    fn is_shareable(&self) -> bool {
        true
    }
}

impl OpenTelemetry {
    fn push_attributes(&mut self, event: &Event<'_>, out: &mut String) {
        let start = out.len();
        let shows = |group| self.groups.shows(group);
        if shows(Group::Location) {
            push_known(",\"code.file.path\":", &event.site.file, out);
            if event.site.line != 0 {
                push_number(",\"code.line.number\":", event.site.line.into(), out);
            }
            push_known(",\"code.module.name\":", &event.site.module, out);
        }
        if shows(Group::Thread) {
            push_known(",\"thread.name\":", &event.thread.name, out);
            push_number(",\"thread.id\":", event.thread.os_id, out);
        }
        if shows(Group::Template) {
            push_known(",\"template\":", event.site.template.text(), out);
        }
        if let Some(receipt) = event.receipt.filter(|_| shows(Group::Receipt)) {
            push_known(",\"network.peer.address\":", &receipt.peer.to_string(), out);
        }
        if shows(Group::Context) {
            push_strings(",\"ndc\":", &event.context.stack, out);
        }
        let as_it_is = |key: &str, name: &mut String| name.push_str(key);
        self.flat.for_each(event, self.groups, &OWN, as_it_is, |name, value| {
            out.push(',');
            push_string(name, out);
            out.push(':');
            push_value(value, out);
        });
        if out.len() > start {
            out.replace_range(start..=start, ",\"attributes\":{");
            out.push('}');
        }
    }
}
