//! How a running process is asked for something: `signals`, `reload_every` and the section `[control]`.

use std::time::Duration;

use super::key::{Key, Kind};
use super::section::Section;
use crate::engine::Control;
use crate::engine::control::PATH_BYTES_MAX;

pub(super) const CONTROL: &[Key] = &[
    Key::new("enabled", Kind::Truth, "whether there is a control socket")
        .otherwise("where this section is written, and for `rollway master`", "true"),
    Key::new("path", Kind::Path, "where it is; has at most 107 bytes").otherwise(
        "in the journal directory or, without one, below `$XDG_RUNTIME_DIR/rollway`",
        "\"/run/shop/control\"",
    ),
];

/// What a configuration says of it.
pub(super) struct Tending {
    control: Control,
    is_written: bool,
    enabled: Option<bool>,
    pub(super) signals: bool,
    pub(super) reload_every: Option<Duration>,
}

impl Tending {
    pub(super) fn read(root: &Section<'_>) -> Tending {
        let signals = root.truth("signals").unwrap_or_default();
        let reload_every = root.duration("reload_every");
        let is_written = root.has("control");
        let section = root.section("control");
        let enabled = section.truth("enabled");
        let control = section.path("path").map_or_else(Control::default, |path| {
            let bytes = path.as_os_str().len();
            if bytes > PATH_BYTES_MAX {
                let what = format!(
                    "`path` has {bytes} bytes, and that of a socket at most {PATH_BYTES_MAX}; use a shorter one"
                );
                section.refuse("path", what);
            }
            Control::at(path)
        });
        section.end();
        Tending { control, is_written, enabled, signals, reload_every }
    }

    /// What cannot change while a process runs whose socket is `control`, by its keys.
    pub(super) fn said(&self, control: Option<&Control>) -> Vec<(&'static str, String)> {
        vec![
            ("control", format!("{control:?}")),
            ("signals", self.signals.to_string()),
            ("reload_every", format!("{:?}", self.reload_every)),
        ]
    }

    /// The socket of a process that logs.
    pub(super) fn control_of_service(&self) -> Option<Control> {
        self.enabled.unwrap_or(self.is_written).then(|| self.control.clone())
    }

    /// The socket of a master.
    #[cfg(feature = "master")]
    pub(super) fn control_of_master(&self) -> Option<Control> {
        self.enabled.unwrap_or(true).then(|| self.control.clone())
    }
}
