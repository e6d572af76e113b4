//! What is not to be seen is not written.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rollway::appender::{self, File};
use rollway::layout::{Json, Pattern};
use rollway::route::filter::{Verdict, from_fn};
use rollway::warp::Warp;
use rollway::{Mask, Secret};
use support::{lines, watchdog};

/// Neither of its traits shows it; it is looked for by its bytes.
const VALUE: &str = "hunter2";

#[derive(Debug)]
#[allow(dead_code, reason = "it is shown as a whole")]
struct Login {
    user: &'static str,
    password: Secret<String>,
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            match std::fs::read(path) {
                // A file of the engine that has just got its name, or lost it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                found => files.push(found.unwrap()),
            }
        }
    }
    files
}

#[test]
fn a_secret_is_in_no_ring_no_journal_and_no_output_however_it_is_logged() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .appender("file", File::new(&path).layout(Json::full()))
        .start()
        .unwrap();
    let logger = guard.logger();
    let secret = Secret::new(VALUE.to_owned());
    let login = Login { user: "ada", password: secret.clone() };
    let (optional, text) = (Some(Secret::new(VALUE)), Secret::new(VALUE));
    let by_key = HashMap::from([("password", secret.clone())]);

    rollway::info!(logger: logger, "{secret} {secret:?} {secret:>20} {secret:.2} {:#?}", &secret);
    rollway::info!(logger: logger, "{login:?} {optional:?} {by_key:?} {:?}", [&text, &text]);
    rollway::info!(logger: logger, secret, text:? = text, optional:? = optional, shown:% = &secret; "pairs");
    {
        let _scope = rollway::mdc("password", &secret);
        let _text = rollway::ndc(text);
        rollway::info!(logger: logger, "{} kinds in one call", 3);
        rollway::info!(logger: logger, "{}", Box::new(&&secret));
    }
    // What is in the rings now is looked through as well.
    let in_rings = files(dir.path());
    assert_eq!(guard.shutdown(Duration::from_secs(20)).left(), 0);
    let holds = |text: &str, files: &[Vec<u8>]| {
        files.iter().any(|bytes| String::from_utf8_lossy(bytes).contains(text))
    };
    for files in [in_rings, files(dir.path())] {
        assert!(holds("[secret]", &files), "what was logged is found");
        assert!(!holds(VALUE, &files));
    }
    let lines = lines(&path);
    assert_eq!(lines.len(), 5);
    assert!(lines[0].contains(&["[secret]"; 5].join(" ")), "{}", lines[0]);
    assert!(
        lines[1].contains("Some([secret])") && lines[1].contains("password: [secret]"),
        "{}",
        lines[1]
    );
    assert_eq!(lines[2].matches("[secret]").count(), 4, "{}", lines[2]);
    assert!(lines[3].contains(r#""context":{"password":"[secret]"}"#), "{}", lines[3]);
    assert_eq!(secret.expose(), VALUE);
}

#[test]
fn a_mask_hides_values_by_key_in_all_that_appenders_write_and_not_in_the_journal() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let pattern = || Pattern::parse("%m%k %X%n").unwrap();
    let guard = rollway::builder()
        .journal_dir(path("journal"))
        .rings_dir(path("rings"))
        .mask(Mask::new().key("password").key_pattern("*TOKEN*"))
        .appender("json", File::new(path("json")).layout(Json::full()))
        .appender("text", File::new(path("text")).layout(pattern()))
        .appender(
            "gated",
            appender::with(File::new(path("gated")).layout(pattern()))
                .filter(from_fn(|event| {
                    let is_first = event.pairs().any(|(key, _)| key == "first");
                    if is_first { Verdict::Accept } else { Verdict::Reject }
                }))
                .warp(Warp::join("|")),
        )
        .start()
        .unwrap();
    let logger = guard.logger();
    let password = VALUE;
    {
        let _scope = rollway::mdc("Session_Token", VALUE);
        for user in ["ada", "grace"] {
            rollway::info!(logger: logger, api_token = VALUE, first = 1; "{user} with {password}");
        }
    }
    rollway::info!(logger: logger, "{password:>40} of {:?}, {}", Some(1), 2.5);
    rollway::info!(logger: logger, "no key of it");
    assert_eq!(guard.shutdown(Duration::from_secs(20)).left(), 0);

    let masked = "with [masked] api_token=[masked] first=1 Session_Token=[masked]";
    let expected = [
        format!("ada {masked}"),
        format!("grace {masked}"),
        "[masked] of Some(1), 2.5 ".to_owned(),
        "no key of it ".to_owned(),
    ];
    assert_eq!(lines(&path("text")), expected);
    let masked = masked.replacen("with ", "| with |", 1);
    assert_eq!(lines(&path("gated")), [format!("ada{masked}"), format!("grace{masked}")]);
    let json = lines(&path("json"));
    assert!(json.iter().all(|line| !line.contains(VALUE)), "{json:#?}");
    assert!(json[0].contains(r#""api_token":"[masked]""#), "{}", json[0]);
    let journal = files(&path("journal"));
    assert!(journal.iter().any(|bytes| String::from_utf8_lossy(bytes).contains(VALUE)));
}
