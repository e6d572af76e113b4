//! The keys of every section but those that a type decides.

use super::key::{Family, Key, Kind};
use super::{mask, tending};
use crate::journal::JournalOptions;

/// What a journal has room for at least: two segments of the least size.
const JOURNAL_BYTES_MIN: u64 = 2 * JournalOptions::MIN_SEGMENT_BYTES;
/// The longest end of a master, which is some thirty years.
const DRAIN_SECONDS_MAX: u64 = 1_000_000_000;
const NO_LIMIT: u64 = u64::MAX;

/// The keys outside of any section, and the sections.
pub(super) const ROOT: &[Key] = &[
    Key::new("service", Kind::Text, "the name of the service in its events")
        .otherwise("the program's name", "\"shop\""),
    Key::new("level", Kind::Threshold, "from which level on events are taken").default("\"info\""),
    Key::new("threshold", Kind::Threshold, "no event below this level is taken, whatever the level of its category")
        .default("\"all\""),
    Key::new("one_message_per_appender", Kind::Truth, "whether an appender gets an event once, however many of its categories name it")
        .default("true"),
    Key::new("timestamp", Kind::OneOf(&["call", "drain"]), "when an event gets its time: in the log `call`, or at the `drain` of its thread's ring, which makes the call cheaper")
        .default("\"call\""),
    Key::new("flush_timeout", Kind::Duration, "how long a flush and the end of the program may take")
        .default("\"5s\""),
    Key::new("require", Kind::OneOf(&["L0", "L1"]), "what an event survives at least when its log call returns; with less the program does not start")
        .default("\"L0\""),
    Key::new("io_method", Kind::OneOf(&["write", "io_uring"]), "how files are written and frames sent: by write(2) or through a ring of the kernel's, which needs the feature `io-uring`")
        .default("\"write\""),
    Key::new("guard_mappings", Kind::Truth, "whether the program survives that somebody cuts a file of its rings")
        .default("true"),
    Key::new("log_panics", Kind::Truth, "whether panics are logged").default("false"),
    Key::new("signals", Kind::Truth, "whether SIGHUP reloads the configuration and has files opened anew, and SIGUSR1 has files opened anew; `rollway master` does so in any case")
        .default("false"),
    Key::new("reload_every", Kind::Duration, "how often the files of the configuration are looked at, at most every 10 ms; changed ones are taken")
        .otherwise("they are not looked at", "\"5s\""),
    Key::new("control", Kind::Section(tending::CONTROL), "the socket at which `rollway ctl` asks and tells the running process things"),
    Key::new("journal", Kind::Section(JOURNAL), "where events are kept until they are delivered"),
    Key::new("rings", Kind::Section(RINGS), "what log calls write to"),
    Key::new("overflow", Kind::Section(OVERFLOW), "what a log call does when its ring is full"),
    Key::new("writer", Kind::Section(WRITER), "the thread that empties the rings"),
    Key::new("levels", Kind::Sections(LEVEL), "levels of the program's own, for the whole process"),
    Key::new("categories", Kind::Sections(CATEGORY), "levels and appenders by category: `root`, or a name in quotes such as `\"shop::till\"`"),
    Key::new("mask", Kind::Section(mask::KEYS), "values that no appender shows, by their keys"),
    Key::new("layouts", Kind::Typed(Family::Layout), "layouts that appenders name"),
    Key::new("filters", Kind::Typed(Family::Filter), "filters that appenders and expressions name"),
    Key::new("appenders", Kind::Typed(Family::Appender), "where events go, and composites that stand before others"),
    Key::new("forward", Kind::Section(FORWARD), "the masters that events are shipped to"),
    Key::new("cluster", Kind::Section(CLUSTER), "the processes that share their appenders"),
    Key::new("master", Kind::Section(MASTER), "the receiving side, for `rollway master`"),
];

pub(super) const LEVEL: &[Key] = &[
    Key::new("value", Kind::Number(1, 24), "its number, between those of trace (1), debug (5), info (9), warn (13), error (17) and fatal (21)")
        .example("10")
        .required(),
    Key::new("colour", Kind::OneOf(COLOURS), "its colour").default("\"white\""),
];

const COLOURS: &[&str] =
    &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "grey"];

pub(super) const CATEGORY: &[Key] = &[
    Key::new(
        "level",
        Kind::Threshold,
        "from which level on its events are taken, and those below it",
    )
    .otherwise("that of the category above", "\"debug\""),
    Key::new("appenders", Kind::Appenders, "the appenders that get its events, and those below it")
        .otherwise("those of the categories above", "[\"file\"]"),
    Key::new(
        "additive",
        Kind::Truth,
        "whether the appenders of the categories above get them, too",
    )
    .default("true"),
];

pub(super) const JOURNAL: &[Key] = &[
    Key::new("dir", Kind::Path, "the directory of the journal; what is in it when the program is killed is delivered at its next start")
        .otherwise("a journal in memory", "\"/var/lib/shop/journal\""),
    Key::new("max_bytes", Kind::Bytes(JOURNAL_BYTES_MIN, NO_LIMIT), "how large the journal may grow")
        .otherwise("1 GiB in a directory, 64 MiB in memory", "\"1GiB\""),
    Key::new("keep_free_bytes", Kind::Bytes(0, NO_LIMIT), "bytes of the journal's file system that it leaves to others; needs `dir`")
        .otherwise("a twentieth of it, 1 GiB at the most", "\"1GiB\""),
    Key::new("sync", Kind::OneOfOrDuration(&["never"]), "after which time the journal is synced while something is new, or `never`")
        .default("\"500ms\""),
    Key::new("sync_from", Kind::Level, "the level from which on events have their block synced at once")
        .otherwise("no event has", "\"error\""),
];

pub(super) const RINGS: &[Key] = &[
    Key::new("dir", Kind::Path, "where the rings of a journal directory lie: a memory file system")
        .otherwise("a directory of the user on `/dev/shm`", "\"/dev/shm/shop\""),
    Key::new(
        "ring_bytes",
        Kind::Bytes(16 << 10, 64 << 20),
        "bytes of each thread's ring, a power of two",
    )
    .default("\"1MiB\""),
    Key::new(
        "memory_bytes",
        Kind::Bytes(16 << 10, NO_LIMIT),
        "bytes of all rings; threads beyond share one",
    )
    .default("\"256MiB\""),
    Key::new(
        "record_bytes_max",
        Kind::Bytes(256, 1 << 20),
        "the longest record, at most a quarter of a ring; longer texts are cut and counted",
    )
    .default("\"64KiB\""),
];

pub(super) const OVERFLOW: &[Key] = &[
    Key::new("policy", Kind::OneOf(&["block", "block_for", "drop", "drop_below"]), "`block`: it waits. `block_for`: it waits as long as `timeout`, then drops its event. `drop`: it drops its event. `drop_below`: it drops what is below `level`, and waits otherwise")
        .default("\"block\""),
    Key::new("timeout", Kind::Duration, "how long `block_for` waits").example("\"100ms\""),
    Key::new("level", Kind::Level, "what `drop_below` never drops").example("\"warn\""),
];

pub(super) const WRITER: &[Key] = &[
    Key::new("wait", Kind::OneOfOrDuration(&["adaptive", "spin", "manual"]), "`adaptive`: it sleeps longer the less there is. `spin`: it never sleeps, which costs a core. `manual`: there is none, the program polls. A duration: it sleeps this long")
        .default("\"adaptive\""),
    Key::new("linger", Kind::Duration, "how long events may stay in the rings before they go to the journal; costs no durability")
        .default("\"2ms\""),
    Key::new("cpu", Kind::Number(0, 4095), "the CPU that it is pinned to").otherwise("any", "3"),
];

pub(super) const FORWARD: &[Key] = &[
    Key::new(
        "to",
        Kind::Addresses,
        "the masters, as `host:port`: events go to the first that works",
    )
    .example("[\"logs.example:5000\", \"spare.example:5000\"]")
    .required(),
    Key::new("name", Kind::Text, "the name of the appender, which keeps its place in the journal")
        .default("\"master\""),
    Key::new("connect_timeout", Kind::Duration, "how long a connection may take to come about")
        .default("\"5s\""),
    Key::new(
        "window_bytes",
        Kind::Bytes(1, NO_LIMIT),
        "bytes that may be sent and not acknowledged",
    )
    .default("\"4MiB\""),
    Key::new("mandatory", Kind::Truth, "whether the journal keeps what no master has acknowledged")
        .default("true"),
];

pub(super) const CLUSTER: &[Key] = &[
    Key::new(
        "dir",
        Kind::Path,
        "the directory that the processes share; each has its journal in it",
    )
    .example("\"/var/lib/shop/cluster\"")
    .required(),
    Key::new("standalone", Kind::Truth, "whether every process runs its own appenders")
        .default("false"),
    Key::new(
        "instance_var",
        Kind::Text,
        "the variable that tells who runs the appenders, where nobody is to be elected",
    )
    .otherwise("they elect one", "\"NODE_APP_INSTANCE\""),
    Key::new("instance_id", Kind::Text, "the value of that variable in the process that runs them")
        .default("\"0\""),
    Key::new(
        "journal_max_bytes",
        Kind::Bytes(JOURNAL_BYTES_MIN, NO_LIMIT),
        "how large the cluster's journal may grow",
    )
    .default("\"1GiB\""),
    Key::new(
        "member_max_bytes",
        Kind::Bytes(JOURNAL_BYTES_MIN, NO_LIMIT),
        "how large the journal of each process may grow",
    )
    .default("\"256MiB\""),
    Key::new(
        "adopt_after",
        Kind::Duration,
        "how long the directory of a dead process waits for a successor",
    )
    .default("\"10s\""),
];

pub(super) const MASTER: &[Key] = &[
    Key::new("listen", Kind::Address, "the address to listen on; port 0 lets the system choose")
        .default("\"localhost:5000\""),
    Key::new("journal", Kind::Path, "the directory of its journal; what is in it when the master is killed is delivered at its next start")
        .otherwise("a journal in memory", "\"/var/lib/rollway\""),
    Key::new("acknowledge", Kind::OneOf(&["L1", "L2"]), "what an acknowledgement promises: `L1`, the block is in the journal; `L2`, it is synced as well, and the appenders get it after that, too; needs a `journal`")
        .otherwise("`L1` with a `journal`", "\"L1\""),
    Key::new("journal_max_bytes", Kind::Bytes(JOURNAL_BYTES_MIN, NO_LIMIT), "bytes of its journal; at the bound workers wait, and keep their events")
        .otherwise("1 GiB in a directory, 64 MiB in memory", "\"4GiB\""),
    Key::new("journal_keep_free", Kind::Bytes(0, NO_LIMIT), "bytes of the journal's file system that it leaves to others; needs a `journal`")
        .otherwise("a twentieth of it, 1 GiB at the most", "\"1GiB\""),
    Key::new("sync_every_ms", Kind::Number(0, NO_LIMIT), "after how many milliseconds the journal is synced while something is new, 0 is never; says nothing with `acknowledge = \"L2\"`")
        .default("500"),
    Key::new("window_bytes", Kind::Bytes(1, NO_LIMIT), "bytes that a worker may have sent and not acknowledged")
        .default("\"4MiB\""),
    Key::new("connections", Kind::Number(1, 1_000_000), "connections at a time").default("4096"),
    Key::new("connections_per_address", Kind::Number(1, 1_000_000), "connections from one address at a time")
        .default("64"),
    Key::new("unstored_bytes", Kind::Bytes(16 << 20, NO_LIMIT), "bytes that are read and not yet stored")
        .default("\"64MiB\""),
    Key::new("source_bytes_per_second", Kind::Bytes(1, NO_LIMIT), "how much each worker may send, on the average")
        .otherwise("no limit", "5_000_000"),
    Key::new("drain_seconds", Kind::Number(0, DRAIN_SECONDS_MAX), "how many seconds its end may take")
        .default("10"),
    Key::new("appender", Kind::Appender, "the appender or composite that gets its events; several are `appenders`")
        .otherwise("all that there are or, where there are none, the console, standard output", "\"all\""),
    Key::new("appenders", Kind::Appenders, "the appenders that get its events; not together with `appender`")
        .otherwise("`appender` decides", "[\"all\", \"screen\"]"),
    Key::new("io_method", Kind::OneOf(&["write", "io_uring"]), "how the journal and text files are written: by write(2) or through a ring of the kernel's, which needs the feature `io-uring`")
        .default("\"write\""),
];
