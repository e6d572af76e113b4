//! Text files.

use super::SIMPLE;
use crate::appender::{File, Open};
use crate::config::key::{Key, Kind};
use crate::config::registry::Registry;
use crate::config::section::Section;

const FILE: &[Key] = &[
    Key::new("path", Kind::Path, "the file; missing directories are made")
        .example("\"/var/log/shop.log\"")
        .required(),
    Key::new("layout", Kind::Layout, "how events become text").default(SIMPLE),
    Key::new("truncate", Kind::Truth, "whether the file is emptied when it is opened")
        .default("false"),
    Key::new("mode", Kind::Mode, "the permissions of a file that is made").default("\"0600\""),
    Key::new(
        "rotate_bytes",
        Kind::Bytes(1, u64::MAX),
        "a new file is begun before the event with which this one would have more bytes",
    )
    .otherwise("one file that grows", "\"100MiB\""),
    Key::new("keep", Kind::Number(0, u64::MAX), "how many full files stay, with `rotate_bytes`")
        .otherwise("all", "10"),
];

pub(super) fn register(registry: &mut Registry) {
    registry.appender("file", "A text file.", FILE, file);
}

fn file(section: &Section<'_>) -> Option<Box<dyn Open>> {
    let rotate_bytes = section.number("rotate_bytes");
    let keep = section.size("keep");
    if keep.is_some() && !section.has("rotate_bytes") {
        let what = "`keep` is about full files; say with `rotate_bytes` when one is full";
        section.refuse("keep", what);
    }
    let (path, layout) = (section.path("path"), section.layout("layout"));
    let (truncate, mode) = (section.truth("truncate"), section.number("mode"));
    let mut file = File::new(path?).boxed_layout(layout?).mode(u32::try_from(mode?).ok()?);
    if truncate? {
        file = file.truncate();
    }
    if let Some(bytes) = rotate_bytes {
        file = file.rotate_at_bytes(bytes);
    }
    if let Some(files) = keep {
        file = file.keep(files);
    }
    Some(Box::new(file))
}
