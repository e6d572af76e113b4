//! One line of JSON per event.

use super::Layout;
use super::escape::{find_byte, is_hidden, may_hide};
use super::repeats::Repeats;
use super::scalar::{push_bytes, push_integer};
use super::time::DateFormat;
use crate::event::Event;
use crate::template::is_plain;
use crate::value::{Scalar, Value};

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

fn push_value(value: Value<'_>, out: &mut String) {
    let Some(scalar) = value.scalar() else { return out.push_str("null") };
    match scalar {
        Scalar::F32(float) => push_float(float, float.is_finite(), out),
        Scalar::F64(float) => push_float(float, float.is_finite(), out),
        Scalar::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Scalar::Char(character) => push_string(character.encode_utf8(&mut [0; 4]), out),
        Scalar::Str(text) | Scalar::Text(text) => push_string(text, out),
        Scalar::Bytes(bytes) => push_bytes(bytes, out),
        integer => push_integer(integer, out),
    }
}

fn push_float(float: impl zmij::Float, finite: bool, out: &mut String) {
    let mut digits = zmij::Buffer::new();
    let text = digits.format(float);
    if finite {
        out.push_str(text);
    } else {
        push_string(text, out);
    }
}

/// Appends a string between quotes, escaped as RFC 8259 demands; and with it what is hidden in
/// text layouts, so that a line is as safe to look at.
fn push_string(text: &str, out: &mut String) {
    out.push('"');
    match is_plain(text) {
        true => out.push_str(text),
        false => push_escaped(text, out),
    }
    out.push('"');
}

/// Appends what stands between the quotes of a string.
fn push_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) =
        find_byte(rest.as_bytes(), |byte| may_hide(byte) | (byte == b'"') | (byte == b'\\'))
    {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = tail.chars();
        if let Some(character) = characters.next() {
            push_character(character, out);
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

fn push_character(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        hidden if is_hidden(hidden) => {
            // Every hidden character has a code of at most four digits.
            out.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                let digit = u32::from(hidden) >> shift & 0xf;
                out.extend(char::from_digit(digit, 16));
            }
        }
        plain => out.push(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::event::Receipt;
    use crate::template::Template;
    use crate::value::Kind;
    use proptest::prelude::*;
    use serde_json::json;

    fn line(layout: Json, fixture: &mut Fixture) -> String {
        let mut layout = layout;
        let mut out = String::new();
        layout.write(&fixture.event(), &mut out);
        out
    }

    fn parsed(line: &str) -> serde_json::Value {
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line:?}");
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn a_compact_line_has_its_fields_in_order() {
        let mut fixture = Fixture::saying("sold 3 apples")
            .with("cashier", Kind::STR, b"Ada \"L.\"")
            .with("till", Kind::U8, &[7])
            .inside("request", "r1");
        let expected = concat!(
            r#"{"time":"2026-11-21T10:00:00.123456789Z","level":"INFO","category":"shop::till","#,
            r#""message":"sold 3 apples","fields":{"cashier":"Ada \"L.\"","till":7},"#,
            r#""context":{"request":"r1"}}"#,
            "\n"
        );
        assert_eq!(line(Json::new(), &mut fixture), expected);
    }

    #[test]
    fn a_full_line_tells_everything_known() {
        let mut fixture = Fixture::saying("hello").with("k", Kind::BOOL, &[0]);
        let expected = concat!(
            r#"{"time":"2026-11-21T10:00:00.123456789Z","level":"INFO","category":"shop::till","#,
            r#""message":"hello","fields":{"k":false},"template":"hello","file":"src/till.rs","#,
            r#""line":42,"module":"shop::till::drawer","thread":"worker-1","thread_id":4711,"#,
            r#""process":{"pid":815,"service":"shop","host":"box"}}"#,
            "\n"
        );
        assert_eq!(line(Json::full(), &mut fixture), expected);
    }

    #[test]
    fn what_is_empty_or_unknown_is_left_out() {
        let mut fixture = Fixture::saying("");
        fixture.site.file = "".into();
        fixture.site.line = 0;
        fixture.thread.name = "".into();
        let value = parsed(&line(Json::full(), &mut fixture));
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["category", "level", "message", "module", "process", "template", "thread_id", "time"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_a_master_received_says_when_and_from_where() {
        let mut fixture = Fixture::saying("m");
        let peer = "10.1.2.3:4".parse().unwrap();
        for is_elsewhere in [false, true] {
            fixture.receipt = Some(Receipt { received_ns: 1_000_000_001, peer, is_elsewhere });
            let line = line(Json::full(), &mut fixture);
            assert!(
                line.contains(
                    r#","received":"1970-01-01T00:00:01.000000001Z","peer":"10.1.2.3:4""#
                )
            );
            assert_eq!(line.contains(r#","elsewhere":true"#), is_elsewhere, "{line}");
            parsed(&line);
        }
    }

    #[test]
    fn each_group_can_be_switched_alone() {
        let mut fixture = Fixture::saying("m").with("k", Kind::U8, &[1]).inside("c", "v");
        let none = || Group::ALL.into_iter().fold(Json::new(), Json::without);
        let count = |layout, fixture: &mut Fixture| {
            parsed(&line(layout, fixture)).as_object().unwrap().len()
        };
        assert_eq!(count(none(), &mut fixture), 4);
        // There are no arguments.
        fixture.receipt =
            Some(Receipt { received_ns: 0, peer: "[::1]:9".parse().unwrap(), is_elsewhere: true });
        let expected = [1, 0, 1, 1, 3, 2, 1, 3];
        for (group, added) in Group::ALL.into_iter().zip(expected) {
            assert_eq!(count(none().with(group), &mut fixture), 4 + added, "{group:?}");
            assert_ne!(none().with(group).hash(), none().hash(), "{group:?}");
        }
    }

    #[test]
    fn every_kind_of_value_keeps_its_type() {
        let mut fixture = Fixture::saying("")
            .with("u8", Kind::U8, &[255])
            .with("u16", Kind::U16, &u16::MAX.to_le_bytes())
            .with("u32", Kind::U32, &u32::MAX.to_le_bytes())
            .with("u64", Kind::U64, &u64::MAX.to_le_bytes())
            .with("u128", Kind::U128, &u128::MAX.to_le_bytes())
            .with("i8", Kind::I8, &i8::MIN.to_le_bytes())
            .with("i16", Kind::I16, &i16::MIN.to_le_bytes())
            .with("i32", Kind::I32, &i32::MIN.to_le_bytes())
            .with("i64", Kind::I64, &i64::MIN.to_le_bytes())
            .with("i128", Kind::I128, &i128::MIN.to_le_bytes())
            .with("f32", Kind::F32, &0.1f32.to_le_bytes())
            .with("f64", Kind::F64, &(-2.5f64).to_le_bytes())
            .with("nan", Kind::F64, &f64::NAN.to_le_bytes())
            .with("inf", Kind::F32, &f32::INFINITY.to_le_bytes())
            .with("ninf", Kind::F64, &f64::NEG_INFINITY.to_le_bytes())
            .with("bool", Kind::BOOL, &[1])
            .with("char", Kind::CHAR, &u32::from('"').to_le_bytes())
            .with("str", Kind::STR, "é\n".as_bytes())
            .with("bytes", Kind::BYTES, &[0, 255])
            .with("text", Kind::TEXT, b"Some(3)")
            .with("some", Kind::U8.optional(), &[3])
            .with_none("none");
        let line = line(Json::new(), &mut fixture);
        parsed(&line);
        let expected = concat!(
            r#""fields":{"u8":255,"u16":65535,"u32":4294967295,"u64":18446744073709551615,"#,
            r#""u128":340282366920938463463374607431768211455,"#,
            r#""i8":-128,"i16":-32768,"i32":-2147483648,"i64":-9223372036854775808,"#,
            r#""i128":-170141183460469231731687303715884105728,"#,
            r#""f32":0.1,"f64":-2.5,"nan":"NaN","inf":"inf","ninf":"-inf","#,
            r#""bool":true,"char":"\"","str":"é\n","bytes":[0,255],"text":"Some(3)","#,
            r#""some":3,"none":null}"#
        );
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn an_object_has_each_name_once() {
        let mut fixture = Fixture::saying("")
            .with("k", Kind::U8, &[1])
            .with("a", Kind::U8, &[2])
            .with("k", Kind::U8, &[3])
            .inside("c", "outer")
            .inside("c", "inner");
        let line = line(Json::new(), &mut fixture);
        assert!(line.contains(r#""fields":{"k":1,"a":2},"context":{"c":"inner"}"#), "{line}");
    }

    #[test]
    fn arguments_of_the_template_stand_apart_from_key_values() {
        let mut fixture = Fixture::saying("");
        fixture.site.template = Template::parse("sold {} {} to {name}, {0} in all");
        for (number, name) in (0..).zip(["0", "1", "name", "0", "0", "k"]) {
            fixture = fixture.with(name, Kind::U8, &[number]);
        }
        let slots = fixture.site.template.slots();
        let value = parsed(&line(Json::full(), &mut fixture));
        let expected = |from: usize, to: usize| {
            let mut object = serde_json::Map::new();
            for (index, name) in fixture.site.names.iter().enumerate().take(to).skip(from) {
                object.entry(&**name).or_insert(json!(index));
            }
            (!object.is_empty()).then_some(serde_json::Value::Object(object))
        };
        assert_eq!(value.get("args").cloned(), expected(0, slots));
        assert_eq!(value.get("fields").cloned(), expected(slots, 6));
        let mut message = String::new();
        fixture.event().message(&mut message);
        assert_eq!(value["message"], message);
    }

    #[test]
    fn hidden_characters_are_escaped() {
        let mut fixture = Fixture::saying("\0\t\x1b\x7f\u{9b}\u{2028}\u{2029}\u{202e}\\é");
        let line = line(Json::new(), &mut fixture);
        let expected = r#""message":"\u0000\t\u001b\u007f\u009b\u2028\u2029\u202e\\é""#;
        assert!(line.contains(expected), "{line}");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_a_parser(
            text in any::<String>(),
            key in any::<String>(),
            hidden in "[\\x00-\\x1f\"\\\\\u{7f}-\u{a0}\u{2020}-\u{2070}é]{0,70}",
        ) {
            let mut fixture = Fixture::saying(&text)
                .with(&key, Kind::STR, hidden.as_bytes())
                .inside(&hidden, &text);
            fixture.site.category = hidden.as_str().into();
            fixture.source.host = text.as_str().into();
            let value = parsed(&line(Json::full(), &mut fixture));
            let mut message = String::new();
            fixture.event().message(&mut message);
            prop_assert_eq!(&value["message"], &json!(message));
            prop_assert_eq!(&value["category"], &json!(hidden));
            prop_assert_eq!(&value["process"]["host"], &json!(text));
            prop_assert_eq!(&value["fields"], &json!({ &key: hidden }));
            prop_assert_eq!(&value["context"], &json!({ &hidden: text }));
        }

        #[test]
        fn any_finite_float_is_a_number_of_the_same_value(float in any::<f64>()) {
            prop_assume!(float.is_finite());
            let mut out = String::new();
            push_value(Value::Plain(Scalar::F64(float)), &mut out);
            prop_assert!(serde_json::from_str::<serde_json::Number>(&out).is_ok(), "{}", out);
            prop_assert_eq!(out.parse::<f64>().unwrap().to_bits(), float.to_bits());
        }
    }
}
