//! Configuration files: layers, places, and what is said of broken ones.
//!
//! `tests/config/broken` has broken files, each with what `rollway config check` says of it. Run with
//! `ROLLWAY_WRITE_EXPECTED=1` to write these anew, and read each of them.

use std::fs;
use std::path::{Path, PathBuf};

use rollway::cli::{Exit, run};
use rollway::config::{Config, Key, Kind, Origin, Registry, Sources};

fn broken_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/broken")
}

/// What a command said: its end, standard output, standard error.
fn said(arguments: &[&str]) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(["rollway"].iter().chain(arguments), &mut out, &mut err);
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn error(text: &str) -> String {
    Config::parse_toml(text).unwrap_err().to_string()
}

#[test]
fn a_broken_file_is_refused_with_place_value_and_remedy() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(broken_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "expected") {
            continue;
        }
        seen += 1;
        let (exit, out, err) =
            said(&["config", "check", "--no-environment", path.to_str().unwrap()]);
        assert_eq!((exit, &*out), (Exit::Config, ""), "{}", path.display());
        let shown = path.file_name().unwrap().to_str().unwrap();
        let err = err.replace(path.to_str().unwrap(), shown);
        for line in err.lines() {
            assert!(line.starts_with(&format!("{shown}: line ")), "without its place: {line}");
        }
        let expected = path.with_added_extension("expected");
        if std::env::var_os("ROLLWAY_WRITE_EXPECTED").is_some() {
            fs::write(&expected, &err).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != err {
            wrong.push(format!("{shown} is told:\n{err}"));
        }
    }
    assert!(seen >= 30, "only {seen} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn toml_and_json_of_one_shape_mean_the_same() {
    let toml = Config::parse_toml(
        "service = 'shop'\n[journal]\nmax_bytes = 33_554_432\n[appenders.all]\ntype = 'file'\npath = '/tmp/x.log'\nmandatory = false\nlayout = { type = 'json', show = ['location'] }\n",
    );
    let json = Config::parse_json(
        r#"{
            "service": "shop", // as in TOML
            "journal": { "max_bytes": 33554432 },
            "appenders": { "all": {
                "type": "file", "path": "/tmp/x.log", "mandatory": false,
                "layout": { "type": "json", "show": ["location"] },
            } },
        }"#,
    );
    let values = |config: Config| {
        let mut values: Vec<serde_json::Value> = serde_json::from_str(&config.show_json()).unwrap();
        values.iter_mut().for_each(|value| drop(value["origin"].take()));
        values
    };
    let (toml, json) = (values(toml.unwrap()), values(json.unwrap()));
    assert!(toml.len() > 20 && toml == json, "{toml:#?}\n{json:#?}");
}

#[test]
fn later_layers_lie_on_top_and_each_value_says_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollway.toml");
    fs::write(&file, "level = 'error'\nservice = 'shop'\n[journal]\nsync = '1s'\n[appenders.File]\ntype = 'file'\npath = 'a.log'\n").unwrap();
    fs::create_dir(dir.path().join("conf.d")).unwrap();
    let conf = |name: &str| dir.path().join("conf.d").join(name);
    fs::write(conf("10-journal.toml"), "[journal]\nsync = '2s'\nmax_bytes = '32MiB'\n").unwrap();
    fs::write(conf("20-journal.json"), r#"{ "journal": { "sync": "3s" } }"#).unwrap();
    fs::write(conf("30-note.txt"), "no configuration").unwrap();
    let sources = Sources::new()
        .set("service=till")
        .variables([
            ("ROLLWAY_LOG", "warn"),
            ("ROLLWAY__LEVEL", "debug"),
            ("ROLLWAY__APPENDERS__FILE__PATH", "b.log"),
            ("ROLLWAY__OVERFLOW", "{ policy = 'drop' }"),
            ("OTHER__LEVEL", "loud"),
        ])
        .file(&file);
    let config = Config::load(&sources).unwrap();
    let values: Vec<serde_json::Value> = serde_json::from_str(&config.show_json()).unwrap();
    let of = |key: &str| {
        let found = values.iter().find(|value| value["key"] == key).unwrap();
        let origin = found["origin"].as_str().unwrap().replace(dir.path().to_str().unwrap(), "DIR");
        (found["value"].as_str().unwrap().to_owned(), origin)
    };
    let expected = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(of("level"), expected("debug", "ROLLWAY__LEVEL in the environment"));
    assert_eq!(of("service"), expected("till", "--set service=till"));
    assert_eq!(of("journal.sync"), expected("3s", "DIR/conf.d/20-journal.json: line 1, column 24"));
    assert_eq!(
        of("journal.max_bytes"),
        expected("32MiB", "DIR/conf.d/10-journal.toml: line 3, column 13")
    );
    assert_eq!(
        of("appenders.File.path"),
        expected("b.log", "ROLLWAY__APPENDERS__FILE__PATH in the environment")
    );
    assert_eq!(of("overflow.policy"), expected("drop", "ROLLWAY__OVERFLOW in the environment"));
    assert_eq!(of("flush_timeout"), expected("5s", "default"));
}

#[test]
fn what_is_shown_is_a_configuration_that_means_the_same() {
    let config = Config::parse_toml(
        "[layouts.mine]\ntype = 'pattern'\npattern = '%m \"%p\" \\ %n'\n[appenders.\"a b\"]\ntype = 'console'\nlayout = 'mine'\n[forward]\nto = ['a:1', 'b']\n",
    )
    .unwrap();
    let shown = config.show();
    // The keys of a layout that is named are shown where it is described, and where it is used by type.
    let again = Config::parse_toml(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    let bare = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(" # ").next().unwrap().trim_end().to_owned()).collect()
    };
    assert_eq!(bare(&again.show()), bare(&shown));
}

#[test]
fn problems_of_all_layers_are_told_at_once_each_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollway.toml");
    fs::write(&file, "flush_timeout = 3\n").unwrap();
    let sources = Sources::new()
        .file(&file)
        .variables([("ROLLWAY__LEVEL", "loud"), ("ROLLWAY__JOURNAL__DRI", "x")])
        .set("rings.ring_bytes=1");
    let error = Config::load(&sources).unwrap_err();
    let told: Vec<_> = error.problems().iter().map(|problem| problem.to_string()).collect();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].contains("rollway.toml: line 1, column 17: `flush_timeout` is 3"), "{told:#?}");
    assert!(told[1].starts_with("ROLLWAY__JOURNAL__DRI in the environment: unknown key `dri`"));
    assert!(told[2].starts_with("ROLLWAY__LEVEL in the environment: `level` is \"loud\""));
    assert!(told[3].starts_with("--set rings.ring_bytes=1: `ring_bytes` is \"1\""), "{told:#?}");
    let origin = &error.problems()[1].place.as_ref().unwrap().origin;
    assert_eq!(**origin, Origin::Variable("ROLLWAY__JOURNAL__DRI".into()));
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_read_has_its_own_exit_code() {
    let (exit, _, err) = said(&["config", "check", "/no/such/rollway.toml"]);
    assert_eq!(exit, Exit::NoInput);
    assert!(err.starts_with("/no/such/rollway.toml: the configuration cannot be read"), "{err}");
    let dir = tempfile::tempdir().unwrap();
    let (exit, _, err) = said(&["config", "check", dir.path().to_str().unwrap()]);
    assert_eq!(exit, Exit::Io, "{err}");
    let binary = dir.path().join("binary.toml");
    fs::write(&binary, [0xff, 0xfe]).unwrap();
    let (exit, _, err) = said(&["config", "check", binary.to_str().unwrap()]);
    assert_eq!(exit, Exit::Config, "{err}");
}

#[test]
fn hostile_texts_are_refused_and_nothing_panics() {
    let deep_json = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(Config::parse_json(&deep_json).is_err());
    let deep_toml = format!("a = {}", "[".repeat(100_000));
    assert!(Config::parse_toml(&deep_toml).is_err());
    for text in [
        "\u{0}",
        "a.b.c = 1\na = 2",
        "[[appenders]]\nname = 5",
        "appenders = [1, {}]",
        "level = é",
        "=",
        "[",
        "'",
        "x = [info",
    ] {
        assert!(!error(text).is_empty(), "{text}");
    }
    for text in ["", "{", "}", "\"", "{\"a\"", "{\"a\":", "é", "{\"appenders\": [null]}", "[[["] {
        if let Err(error) = Config::parse_json(text) {
            assert!(!error.to_string().is_empty(), "{text}");
        }
    }
    let lines: String = (0..1000).map(|n| format!("unknown_{n} = 1\n")).collect();
    assert_eq!(Config::parse_toml(&lines).unwrap_err().problems().len(), 100);
}

#[test]
fn a_secret_stands_in_a_file_or_the_environment_and_is_never_repeated() {
    const KEYS: &[Key] = &[Key::new("password", Kind::Secret, "the password").required()];
    let mut registry = Registry::new();
    registry.appender("safe", "A safe.", KEYS, |section| {
        section.secret("password")?;
        Some(Box::new(rollway::appender::Console::stderr()))
    });
    let load = |value: &str| {
        let text = format!("[appenders.a]\ntype = 'safe'\npassword = {value}\n");
        Config::load_with(&Sources::new().toml(text), registry.clone())
    };
    for plain in
        ["'hunter2'", "{ plain = 'hunter2' }", "{ file = 'a', env = 'hunter2' }", "['hunter2']"]
    {
        let error = load(plain).unwrap_err().to_string();
        assert!(error.starts_with("line 3, column "), "{error}");
        assert!(error.contains("use { file = \"PATH\" } or { env = \"NAME\" }"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let shown = load("{ env = 'SAFE_PASSWORD' }").unwrap().show();
    assert!(shown.contains("password = { env = \"SAFE_PASSWORD\" }"), "{shown}");
}

#[test]
fn a_type_from_elsewhere_is_read_like_one_of_ours() {
    const KEYS: &[Key] = &[
        Key::new("room", Kind::Text, "the room").required(),
        Key::new("pause", Kind::Duration, "between two messages").default("\"3s\""),
    ];
    let mut registry = Registry::new();
    registry.appender("chat", "A chat room.", KEYS, |section| {
        let (room, pause) = (section.text("room"), section.duration("pause"));
        assert_eq!(section.name(), "team");
        if pause? > std::time::Duration::from_secs(60) {
            section.refuse("pause", "`pause` is too long; use at most \"1min\"");
        }
        room?;
        Some(Box::new(rollway::appender::Console::stderr()))
    });
    let load = |text: &str| {
        let text = format!("[appenders.team]\n{text}");
        Config::load_with(&Sources::new().toml(text), registry.clone())
    };
    let shown = load("type = 'chat'\nroom = 'ops'\nmandatory = false").unwrap().show();
    assert!(shown.contains("pause = \"3s\""), "{shown}");
    let error = load("type = 'chat'\nroom = 'ops'\npause = '2min'").unwrap_err();
    assert_eq!(error.to_string(), "line 4, column 9: `pause` is too long; use at most \"1min\"");
    let error = load("type = 'caht'").unwrap_err().to_string();
    assert!(
        error.contains("there is no type \"caht\" of appender (did you mean `chat`?)"),
        "{error}"
    );
}

#[test]
fn unnamed_appenders_are_numbered() {
    let config = Config::parse_toml(
        "[[appenders]]\ntype = 'console'\n[[appenders]]\nname = 'err'\ntype = 'console'\n[[appenders]]\ntype = 'console'\n",
    );
    assert_eq!(config.unwrap().summary()[0], "appenders: app001, err, app003");
}

#[test]
fn the_schema_for_editors_is_that_of_this_release() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rollway.schema.json");
    let schema = Config::schema();
    if std::env::var_os("ROLLWAY_WRITE_EXPECTED").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let is_same = fs::read_to_string(&path).is_ok_and(|committed| committed == schema);
    assert!(is_same, "write it anew: rollway config schema > docs/rollway.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["level"]["default"], "info");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_configuration_becomes_a_running_logger() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("shop.log");
    let text = format!(
        "level = 'debug'\n[journal]\ndir = '{dir}/journal'\nmax_bytes = '16MiB'\n[rings]\nring_bytes = '64KiB'\n[layouts.short]\ntype = 'pattern'\npattern = '%p %m%n'\n[appenders.file]\ntype = 'file'\npath = '{log}'\nlayout = 'short'\n",
        dir = dir.path().display(),
        log = log.display(),
    );
    let config = Config::parse_toml(&text).unwrap();
    assert!(!dir.path().join("journal").exists(), "reading opened something");
    let guard = config.builder().unwrap().start().unwrap();
    let logger = guard.logger().clone();
    rollway::debug!(logger: logger, "sold {}", 3);
    rollway::trace!(logger: logger, "unheard");
    drop(guard);
    assert_eq!(fs::read_to_string(&log).unwrap(), "DEBUG sold 3\n");
}

#[test]
fn a_pattern_on_the_command_line_is_taken_as_it_is() {
    // It begins as a list of TOML would.
    let sources = Sources::new()
        .toml("[appenders.a]\ntype = 'console'")
        .flag("--pattern", "appenders.a.layout.type", "pattern")
        .flag("--pattern", "appenders.a.layout.pattern", "[%d] %q");
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(
        error.starts_with("--pattern: column 7 of the text: unknown conversion `%q`"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_told_as_json_with_place_value_message_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollway.toml");
    let path = file.to_str().unwrap();
    fs::write(
        &file,
        "level = 'loud'\npasswrd = 'hunter2'\n[appenders.a]\ntype = 'console'\n\
         layout = { type = 'pattern', pattern = '%m %q' }\n[categories.shop]\nappenders = ['a', 'b']\n",
    )
    .unwrap();
    let (exit, out, err) =
        said(&["config", "check", "--json", path, "--set", "rings.ring_bytes=1"]);
    assert_eq!((exit, &*err), (Exit::Config, ""));
    let found: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let place = |line: u32, column: u32, key: &str| {
        serde_json::json!({
            "file": path, "variable": null, "flag": null, "line": line, "column": column, "key": key,
        })
    };
    assert_eq!(found.len(), 5, "{out}");
    assert_eq!(found[0]["place"], place(1, 9, "level"));
    assert_eq!(
        (&found[0]["value"], &found[0]["message"]),
        (&"\"loud\"".into(), &"`level` is \"loud\"".into())
    );
    assert!(found[0]["remedy"].as_str().unwrap().starts_with("use one of `trace`"), "{out}");
    assert_eq!(found[1]["place"], place(2, 1, "passwrd"));
    assert!(found[1]["value"].is_null() && !out.contains("hunter2"), "{out}");
    assert_eq!(found[2]["place"], place(5, 45, "appenders.a.layout.pattern"));
    assert_eq!(found[3]["place"], place(7, 19, "categories.shop.appenders"));
    assert_eq!(found[3]["value"], "\"b\"");
    assert_eq!(found[4]["place"]["flag"], "--set rings.ring_bytes=1");
    assert_eq!(found[4]["place"]["line"], serde_json::Value::Null);

    fs::write(&file, "level = 'info'\n").unwrap();
    assert_eq!(
        said(&["config", "check", "--json", path]),
        (Exit::Ok, String::new(), String::new())
    );
    let (exit, out, _) = said(&["config", "check", "--json", "/no/such/rollway.toml"]);
    assert_eq!(exit, Exit::NoInput);
    assert!(out.contains("\"file\":\"/no/such/rollway.toml\""), "{out}");
}

#[test]
fn a_secret_whose_file_or_variable_is_missing_or_empty_is_told_with_its_name() {
    const KEYS: &[Key] = &[Key::new("password", Kind::Secret, "the password").required()];
    let mut registry = Registry::new();
    registry.appender("safe", "A safe.", KEYS, |section| {
        if let Err(error) = section.secret("password")?.read() {
            section.refuse("password", format!("{error}; write the secret there"));
            return None;
        }
        Some(Box::new(rollway::appender::Null::new()))
    });
    let dir = tempfile::tempdir().unwrap();
    let load = |value: &str| {
        let text = format!("[appenders.a]\ntype = 'safe'\npassword = {value}\n");
        Config::load_with(&Sources::new().toml(text), registry.clone())
    };
    let missing = dir.path().join("missing");
    let error = load(&format!("{{ file = '{}' }}", missing.display())).unwrap_err().to_string();
    assert!(error.starts_with("line 3, column 1: the secret's file "), "{error}");
    assert!(error.contains(missing.to_str().unwrap()) && error.ends_with("write the secret there"));
    let error = load("{ env = 'ROLLWAY_TEST_NO_SUCH_VARIABLE' }").unwrap_err().to_string();
    assert!(error.contains("variable ROLLWAY_TEST_NO_SUCH_VARIABLE"), "{error}");
    let file = dir.path().join("secret");
    fs::write(&file, "\n").unwrap();
    let there = format!("{{ file = '{}' }}", file.display());
    assert!(load(&there).unwrap_err().to_string().contains("is empty"));
    fs::write(&file, "hunter2\n").unwrap();
    let shown = load(&there).unwrap().show();
    assert!(!shown.contains("hunter2"), "{shown}");
}
