//! What is not to be seen is not written.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rollway::Secret;
use rollway::appender::File;
use rollway::layout::Json;
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
            files.push(std::fs::read(path).unwrap());
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
