//! Text files.

use std::path::PathBuf;
use std::time::Duration;

use super::SIMPLE;
use crate::appender::file::{Compression, RollBy};
use crate::appender::{File, Key as FileKey, Missing, Open, PerValue, is_extension};
use crate::config::key::{Key, Kind};
use crate::config::registry::Registry;
use crate::config::section::Section;

/// The keys of one file, behind those that say where it is.
macro_rules! with_file_keys {
    ($($own:expr),* $(,)?) => { &[
        $($own,)*
        Key::new("layout", Kind::Layout, "how events become text").default(SIMPLE),
        Key::new("remove_colour", Kind::Truth, "whether the colours of the layout are taken out")
            .default("false"),
        Key::new("append", Kind::Truth, "whether the file keeps what is in it when it is opened")
            .default("true"),
        Key::new("mode", Kind::Mode, "the permissions of a file that is made").default("\"0600\""),
        Key::new("dir_mode", Kind::Mode, "the permissions of directories that are made")
            .otherwise("those that the process gives", "\"0750\""),
        Key::new("owner", Kind::Text, "the owner of a file that is made, a name or a number")
            .otherwise("the process's user", "\"root\""),
        Key::new("group", Kind::Text, "the group of a file that is made, a name or a number")
            .otherwise("the process's group", "\"adm\""),
        Key::new("header", Kind::Text, "text that every new file begins with").default("\"\""),
        Key::new("header_at_every_open", Kind::Truth, "whether it comes again whenever a file is opened")
            .default("false"),
        Key::new("check_moved", Kind::Truth, "whether a file that somebody has moved or removed is opened anew")
            .default("true"),
        Key::new("check_moved_every", Kind::Duration, "how often that is looked at").default("\"1s\""),
        Key::new("shared", Kind::Truth, "whether other processes append to the file as well, a batch at a time")
            .default("false"),
        Key::new("rotate_bytes", Kind::Bytes(1, u64::MAX), "a new file is begun before the event with which this one would have more bytes")
            .otherwise("one file that grows", "\"100MiB\""),
        Key::new("min_roll_interval", Kind::Duration, "with `rotate_bytes`: no new file is begun before an event that was logged so long after the first one in the file")
            .otherwise("none", "\"1s\""),
        Key::new("roll_by", Kind::Text, "a new file is begun with the first event of another period: `minutely`, `hourly`, `daily`, `weekly`, `monthly`, or a pattern such as `yyyy-MM-dd`")
            .otherwise("one file that grows", "\"daily\""),
        Key::new("zone", Kind::Text, "the time zone of the period: `UTC`, `local`, or a name such as `Europe/Berlin`")
            .default("\"local\""),
        Key::new("roll_at_start", Kind::Truth, "whether each start begins with a new file").default("false"),
        Key::new("always_include_pattern", Kind::Truth, "whether the file that is written has the date in its name, with `roll_by`")
            .default("false"),
        Key::new("keep_extension", Kind::Truth, "whether dates and numbers stand before the extension")
            .default("false"),
        Key::new("keep", Kind::Number(0, u64::MAX), "how many rolled files stay").otherwise("all", "10"),
        Key::new("keep_days", Kind::Number(0, 1_000_000), "rolled files that were last written so many days ago are removed")
            .otherwise("none are", "30"),
        Key::new("keep_total_bytes", Kind::Bytes(0, u64::MAX), "the oldest rolled files are removed until the others have no more bytes together")
            .otherwise("none are", "\"10GiB\""),
        Key::new("compress", Kind::OneOf(&["none", "gzip", "zstd"]), "how rolled files are compressed, with the feature of that name")
            .default("\"none\""),
    ] };
}

const FILE: &[Key] = with_file_keys![
    Key::new("path", Kind::Path, "the file; missing directories are made")
        .example("\"/var/log/shop.log\"")
        .required(),
    // What it was called before `append`.
    Key::new("truncate", Kind::Truth, "the contrary of `append`")
        .otherwise("`append` decides", "false"),
];
const PER_VALUE: &[Key] = with_file_keys![
    Key::new("directory", Kind::Path, "where the files are").example("\"/var/log/shop\"").required(),
    Key::new("by", Kind::Text, "what names the file: `category`, `category:2` for its last two parts, `context:KEY`, `pair:KEY`, `host`, `service`")
        .example("\"context:tenant\"")
        .required(),
    Key::new("extension", Kind::Text, "what the names end in").default("\"log\""),
    Key::new("missing", Kind::Text, "`drop`: events without the value are dropped and counted. With any other text, `TEXT`, they go to the file `+TEXT.log`")
        .default("\"none\""),
    Key::new("open_files_max", Kind::Number(1, 65_536), "files that are open at a time").default("64"),
    Key::new("files_max", Kind::Number(1, 10_000_000), "files in the directory").default("10000"),
    Key::new("close_idle_after", Kind::Duration, "when a file is closed that gets nothing").default("\"1min\""),
];

pub(super) fn register(registry: &mut Registry) {
    registry.appender("file", "A text file.", FILE, file);
    registry.appender("per_value", "A text file for each value.", PER_VALUE, per_value);
}

fn file(section: &Section<'_>) -> Option<Box<dyn Open>> {
    let (path, make) = (section.path("path"), maker(section));
    if path.as_ref().is_some_and(|path| path.as_os_str().as_encoded_bytes().ends_with(b"/")) {
        section.refuse("path", "`path` ends in `/`; write the name of a file behind it");
    }
    let truncate = section.truth("truncate");
    if section.has("append") && truncate.is_some() {
        section.refuse("truncate", "`append` and `truncate` say the same; leave one of them");
    }
    let file = make?(path?);
    Some(Box::new(match truncate {
        Some(truncate) => file.append(!truncate),
        None => file,
    }))
}

fn per_value(section: &Section<'_>) -> Option<Box<dyn Open>> {
    let (directory, make) = (section.path("directory"), maker(section));
    let (by, extension) = (section.text("by"), section.text("extension"));
    let (open_files, files) = (section.size("open_files_max"), section.size("files_max"));
    let (missing, idle) = (section.text("missing"), section.duration("close_idle_after"));
    let key = by.and_then(|by| key(section, &by));
    if extension.as_ref().is_some_and(|text| !is_extension(text)) {
        let shown = extension.unwrap_or_default();
        section.refuse(
            "extension",
            format!(
                "`extension` is \"{}\"; use at most 32 letters, digits, `-` and `_`, a letter first",
                shown.escape_debug()
            ),
        );
        return None;
    }
    let missing = match missing?.as_str() {
        "drop" => Missing::Drop,
        word => Missing::File(word.to_owned()),
    };
    let per_value = PerValue::new(directory?, key?)
        .extension(extension?)
        .missing(missing)
        .open_files_max(open_files?)
        .files_max(files?)
        .close_idle_after(idle?)
        .files(make?);
    Some(Box::new(per_value))
}

fn key(section: &Section<'_>, by: &str) -> Option<FileKey> {
    let key = match by.split_once(':') {
        None => match by {
            "category" => Some(FileKey::Category),
            "host" => Some(FileKey::Host),
            "service" => Some(FileKey::Service),
            _ => None,
        },
        Some((_, "")) => None,
        Some(("category", parts)) => {
            parts.parse().ok().filter(|parts| *parts > 0).map(FileKey::CategoryParts)
        }
        Some(("context", key)) => Some(FileKey::context(key)),
        Some(("pair", key)) => Some(FileKey::pair(key)),
        Some(_) => None,
    };
    if key.is_none() {
        let what = format!(
            "`by` is \"{}\"; use `category`, `category:2`, `context:KEY`, `pair:KEY`, `host` or `service`",
            by.escape_debug()
        );
        section.refuse("by", what);
    }
    key
}

/// What makes files as the section says, each at its path.
fn maker(section: &Section<'_>) -> Option<impl FnMut(PathBuf) -> File + Send + 'static> {
    let layout = section.layout("layout");
    let (append, remove_colour) = (section.truth("append"), section.truth("remove_colour"));
    let (mode, dir_mode) = (section.number("mode"), section.number("dir_mode"));
    let (owner, group) = (section.text("owner"), section.text("group"));
    let (header, header_again) = (section.text("header"), section.truth("header_at_every_open"));
    let (check, check_every) =
        (section.truth("check_moved"), section.duration("check_moved_every"));
    let shared = section.truth("shared");
    let rotate_bytes = section.number("rotate_bytes");
    let min_roll_interval = section.duration("min_roll_interval");
    let roll_by = roll_by(section);
    let at_start = section.truth("roll_at_start");
    let dated = section.truth("always_include_pattern");
    let keep_extension = section.truth("keep_extension");
    let (keep, keep_days) = (section.size("keep"), section.number("keep_days"));
    let keep_total_bytes = section.number("keep_total_bytes");
    let compression = match section.text("compress").as_deref() {
        Some("gzip") => Some(Compression::Gzip),
        Some("zstd") => Some(Compression::Zstd),
        _ => None,
    };
    if let Some(what) = compression.and_then(Compression::lacks) {
        section.refuse("compress", what);
    }
    check_rolling(section, dated == Some(true));
    let has_header = header.as_ref().is_some_and(|header| !header.is_empty());
    for (key, is_wanted) in [
        ("header", has_header),
        ("append", append == Some(false)),
        ("truncate", section.has("truncate")),
        ("rotate_bytes", rotate_bytes.is_some()),
        ("roll_by", section.has("roll_by")),
        ("roll_at_start", at_start == Some(true)),
    ] {
        if shared == Some(true) && is_wanted {
            let what = "a file that is shared is not rolled, has no header and is not emptied";
            section.refuse(key, format!("{what}; leave `{key}` out, or `shared`"));
        }
    }

    let (layout, header) = (layout?, header?);
    let (mode, dir_mode) = (permissions(mode?), dir_mode.map(permissions));
    let (append, remove_colour) = (append?, remove_colour?);
    let (header_again, shared) = (header_again?, shared?);
    let (check, check_every) = (check?, check_every?);
    let (at_start, dated, keep_extension) = (at_start?, dated?, keep_extension?);
    let roll_by = roll_by?;
    Some(move |path: PathBuf| {
        let mut file = File::new(path)
            .boxed_layout(layout.clone())
            .remove_colour(remove_colour)
            .append(append)
            .mode(mode)
            .header(header.clone())
            .header_at_every_open(header_again)
            .check_moved_every_ms(milliseconds(check_every))
            .check_moved(check)
            .shared(shared)
            .roll_at_start(at_start)
            .keep_extension(keep_extension);
        if let Some(mode) = dir_mode {
            file = file.dir_mode(mode);
        }
        if let Some(owner) = &owner {
            file = file.owner(owner);
        }
        if let Some(group) = &group {
            file = file.group(group);
        }
        if let Some(bytes) = rotate_bytes {
            file = file.rotate_at_bytes(bytes);
        }
        if let Some(interval) = min_roll_interval {
            file = file.min_roll_interval(interval);
        }
        if let Some(roll_by) = &roll_by {
            file = file.roll_by(roll_by.clone()).always_include_pattern(dated);
        }
        if let Some(files) = keep {
            file = file.keep(files);
        }
        if let Some(days) = keep_days {
            file = file.keep_days(u32::try_from(days).unwrap_or(u32::MAX));
        }
        if let Some(bytes) = keep_total_bytes {
            file = file.keep_total_bytes(bytes);
        }
        if let Some(compression) = compression {
            file = file.compress(compression);
        }
        file
    })
}

/// The period, `Some(None)` for none; `None` if it is wrong.
fn roll_by(section: &Section<'_>) -> Option<Option<RollBy>> {
    let zone = section.text("zone");
    let Some(text) = section.text("roll_by") else {
        return Some(None);
    };
    let right = |key, result: Result<RollBy, _>| match result {
        Ok(roll_by) => Some(roll_by),
        Err(error) => {
            section.refuse(key, format!("{error}"));
            None
        }
    };
    let roll_by = right("roll_by", RollBy::parse(&text))?;
    Some(Some(right("zone", roll_by.zone(&zone?))?))
}

/// Refuses keys about rolled files where none is ever rolled.
fn check_rolling(section: &Section<'_>, is_dated: bool) {
    if is_dated && !section.has("roll_by") {
        let what = "`always_include_pattern` is about a date, which `roll_by` gives; add it";
        section.refuse("always_include_pattern", what);
    }
    if section.has("min_roll_interval") && !section.has("rotate_bytes") {
        let what = "`min_roll_interval` is about files that `rotate_bytes` begins; add it";
        section.refuse("min_roll_interval", what);
    }
    let rolls = ["rotate_bytes", "roll_by", "roll_at_start"].iter().any(|key| section.has(key));
    if rolls {
        return;
    }
    for key in ["keep", "keep_days", "keep_total_bytes", "compress"] {
        if section.has(key) {
            let what = format!(
                "`{key}` is about full files; say with `rotate_bytes` or `roll_by` when one is full"
            );
            section.refuse(key, what);
        }
    }
}

fn permissions(mode: u64) -> u32 {
    // A mode has twelve bits.
    u32::try_from(mode).unwrap_or(0o600)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
