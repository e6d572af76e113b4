//! One line of JSON per event.

mod ecs;
mod otel;
mod text;

use std::fmt;

use super::Layout;
use super::group::{Group, Groups};
use super::repeats::Repeats;
use super::scalar::push_integer;
use super::time::DateFormat;
use crate::event::Event;
use crate::value::{Scalar, Value};
use text::{push_chunks, push_string, push_strings, push_value};

pub use ecs::Ecs;
pub use otel::OpenTelemetry;
pub(super) use text::push_escaped;

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
/// the strings `"NaN"`, `"inf"` and `"-inf"`. No name stands twice in an object: of equal ones the
/// first is kept, in the context the innermost.
///
/// # Examples
/// ```
/// use rollway::layout::{Group, Json};
///
/// let layout = Json::new().with(Group::Location).without(Group::Context);
/// ```
#[derive(Clone, Debug)]
pub struct Json {
    groups: Groups,
    /// The message is an array of its chunks.
    message_chunks: bool,
    /// The name of each of [`FIELDS`]; `None` is not shown.
    names: Texts,
    /// The fields of every line, each with the text from the value before to its own.
    head: Vec<(Field, Box<str>)>,
    /// The comma, name and colon of each field.
    keys: Texts,
    time: DateFormat,
    received: DateFormat,
    scratch: String,
    repeats: Repeats,
}

/// The fields of a line, in their order, by the names that they have unless told otherwise.
const FIELDS: [&str; 18] = [
    "time",
    "level",
    "category",
    "message",
    "fields",
    "args",
    "template",
    "context",
    "ndc",
    "file",
    "line",
    "module",
    "thread",
    "thread_id",
    "process",
    "received",
    "peer",
    "elsewhere",
];
/// A text for each of them that is shown.
type Texts = Box<[Option<Box<str>>; FIELDS.len()]>;
/// As many of them are in every line unless they are hidden.
const HEAD: usize = 4;

/// Where a field stands in [`FIELDS`].
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum Field {
    Time,
    Level,
    Category,
    Message,
    Fields,
    Args,
    Template,
    Context,
    Ndc,
    File,
    Line,
    Module,
    Thread,
    ThreadId,
    Process,
    Received,
    Peer,
    Elsewhere,
    /// The message as an array, under the name of [`Field::Message`].
    Chunks,
}

/// Why a field cannot be renamed or hidden.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// The field as it was named.
    pub field: String,
    /// What is wrong with it and what to do instead.
    pub problem: String,
}

impl Json {
    /// Shows time, level, category, message, [`Group::Fields`] and [`Group::Context`].
    pub fn new() -> Json {
        let mut json = Json {
            groups: Groups::DATA,
            message_chunks: false,
            names: Box::new(FIELDS.map(|name| Some(name.into()))),
            head: Vec::new(),
            keys: Default::default(),
            time: DateFormat::rfc3339(),
            received: DateFormat::rfc3339(),
            scratch: String::new(),
            repeats: Repeats::default(),
        };
        json.arrange();
        json
    }

    /// Shows every group.
    pub fn full() -> Json {
        Json { groups: Groups::ALL, ..Json::new() }
    }

    /// Shows `group` too.
    pub fn with(mut self, group: Group) -> Json {
        self.groups = self.groups.with(group);
        self
    }

    /// Leaves `group` out.
    pub fn without(mut self, group: Group) -> Json {
        self.groups = self.groups.without(group);
        self
    }

    /// Whether the message is an array of its chunks ([`Event::chunks`]): texts as strings, values with
    /// their types and without the form that their placeholders give them. By default it is one string.
    /// A [`File`](crate::appender::File), a [`Console`](crate::appender::Console) and a
    /// [`Writer`](crate::appender::Writer) with such a layout may have the warp
    /// [`pass`](crate::warp::Warp::pass).
    ///
    /// # Examples
    /// ```
    /// use rollway::layout::Json;
    ///
    /// // `info!("{} apples", 3)` has `"message":[3," apples"]`.
    /// let layout = Json::new().message_chunks(true);
    /// ```
    pub fn message_chunks(mut self, wanted: bool) -> Json {
        self.message_chunks = wanted;
        self.arrange();
        self
    }

    /// Gives a field of the line another name: `time`, `level`, `category`, `message`, or a field
    /// of a [`Group`].
    ///
    /// # Errors
    /// [`FieldError`] if there is no such field, or another one has that name already.
    ///
    /// # Examples
    /// ```
    /// use rollway::layout::Json;
    ///
    /// let layout = Json::new().rename("time", "ts")?.hide("category")?;
    /// assert!(Json::new().rename("time", "level").is_err());
    /// # Ok::<(), rollway::layout::FieldError>(())
    /// ```
    pub fn rename(mut self, field: &str, name: &str) -> Result<Json, FieldError> {
        let index = index_of(field)?;
        let is_taken = |(other, taken): (usize, &Option<Box<str>>)| {
            other != index && taken.as_deref() == Some(name)
        };
        if self.names.iter().enumerate().any(is_taken) {
            let name = name.escape_debug();
            let problem = format!("`{name}` is the name of another field: choose another one");
            return Err(FieldError { field: field.into(), problem });
        }
        self.names[index] = Some(name.into());
        self.arrange();
        Ok(self)
    }

    /// Leaves a field of the line out.
    ///
    /// # Errors
    /// [`FieldError`] if there is no such field, or if neither time, level, category nor message
    /// would be left.
    pub fn hide(mut self, field: &str) -> Result<Json, FieldError> {
        let index = index_of(field)?;
        self.names[index] = None;
        if self.names[..HEAD].iter().all(Option::is_none) {
            let problem = "a line needs one of time, level, category and message: keep it".into();
            return Err(FieldError { field: field.into(), problem });
        }
        self.arrange();
        Ok(self)
    }

    /// Makes the texts before the values.
    fn arrange(&mut self) {
        let key = |name: &str| {
            let mut key = String::from(",");
            push_string(name, &mut key);
            key + ":"
        };
        for (text, name) in self.keys.iter_mut().zip(&self.names[..]) {
            *text = name.as_deref().map(|name| key(name).into());
        }
        self.head.clear();
        let mut is_open = false;
        for field in [Field::Time, Field::Level, Field::Category, Field::Message] {
            let Some(key) = &self.keys[field as usize] else { continue };
            let mut text = String::from(if is_open { "\"" } else { "" });
            text.push_str(if self.head.is_empty() { "{" } else { "," });
            text.push_str(&key[1..]);
            let field = match field {
                Field::Message if self.message_chunks => Field::Chunks,
                field => field,
            };
            is_open = !matches!(field, Field::Category | Field::Chunks);
            text.push_str(if is_open { "\"" } else { "" });
            self.head.push((field, text.into()));
        }
    }
}

fn index_of(field: &str) -> Result<usize, FieldError> {
    FIELDS.iter().position(|known| *known == field).ok_or_else(|| {
        let problem = format!("no such field: use one of {}", FIELDS.join(", "));
        FieldError { field: field.into(), problem }
    })
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field `{}`: {}", self.field.escape_debug(), self.problem)
    }
}

impl std::error::Error for FieldError {}

impl Default for Json {
    fn default() -> Json {
        Json::new()
    }
}

impl Layout for Json {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        let mut is_open = false;
        for (field, text) in &self.head {
            out.push_str(text);
            is_open = true;
            match field {
                Field::Time => self.time.write(event.time_ns, out),
                Field::Level => out.push_str(event.level.name()),
                Field::Message => {
                    let start = out.len();
                    if !event.message(out) {
                        self.scratch.clear();
                        self.scratch.push_str(&out[start..]);
                        out.truncate(start);
                        push_escaped(&self.scratch, out);
                    }
                }
                Field::Chunks => {
                    push_chunks(event, out);
                    is_open = false;
                }
                _ => {
                    push_string(&event.site.category, out);
                    is_open = false;
                }
            }
        }
        if is_open {
            out.push('"');
        }
        for group in Group::ALL {
            if self.groups.shows(group) {
                self.push_group(group, event, out);
            }
        }
        out.push_str("}\n");
    }

    fn hash(&self) -> u64 {
        let mut shown = Vec::from(self.groups.marks());
        shown.extend(self.message_chunks.then_some("chunks"));
        if self.names.iter().map(Option::as_deref).eq(FIELDS.map(Some)) {
            return super::hash_of(HASH_KIND, &shown);
        }
        let names = self.names.iter().map(|name| name.as_deref().unwrap_or("\0"));
        super::hash_of(HASH_KIND, &Vec::from_iter(shown.into_iter().chain(names)))
    }

    fn is_shareable(&self) -> bool {
        true
    }

    fn takes_chunks(&self) -> bool {
        self.message_chunks
    }
}

impl Json {
    fn push_group(&mut self, group: Group, event: &Event<'_>, out: &mut String) {
        let names = &event.site.names;
        let slots = event.site.template.slots().min(names.len());
        match group {
            Group::Fields => self.push_values(Field::Fields, &names[slots..], event.pairs(), out),
            Group::Args => self.push_values(Field::Args, &names[..slots], event.arguments(), out),
            Group::Template => self.push_text(Field::Template, event.site.template.text(), out),
            Group::Context => {
                self.push_context(event, out);
                if let Some(key) = &self.keys[Field::Ndc as usize] {
                    push_strings(key, &event.context.stack, out);
                }
            }
            Group::Location => {
                self.push_known(Field::File, &event.site.file, out);
                if event.site.line != 0 {
                    self.push_number(Field::Line, event.site.line.into(), out);
                }
                self.push_known(Field::Module, &event.site.module, out);
            }
            Group::Thread => {
                self.push_known(Field::Thread, &event.thread.name, out);
                self.push_number(Field::ThreadId, event.thread.os_id, out);
            }
            Group::Process => {
                let Some(key) = &self.keys[Field::Process as usize] else { return };
                out.push_str(key);
                out.push_str("{\"pid\":");
                push_integer(Scalar::U32(event.source.pid), out);
                out.push_str(",\"service\":");
                push_string(&event.source.service, out);
                out.push_str(",\"host\":");
                push_string(&event.source.host, out);
                out.push('}');
            }
            Group::Receipt => {
                let Some(receipt) = event.receipt else { return };
                if let Some(key) = &self.keys[Field::Received as usize] {
                    out.push_str(key);
                    out.push('"');
                    self.received.write(receipt.received_ns, out);
                    out.push('"');
                }
                self.push_text(Field::Peer, &receipt.peer.to_string(), out);
                if let Some(key) = &self.keys[Field::Elsewhere as usize]
                    && receipt.is_elsewhere
                {
                    out.push_str(key);
                    out.push_str("true");
                }
            }
        }
    }

    /// Appends a string unless it is empty.
    fn push_known(&self, field: Field, text: &str, out: &mut String) {
        if !text.is_empty() {
            self.push_text(field, text, out);
        }
    }

    fn push_text(&self, field: Field, text: &str, out: &mut String) {
        if let Some(key) = &self.keys[field as usize] {
            out.push_str(key);
            push_string(text, out);
        }
    }

    fn push_number(&self, field: Field, number: u64, out: &mut String) {
        if let Some(key) = &self.keys[field as usize] {
            out.push_str(key);
            push_integer(Scalar::U64(number), out);
        }
    }

    /// Appends an object of values; of equal names the first.
    fn push_values<'a>(
        &mut self,
        field: Field,
        names: &[Box<str>],
        values: impl Iterator<Item = (&'a str, Value<'a>)>,
        out: &mut String,
    ) {
        let Some(key) = self.keys[field as usize].as_deref().filter(|_| !names.is_empty()) else {
            return;
        };
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
        let Some(key) = self.keys[Field::Context as usize].as_deref().filter(|_| !pairs.is_empty())
        else {
            return;
        };
        let last = pairs.len() - 1;
        let covered = self.repeats.find(pairs.len(), |index| &pairs[last - index].0);
        let mut object = Object::new(key);
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
    /// `key` is its comma, name and colon.
    fn new(key: &'a str) -> Object<'a> {
        Object { key, empty: true }
    }

    /// Appends a name and its colon; the value is to follow.
    fn push_name(&mut self, name: &str, out: &mut String) {
        if std::mem::take(&mut self.empty) {
            out.push_str(self.key);
            out.push('{');
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

#[cfg(test)]
mod tests;
