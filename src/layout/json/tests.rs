use super::*;
use crate::event::Receipt;
use crate::layout::fixture::Fixture;
use crate::template::Template;
use crate::value::Kind;
use proptest::prelude::*;
use serde_json::json;

fn line(layout: impl Layout, fixture: &mut Fixture) -> String {
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
            line.contains(r#","received":"1970-01-01T00:00:01.000000001Z","peer":"10.1.2.3:4""#)
        );
        assert_eq!(line.contains(r#","elsewhere":true"#), is_elsewhere, "{line}");
        parsed(&line);
    }
}

#[test]
fn a_message_can_be_the_array_of_its_chunks() {
    let mut fixture = Fixture::saying("").with("n", Kind::U8, &[7]).with("t", Kind::STR, b"a\n\"");
    fixture.site.template = Template::parse("{n:>4} \u{1b} {t}");
    let chunks = || Json::new().message_chunks(true);
    let head =
        r#"{"time":"2026-11-21T10:00:00.123456789Z","level":"INFO","category":"shop::till","#;
    let message = r#""message":[7," \u001b ","a\n\""]}"#;
    assert_eq!(line(chunks(), &mut fixture), format!("{head}{message}\n"));
    // Whatever stands before and behind it.
    for (layout, expected) in [
        (chunks().hide("category").unwrap(), r#""level":"INFO","message":[7"#),
        (chunks().hide("time").unwrap().hide("level").unwrap(), r#"{"category":"#),
        (chunks().rename("message", "m").unwrap(), r#","m":[7"#),
        (chunks().with(Group::Template), r#"],"template":"#),
    ] {
        let line = line(layout, &mut fixture);
        assert!(line.contains(expected), "{line}");
        parsed(&line);
    }
    assert_eq!(parsed(&line(chunks(), &mut Fixture::saying("")))["message"], json!([]));
    assert!(chunks().takes_chunks() && !Json::new().takes_chunks());
    assert_ne!(chunks().hash(), Json::new().hash());
    assert_eq!(chunks().message_chunks(false).hash(), Json::new().hash());
}

#[test]
fn each_group_can_be_switched_alone() {
    let mut fixture = Fixture::saying("m").with("k", Kind::U8, &[1]).inside("c", "v");
    let none = || Group::ALL.into_iter().fold(Json::new(), Json::without);
    let count =
        |layout, fixture: &mut Fixture| parsed(&line(layout, fixture)).as_object().unwrap().len();
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

#[test]
fn fields_have_the_names_that_they_are_given() {
    let mut fixture = Fixture::saying("m").with("k", Kind::U8, &[1]).inside("c", "v");
    let renamed = |field: &str, name: &str, json: Json| json.rename(field, name).unwrap();
    let layout = renamed("time", "ts", renamed("level", "a\"b", Json::full()));
    let layout = renamed("fields", "data", layout).hide("category").unwrap();
    let layout = layout.hide("template").unwrap().hide("process").unwrap().hide("context").unwrap();
    let layout = renamed("thread_id", "category", layout);
    let expected = concat!(
        r#"{"ts":"2026-11-21T10:00:00.123456789Z","a\"b":"INFO","message":"m","data":{"k":1},"#,
        r#""file":"src/till.rs","line":42,"module":"shop::till::drawer","thread":"worker-1","#,
        r#""category":4711}"#,
        "\n"
    );
    assert_eq!(line(layout.clone(), &mut fixture), expected);
    assert_ne!(layout.hash(), Json::full().hash());
    assert_eq!(renamed("time", "time", Json::new()).hash(), Json::new().hash());
}

#[test]
fn the_nested_context_is_a_list() {
    let mut fixture = Fixture::saying("m").inside("ndc", "mine");
    fixture.context.stack = ["outer".into(), "in\nner".into()].into();
    let nested = json!(["outer", "in\nner"]);
    assert_eq!(parsed(&line(Json::new(), &mut fixture))["ndc"], nested);
    let labels = json!({ "ndc": nested, "ndc_": "mine" });
    assert_eq!(parsed(&line(Ecs::new(), &mut fixture))["labels"], labels);
    let otel = OpenTelemetry::new().without(Group::Location).without(Group::Thread);
    assert_eq!(parsed(&line(otel, &mut fixture))["attributes"], labels);
    let logfmt = line(crate::layout::Logfmt::new(), &mut fixture);
    assert!(logfmt.ends_with(" message=m ndc_=mine ndc=\"outer in\\nner\"\n"), "{logfmt}");
    let without = line(Json::new().without(Group::Context), &mut fixture);
    assert!(!without.contains("ndc"), "{without}");
}

#[test]
fn any_of_the_first_fields_may_be_the_only_one() {
    for (kept, expected) in [
        ("time", r#"{"time":"2026-11-21T10:00:00.123456789Z"}"#),
        ("level", r#"{"level":"INFO"}"#),
        ("category", r#"{"category":"shop::till"}"#),
        ("message", r#"{"message":"m\u001b"}"#),
    ] {
        let others = FIELDS[..HEAD].iter().filter(|field| **field != kept);
        let layout = others.fold(Json::new(), |json, field| json.hide(field).unwrap());
        let mut fixture = Fixture::saying("m\x1b");
        assert_eq!(line(layout.clone(), &mut fixture), format!("{expected}\n"));
        let error = layout.hide(kept).unwrap_err().to_string();
        assert!(error.contains(&format!("field `{kept}`: a line needs one of")), "{error}");
    }
}

#[test]
fn a_field_that_is_not_there_and_a_name_that_is_are_refused() {
    let unknown = Json::new().rename("tiem", "ts").unwrap_err().to_string();
    assert!(unknown.contains("field `tiem`: no such field: use one of time, level"), "{unknown}");
    assert!(Json::new().hide("fieldz").is_err());
    let taken = Json::new().rename("time", "peer").unwrap_err().to_string();
    assert!(taken.contains("`peer` is the name of another field"), "{taken}");
}

#[test]
fn a_line_of_the_elastic_common_schema_has_its_names() {
    let mut fixture = Fixture::saying("sold \"3\"")
        .with("cashier.name", Kind::STR, b"Ada")
        .with("cashier_name", Kind::STR, b"Bob")
        .with("till", Kind::U8, &[7])
        .with_none("none")
        .with("", Kind::BOOL, &[1])
        .inside("till", "context")
        .inside("request", "r1");
    let expected = concat!(
        r#"{"@timestamp":"2026-11-21T10:00:00.123456789Z","log.level":"INFO","#,
        r#""message":"sold \"3\"","ecs.version":"8.11.0","log.logger":"shop::till","#,
        r#""log.origin.file.name":"src/till.rs","log.origin.file.line":42,"#,
        r#""process.thread.name":"worker-1","process.thread.id":4711,"process.pid":815,"#,
        r#""service.name":"shop","host.hostname":"box","#,
        r#""labels":{"cashier_name":"Ada","till":"7","none":null,"_":"true","request":"r1"}}"#,
        "\n"
    );
    assert_eq!(line(Ecs::new(), &mut fixture), expected);
}

#[test]
fn a_line_of_open_telemetry_has_its_names() {
    let mut fixture = Fixture::saying("sold 3")
        .with("till", Kind::U8, &[7])
        .with("thread.id", Kind::STR, b"mine")
        .inside("request.id", "r1");
    let expected = concat!(
        r#"{"timeUnixNano":"1795255200123456789","severityNumber":9,"severityText":"INFO","#,
        r#""body":"sold 3","attributes":{"code.file.path":"src/till.rs","code.line.number":42,"#,
        r#""code.module.name":"shop::till::drawer","thread.name":"worker-1","thread.id":4711,"#,
        r#""till":7,"thread.id_":"mine","request.id":"r1"},"scope":{"name":"shop::till"},"#,
        r#""resource":{"service.name":"shop","host.name":"box","process.pid":815}}"#,
        "\n"
    );
    assert_eq!(line(OpenTelemetry::new(), &mut fixture), expected);
}

#[test]
fn every_group_has_its_place_in_the_schemas() {
    let peer = "10.1.2.3:4".parse().unwrap();
    let mut fixture = Fixture::saying("").with("0", Kind::U8, &[3]).inside("template", "mine");
    fixture.site.template = Template::parse("sold {}");
    fixture.receipt = Some(Receipt { received_ns: 5, peer, is_elsewhere: false });
    let count = |event: serde_json::Value| event.as_object().unwrap().len();
    let ecs = |with: &[Group]| {
        let bare = Group::ALL.into_iter().fold(Ecs::new(), Ecs::without);
        parsed(&line(with.iter().copied().fold(bare, Ecs::with), &mut fixture.clone()))
    };
    assert_eq!(count(ecs(&[])), 5);
    assert_eq!(ecs(&[Group::Args])["labels"], json!({ "0": "3" }));
    let labels = json!({ "template": "sold {}", "template_": "mine" });
    assert_eq!(ecs(&[Group::Template, Group::Context])["labels"], labels);
    let received = ecs(&[Group::Receipt]);
    assert_eq!(received["event.ingested"], "1970-01-01T00:00:00.000000005Z");
    assert_eq!(received["source.address"], "10.1.2.3:4");
    let otel = |with: &[Group]| {
        let bare = Group::ALL.into_iter().fold(OpenTelemetry::new(), OpenTelemetry::without);
        parsed(&line(with.iter().copied().fold(bare, OpenTelemetry::with), &mut fixture.clone()))
    };
    assert_eq!(count(otel(&[])), 5);
    assert_eq!(otel(&[Group::Args])["attributes"], json!({ "0": 3 }));
    assert_eq!(otel(&[Group::Template, Group::Context])["attributes"], labels);
    let received = otel(&[Group::Receipt]);
    assert_eq!(received["observedTimeUnixNano"], "5");
    assert_eq!(received["attributes"], json!({ "network.peer.address": "10.1.2.3:4" }));
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
