//! Configurations that change while the program runs.

#[path = "lines/16-watch.rs"]
#[rustfmt::skip]
mod calls;

use std::fs;

use rollway::config::{Config, Sources};
use rollway::{Guard, Level, enabled};
use rustix::process::{Signal, getpid, kill_process};

use crate::golden::{Golden, shown};
use crate::running::Dir;
use crate::support::{wait_until, watchdog};

#[test]
fn a_configuration_that_has_changed_is_taken_and_a_wrong_one_is_not() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("16-watch") else { return };
    let dir = Dir::new();
    let mut outcomes = Vec::new();
    // Each configuration writes to a file of its own, as each of the script has a buffer of its own.
    let text = |guard: &Guard, name: &str| {
        guard.flush().unwrap();
        dir.text(name)
    };

    describe(&dir, "info", "one", "reload_every = \"1h\"");
    let guard = start(&dir);
    calls::first(guard.logger());
    outcomes.push(shown("first configuration", &text(&guard, "one")));
    describe(&dir, "debug", "two", "reload_every = \"1h\"");
    calls::too_early(guard.logger());
    outcomes.push(shown("interval not over", &text(&guard, "one")));
    drop(guard);

    let often = "reload_every = \"10ms\"";
    describe(&dir, "info", "one", often);
    let guard = start(&dir);
    let reloads = || guard.stats().reloads;
    describe(&dir, "debug", "two", often);
    wait_until("the second is taken", || reloads().done == 1);
    calls::reloaded(guard.logger());
    outcomes.push(shown("reloaded by a suppressed call", &text(&guard, "two")));
    describe(&dir, "error", "three", often);
    wait_until("the third is taken", || reloads().done == 2);
    let is_debug = enabled!(logger: guard.logger(), target: "animal.dog", Level::DEBUG);
    outcomes.push(shown("is_debug triggers the reload too", &u8::from(is_debug).to_string()));
    describe(&dir, "debug", "bad", "[layouts.bad]\ntype = \"NoSuchLayout\"");
    wait_until("the wrong one is refused", || reloads().failed == 1);
    outcomes.push(shown("warning", &reloads().failing.unwrap()));
    calls::after_bad(guard.logger());
    outcomes.push(shown("kept the old one", &text(&guard, "three")));
    fs::remove_file(dir.path("watch.toml")).unwrap();
    wait_until("that it is missing is seen", || reloads().failed == 2);
    calls::file_gone(guard.logger());
    outcomes.push(shown("file gone: nothing happens", &text(&guard, "three")));
    drop(guard);

    describe(&dir, "debug", "sig", "signals = true");
    let guard = start(&dir);
    describe(&dir, "error", "sig2", "signals = true");
    calls::before_signal(guard.logger());
    outcomes.push(shown("signal mode, no signal", &text(&guard, "sig")));
    kill_process(getpid(), Signal::HUP).unwrap();
    wait_until("the signal is seen", || guard.stats().reloads.done == 1);
    calls::after_signal(guard.logger());
    outcomes.push(shown("after HUP", &text(&guard, "sig2")));
    drop(guard);
    golden.compare(outcomes);
}

/// Writes the configuration of the script, whole at once: a level, and a text that lines begin with.
fn describe(dir: &Dir, level: &str, begin: &str, keys: &str) {
    let path = dir.path(begin);
    let text = format!(
        r#"
        {keys}

        [categories."animal.dog"]
        level = "{level}"
        appenders = ["A"]

        [appenders.A]
        type = "file"
        path = "{}"
        layout = {{ type = "pattern", pattern = "{begin} L%L %m%n" }}
        "#,
        path.display(),
    );
    fs::write(dir.path("new.toml"), text).unwrap();
    fs::rename(dir.path("new.toml"), dir.path("watch.toml")).unwrap();
}

fn start(dir: &Dir) -> Guard {
    let sources = Sources::new().file(dir.path("watch.toml"));
    let described = move || Config::load(&sources).and_then(|config| config.builder());
    described().unwrap().reload_from(described).start().unwrap()
}
