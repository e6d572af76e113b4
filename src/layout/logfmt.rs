//! One line of logfmt per event: `key=value`, blanks between them.

use super::Layout;
use super::escape::is_hidden;
use super::flat::Flat;
use super::group::{Group, Groups};
use super::json::push_escaped;
use super::scalar::{is_bare, push_value};
use super::time::DateFormat;
use crate::event::Event;
use crate::value::{Scalar, Value};

/// [`Layout::hash`] of logfmt begins with this.
const HASH_KIND: u8 = b'L';
/// Keys of the layout's own, shown or not.
const OWN: [&str; 17] = [
    "time",
    "level",
    "category",
    "message",
    "template",
    "ndc",
    "file",
    "line",
    "module",
    "thread",
    "thread_id",
    "pid",
    "service",
    "host",
    "received",
    "peer",
    "elsewhere",
];

/// Events as logfmt, one line each.
///
/// `time`, `level`, `category` and `message` come first, then key-values, arguments and context as
/// keys of their own, then what else is shown. Every line is read back by parsers of logfmt:
///
/// - a value is bare, or quoted and escaped as in JSON where it is empty, holds a blank, a quote,
///   `=`, a tab or a hidden character, or is the string `null`; an absent value is `null`;
/// - in a key each blank, quote, `=` and hidden character is a `_`; an empty key is `_`;
/// - no key stands twice: of equal ones the first is kept, in the context the innermost, and a key
///   that is one of the layout's own gets a `_` behind it.
///
/// # Examples
/// ```
/// use rollway::layout::{Group, Logfmt};
///
/// let layout = Logfmt::new().with(Group::Location).without(Group::Context);
/// ```
#[derive(Clone, Debug)]
pub struct Logfmt {
    groups: Groups,
    time: DateFormat,
    received: DateFormat,
    scratch: String,
    flat: Flat,
}

impl Logfmt {
    /// Shows time, level, category, message, [`Group::Fields`] and [`Group::Context`].
    pub fn new() -> Logfmt {
        Logfmt {
            groups: Groups::DATA,
            time: DateFormat::rfc3339(),
            received: DateFormat::rfc3339(),
            scratch: String::new(),
            flat: Flat::default(),
        }
    }

    /// Shows every group.
    pub fn full() -> Logfmt {
        Logfmt { groups: Groups::ALL, ..Logfmt::new() }
    }

    /// Shows `group` too.
    pub fn with(mut self, group: Group) -> Logfmt {
        self.groups = self.groups.with(group);
        self
    }

    /// Leaves `group` out.
    pub fn without(mut self, group: Group) -> Logfmt {
        self.groups = self.groups.without(group);
        self
    }
}

impl Default for Logfmt {
    fn default() -> Logfmt {
        Logfmt::new()
    }
}

impl Layout for Logfmt {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        out.push_str("time=");
        self.time.write(event.time_ns, out);
        out.push_str(" level=");
        out.push_str(event.level.name());
        push_text(" category=", &event.site.category, out);
        self.scratch.clear();
        event.message(&mut self.scratch);
        push_text(" message=", &self.scratch, out);
        self.flat.for_each(event, self.groups, &OWN, push_key, |key, value| {
            out.push(' ');
            out.push_str(key);
            out.push('=');
            push_typed(value, out);
        });
        self.push_groups(event, out);
        out.push('\n');
    }

    fn hash(&self) -> u64 {
        super::hash_of(HASH_KIND, &self.groups.marks())
    }

    fn is_shareable(&self) -> bool {
        true
    }
}

impl Logfmt {
    fn push_groups(&mut self, event: &Event<'_>, out: &mut String) {
        let shows = |group| self.groups.shows(group);
        let number = |key, number, out: &mut String| {
            out.push_str(key);
            push_value(Value::Plain(Scalar::U64(number)), out);
        };
        if shows(Group::Template) {
            push_text(" template=", event.site.template.text(), out);
        }
        if shows(Group::Context) && !event.context.stack.is_empty() {
            push_text(" ndc=", &event.context.stack.join(" "), out);
        }
        if shows(Group::Location) {
            push_known(" file=", &event.site.file, out);
            if event.site.line != 0 {
                number(" line=", event.site.line.into(), out);
            }
            push_known(" module=", &event.site.module, out);
        }
        if shows(Group::Thread) {
            push_known(" thread=", &event.thread.name, out);
            number(" thread_id=", event.thread.os_id, out);
        }
        if shows(Group::Process) {
            number(" pid=", event.source.pid.into(), out);
            push_text(" service=", &event.source.service, out);
            push_text(" host=", &event.source.host, out);
        }
        if let Some(receipt) = event.receipt.filter(|_| shows(Group::Receipt)) {
            out.push_str(" received=");
            self.received.write(receipt.received_ns, out);
            push_text(" peer=", &receipt.peer.to_string(), out);
            out.push_str(if receipt.is_elsewhere { " elsewhere=true" } else { "" });
        }
    }
}

fn push_known(key: &str, text: &str, out: &mut String) {
    if !text.is_empty() {
        push_text(key, text, out);
    }
}

fn push_text(key: &str, text: &str, out: &mut String) {
    out.push_str(key);
    push_word(text, out);
}

fn push_typed(value: Value<'_>, out: &mut String) {
    match value.scalar() {
        None => out.push_str("null"),
        Some(Scalar::Str(text) | Scalar::Text(text)) => push_word(text, out),
        Some(Scalar::Char(character)) => push_word(character.encode_utf8(&mut [0; 4]), out),
        Some(_) => push_value(value, out),
    }
}

/// Appends a string, quoted where it would not be read back as itself.
fn push_word(text: &str, out: &mut String) {
    if is_bare(text) && text != "null" {
        return out.push_str(text);
    }
    out.push('"');
    push_escaped(text, out);
    out.push('"');
}

fn push_key(key: &str, out: &mut String) {
    let breaks = |c: char| c.is_whitespace() || matches!(c, '=' | '"') || is_hidden(c);
    out.extend(key.chars().map(|c| if breaks(c) { '_' } else { c }));
    if key.is_empty() {
        out.push('_');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Receipt;
    use crate::layout::fixture::Fixture;
    use crate::template::Template;
    use crate::value::Kind;

    fn line(mut layout: Logfmt, fixture: &mut Fixture) -> String {
        let mut out = String::new();
        layout.write(&fixture.event(), &mut out);
        out
    }

    #[test]
    fn a_line_has_its_keys_in_order() {
        let mut fixture = Fixture::saying("sold 3 apples")
            .with("cashier", Kind::STR, b"Ada \"L.\"")
            .with("till", Kind::U8, &[7])
            .inside("request", "r1");
        let expected = concat!(
            "time=2026-11-21T10:00:00.123456789Z level=INFO category=shop::till ",
            r#"message="sold 3 apples" cashier="Ada \"L.\"" till=7 request=r1"#,
            "\n"
        );
        assert_eq!(line(Logfmt::new(), &mut fixture), expected);
    }

    #[test]
    fn a_full_line_tells_everything_known() {
        let mut fixture = Fixture::saying("").with("a", Kind::U8, &[3]);
        fixture.site.template = Template::parse("sold {}");
        let peer = "10.1.2.3:4".parse().unwrap();
        fixture.receipt = Some(Receipt { received_ns: 0, peer, is_elsewhere: true });
        let expected = concat!(
            "time=2026-11-21T10:00:00.123456789Z level=INFO category=shop::till ",
            r#"message="sold 3" a=3 template="sold {}" file=src/till.rs line=42 "#,
            "module=shop::till::drawer thread=worker-1 thread_id=4711 pid=815 service=shop ",
            "host=box received=1970-01-01T00:00:00.000000000Z peer=10.1.2.3:4 elsewhere=true\n",
        );
        assert_eq!(line(Logfmt::full(), &mut fixture), expected);
    }

    #[test]
    fn values_are_quoted_where_they_would_read_as_something_else() {
        for (value, expected) in [
            ("", r#""""#),
            ("plain", "plain"),
            (r"C:\new", r"C:\new"),
            ("two words", r#""two words""#),
            ("a=b", r#""a=b""#),
            ("a\\b\nc", r#""a\\b\nc""#),
            ("\x1b[2J\u{202e}", r#""\u001b[2J\u202e""#),
            ("null", r#""null""#),
            ("näher", "näher"),
        ] {
            let line = line(
                Logfmt::new(),
                &mut Fixture::saying("m").with("k", Kind::STR, value.as_bytes()),
            );
            assert!(line.ends_with(&format!(" message=m k={expected}\n")), "{line}");
        }
        let absent = line(Logfmt::new(), &mut Fixture::saying("").with_none("k"));
        assert!(absent.ends_with(" message=\"\" k=null\n"), "{absent}");
    }

    #[test]
    fn hostile_keys_are_cleaned_and_keep_off_those_of_the_layout() {
        let mut fixture = Fixture::saying("m")
            .with("a b=\"c\"\n", Kind::U8, &[1])
            .with("level", Kind::STR, b"FATAL")
            .with("", Kind::U8, &[2])
            .inside("a_b__c__", "context")
            .inside("host", "x");
        let line = line(Logfmt::new(), &mut fixture);
        assert!(line.ends_with(" message=m a_b__c__=1 level_=FATAL _=2 host_=x\n"), "{line}");
    }
}
