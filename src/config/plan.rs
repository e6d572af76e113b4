//! From the sections to builders.

use super::builtin;
use super::keys::ROOT;
use super::mask;
use super::node::Table;
use super::reader::{NamedFilter, Path, Reader};
use super::registry::Attached;
use super::section::Section;
use super::tending::Tending;
use crate::appender::{self, Open};
use crate::category::parts;
use crate::cluster::Cluster;
use crate::engine::{
    Builder, Durability, OverflowPolicy, SyncPolicy, Timestamp, WaitStrategy, builder,
};
use crate::level::Level;
use crate::mask::Mask;
use crate::route::composite::Composite;
use crate::route::{Category, Router};
use crate::sys::output::IoMethod;

/// What a configuration describes: nothing of it is open.
pub(super) struct Plan {
    /// The process that logs, without its appenders.
    pub(super) service: Builder,
    pub(super) appenders: Named<Box<dyn Open>>,
    pub(super) composites: Named<Composite>,
    pub(super) categories: Vec<Category>,
    /// That of all appenders.
    pub(super) mask: Option<Mask>,
    pub(super) tending: Tending,
    #[cfg(feature = "master")]
    pub(super) one_message_per_appender: bool,
    /// The appender of the section `[forward]`.
    pub(super) forward: Option<(String, Box<dyn Open>)>,
    /// Whether the journal outlives the process.
    pub(super) has_journal: bool,
    #[cfg(feature = "master")]
    pub(super) master: super::master::MasterPlan,
}

impl Plan {
    /// Reads all sections. What is wrong is noted with the reader; the plan is of use only if
    /// nothing was.
    pub(super) fn read(reader: &Reader<'_>, tree: &Table) -> Plan {
        let root = Section::new(reader, tree, vec![ROOT], Path::default(), None);
        levels(&root);
        let once = root.truth("one_message_per_appender").unwrap_or(true);
        let mut service = process(&root, builder().one_message_per_appender(once));
        let tending = Tending::read(&root);
        let journal = root.section("journal");
        let (has_journal, described) = self::journal(&journal, service);
        service = described;
        journal.end();
        service = within(&root, "rings", service, rings);
        service = within(&root, "overflow", service, overflow);
        service = within(&root, "writer", service, writer);
        let mask = mask::read(&root);
        layouts(&root);
        filters(&root);
        let (appenders, composites) = appenders(&root);
        let categories = categories(&root);
        let forward = forward(&root, &appenders);
        if root.has("cluster") {
            service = within(&root, "cluster", service, cluster);
        }
        #[cfg(feature = "master")]
        let master = super::master::MasterPlan::read(&root);
        #[cfg(not(feature = "master"))]
        root.pass("master");
        reader.check_uses();
        resolve(&root, &appenders, &composites, &categories, forward.as_ref());
        root.end();
        Plan {
            service,
            appenders,
            composites,
            categories,
            mask,
            tending,
            #[cfg(feature = "master")]
            one_message_per_appender: once,
            forward,
            has_journal,
            #[cfg(feature = "master")]
            master,
        }
    }
}

/// The names, and those of the relays behind them.
#[cfg(feature = "master")]
pub(super) fn with_relays<'a>(
    names: &'a [String],
    composites: &'a [(String, Composite)],
) -> Vec<&'a str> {
    let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut at = 0;
    while let Some(name) = wanted.get(at).copied() {
        let composite = composites.iter().find(|(known, _)| known == name);
        for relay in composite.into_iter().flat_map(|(_, composite)| composite.relays()) {
            if !wanted.contains(&relay) {
                wanted.push(relay);
            }
        }
        at += 1;
    }
    wanted
}

/// What has a name.
type Named<T> = Vec<(String, T)>;

/// The name that the root of all categories has here.
pub(super) const ROOT_CATEGORY: &str = "root";

/// Reads one section to its end.
fn within(
    root: &Section<'_>,
    key: &'static str,
    builder: Builder,
    read: impl FnOnce(&Section<'_>, Builder) -> Builder,
) -> Builder {
    let section = root.section(key);
    let builder = read(&section, builder);
    section.end();
    builder
}

fn process(root: &Section<'_>, mut builder: Builder) -> Builder {
    if let Some(name) = root.text("service") {
        builder = builder.service(name);
    }
    if let Some(level) = root.threshold("level") {
        builder = builder.level(level);
    }
    if let Some(threshold) = root.threshold("threshold") {
        builder = builder.threshold(threshold);
    }
    if let Some(word) = root.text("timestamp") {
        builder = builder.timestamp(match &*word {
            "drain" => Timestamp::Drain,
            _ => Timestamp::Call,
        });
    }
    if let Some(timeout) = root.duration("flush_timeout") {
        builder = builder.flush_timeout(timeout);
    }
    if let Some(word) = root.text("require") {
        let durability = if word == "L1" { Durability::L1 } else { Durability::L0 };
        let journal = root.has("journal") || root.has("cluster");
        if durability > Durability::L0 && !journal {
            root.refuse("require", "`require` is \"L1\", which needs `dir` in [journal]; add it");
        }
        builder = builder.require(durability);
    }
    if let Some(method) = io_method(root) {
        builder = builder.io_method(method);
    }
    if let Some(guarded) = root.truth("guard_mappings") {
        builder = builder.guard_mappings(guarded);
    }
    if let Some(logged) = root.truth("log_panics") {
        builder = builder.log_panics(logged);
    }
    builder
}

pub(super) fn io_method(section: &Section<'_>) -> Option<IoMethod> {
    let word = section.text("io_method")?;
    Some(if word == "io_uring" { IoMethod::IoUring } else { IoMethod::Write })
}

/// Whether the journal has a directory, and the builder.
fn journal(section: &Section<'_>, mut builder: Builder) -> (bool, Builder) {
    let dir = section.path("dir");
    let has_dir = dir.is_some();
    if let Some(dir) = dir {
        builder = builder.journal_dir(dir);
    }
    if let Some(bytes) = section.number("max_bytes") {
        builder = builder.journal_max_bytes(bytes);
    }
    if let Some(bytes) = section.number("keep_free_bytes") {
        if !has_dir {
            let what = "`keep_free_bytes` is about a directory; name one as `dir`";
            section.refuse("keep_free_bytes", what);
        }
        builder = builder.journal_keep_free(bytes);
    }
    match section.word_or_duration("sync") {
        None => {}
        Some(Ok(_never)) => builder = builder.sync(SyncPolicy::Never),
        Some(Err(pause)) => builder = builder.sync(SyncPolicy::Every(pause)),
    }
    if let Some(level) = section.level("sync_from") {
        if !has_dir {
            section.refuse("sync_from", "`sync_from` is about a directory; name one as `dir`");
        }
        builder = builder.sync_from(level);
    }
    (has_dir, builder)
}

fn rings(section: &Section<'_>, mut builder: Builder) -> Builder {
    if let Some(dir) = section.path("dir") {
        builder = builder.rings_dir(dir);
    }
    let sizes = (
        section.size("ring_bytes"),
        section.size("memory_bytes"),
        section.size("record_bytes_max"),
    );
    let (Some(ring_bytes), Some(memory_bytes), Some(record_bytes_max)) = sizes else {
        return builder;
    };
    if !ring_bytes.is_power_of_two() {
        let (below, above) = (ring_bytes.next_power_of_two() / 2, ring_bytes.next_power_of_two());
        let what = format!(
            "`ring_bytes` is {ring_bytes}, which is no power of two; use {below} or {above}"
        );
        section.refuse("ring_bytes", what);
    }
    if memory_bytes < ring_bytes && !section.is_refused() {
        let what = format!(
            "`memory_bytes` is {memory_bytes}, less than one ring has; use at least {ring_bytes}, the `ring_bytes`"
        );
        section.refuse("memory_bytes", what);
    }
    // A ring of the least size takes records of the default length in two parts.
    let longest = (ring_bytes / 4).max(64 << 10);
    if record_bytes_max > longest {
        let what = format!(
            "`record_bytes_max` is {record_bytes_max}, more than a quarter of a ring; use at most {longest}, or larger `ring_bytes`"
        );
        section.refuse("record_bytes_max", what);
    }
    builder
        .ring_bytes(ring_bytes)
        .ring_memory_bytes(memory_bytes)
        .record_bytes_max(record_bytes_max)
}

fn overflow(section: &Section<'_>, builder: Builder) -> Builder {
    let (timeout, level) = (section.duration("timeout"), section.level("level"));
    let Some(policy) = section.text("policy") else { return builder };
    for (key, of) in [("timeout", "block_for"), ("level", "drop_below")] {
        if policy == of && !section.has(key) {
            section.refuse(key, format!("`policy` is \"{of}\", which needs `{key}`; add it"));
        } else if policy != of && section.has(key) {
            let what =
                format!("`{key}` is for `policy = \"{of}\"`; leave it out, or use that policy");
            section.refuse(key, what);
        }
    }
    builder.overflow(match (&*policy, timeout, level) {
        ("block_for", Some(timeout), _) => OverflowPolicy::BlockFor(timeout),
        ("drop", ..) => OverflowPolicy::Drop,
        ("drop_below", _, Some(level)) => OverflowPolicy::DropBelow(level),
        _ => OverflowPolicy::Block,
    })
}

fn writer(section: &Section<'_>, mut builder: Builder) -> Builder {
    match section.word_or_duration("wait") {
        None => {}
        Some(Err(pause)) => builder = builder.wait(WaitStrategy::Sleep(pause)),
        Some(Ok(word)) => {
            builder = builder.wait(match &*word {
                "spin" => WaitStrategy::Spin,
                "manual" => WaitStrategy::Manual,
                _ => WaitStrategy::Adaptive,
            });
        }
    }
    if let Some(linger) = section.duration("linger") {
        builder = builder.linger(linger);
    }
    if let Some(cpu) = section.size("cpu") {
        builder = builder.pin_writer(cpu);
    }
    builder
}

/// Names the program's own levels, which other keys may have.
fn levels(root: &Section<'_>) {
    for section in root.sections("levels") {
        let (value, colour) = (section.number("value"), section.text("colour"));
        let colour = colour.and_then(|name| name.parse().ok());
        if let (Some(value), Some(colour)) = (value, colour) {
            let number = u8::try_from(value).unwrap_or(u8::MAX);
            if let Err(error) = Level::register(section.name(), number, colour) {
                section.refuse("value", error.to_string());
            }
        }
        section.end();
    }
}

fn categories(root: &Section<'_>) -> Vec<Category> {
    let mut categories = Vec::new();
    let mut seen: Vec<(Vec<String>, String)> = Vec::new();
    for section in root.sections("categories") {
        let name = if section.name() == ROOT_CATEGORY { "" } else { section.name() };
        let parts: Vec<String> = parts(name).map(str::to_owned).collect();
        let is_named = !parts.is_empty() || section.name() == ROOT_CATEGORY;
        if !is_named {
            let what = "is no name of a category; the one above all others is `root`";
            section.refuse_name(what);
        }
        match seen.iter().find(|(known, _)| *known == parts) {
            Some((_, first)) if is_named => section
                .refuse_name(format!("is the category of section `{first}`, too; join the two")),
            Some(_) => {}
            None => seen.push((parts, section.name().to_owned())),
        }
        let mut category = Category::new(name);
        if let Some(level) = section.threshold("level") {
            category = category.level(level);
        }
        if let Some(names) = section.appenders("appenders") {
            category = category.appenders(names.iter().map(String::as_str));
        }
        if let Some(additive) = section.truth("additive") {
            category = category.additive(additive);
        }
        section.end();
        categories.push(category);
    }
    categories
}

fn layouts(root: &Section<'_>) {
    let reader = root.reader();
    for (name, place, table) in root.tables("layouts") {
        let layout = reader.registry.layout(reader, table, Path::of("layouts", &name), &place);
        reader.layouts.borrow_mut().insert(name, layout);
    }
}

/// Reads all filters, those that nobody names too.
fn filters(root: &Section<'_>) {
    let reader = root.reader();
    let found = root.tables("filters");
    for (name, place, table) in &found {
        let unread = NamedFilter::Unread(place.clone(), (*table).clone());
        reader.filters.borrow_mut().insert(name.clone(), unread);
    }
    for (name, place, _) in &found {
        if let Err(what) = reader.filter(name) {
            reader.refuse(Some(place), what);
        }
    }
}

/// The appenders, and the composites in front of them.
fn appenders(root: &Section<'_>) -> (Named<Box<dyn Open>>, Named<Composite>) {
    let reader = root.reader();
    let found = root.tables("appenders");
    for (name, place, table) in &found {
        let is_double = reader.appenders.borrow().contains(name);
        if is_double {
            let what = format!("two appenders are named `{name}`; give each its own name");
            reader.refuse(Some(place), what);
            reader.registry.attached(reader, table, Path::of("appenders", name), place);
        } else {
            reader.unread_appender(name, place, table);
        }
    }
    found.iter().for_each(|(name, ..)| reader.read_appender(name));
    let (mut appenders, mut composites) = (Vec::new(), Vec::new());
    for (name, ..) in found {
        match reader.take_appender(&name) {
            None => {}
            Some(Attached::Composite(composite)) => composites.push((name, composite)),
            Some(Attached::Appender(open)) => {
                let number = reader.fingerprint(&Path::of("appenders", &name));
                let open = appender::fingerprinted(open, number);
                appenders.push((name, Box::new(open) as Box<dyn Open>));
            }
        }
    }
    (appenders, composites)
}

fn forward(
    root: &Section<'_>,
    appenders: &[(String, Box<dyn Open>)],
) -> Option<(String, Box<dyn Open>)> {
    if !root.has("forward") {
        return None;
    }
    let section = root.section("forward");
    let (name, mandatory) = (section.text("name"), section.truth("mandatory"));
    let forwarder = builtin::forwarder(&section);
    if let Some(name) = name.as_ref().filter(|name| appenders.iter().any(|(used, _)| used == *name))
    {
        let what = format!("an appender is named `{name}`, too; give one of them another name");
        section.refuse("name", what);
    }
    section.end();
    let forwarder = forwarder?;
    let open: Box<dyn Open> = match mandatory? {
        true => Box::new(forwarder),
        false => Box::new(appender::optional(forwarder)),
    };
    let number = root.reader().fingerprint(&Path::default().below("forward"));
    Some((name?, Box::new(appender::fingerprinted(open, number))))
}

/// Refuses composites and appenders that do not fit together: circles, events that are held twice, and
/// so on.
fn resolve(
    root: &Section<'_>,
    appenders: &[(String, Box<dyn Open>)],
    composites: &[(String, Composite)],
    categories: &[Category],
    forward: Option<&(String, Box<dyn Open>)>,
) {
    let reader = root.reader();
    // What could not be read would be missed here, too.
    if reader.has_problems() {
        return;
    }
    let mut router = Router::new();
    categories.iter().for_each(|category| router.category(category));
    composites.iter().for_each(|(name, composite)| router.composite(name, composite.clone()));
    let described: Vec<_> = appenders
        .iter()
        .chain(forward)
        .map(|(name, open)| appender::described(name, &**open))
        .collect();
    if let Err(error) = router.check_composites(&described) {
        let places = root.tables("appenders");
        let named = places.iter().find(|(name, _, _)| Some(&**name) == error.subject());
        let key = named.map(|(name, _, _)| Path::of("appenders", name).text);
        reader.refuse_key(named.map(|(_, place, _)| place), key, None, error.to_string());
    }
}

fn cluster(section: &Section<'_>, builder: Builder) -> Builder {
    let dir = section.path("dir");
    let standalone = section.truth("standalone");
    let (var, id) = (section.text("instance_var"), section.text("instance_id"));
    let bytes = (section.number("journal_max_bytes"), section.number("member_max_bytes"));
    let adopt_after = section.duration("adopt_after");
    let (Some(dir), Some(standalone), Some(id)) = (dir, standalone, id) else { return builder };
    let (Some(journal), Some(member)) = bytes else { return builder };
    let Some(adopt_after) = adopt_after else { return builder };
    let mut cluster = Cluster::new(dir)
        .standalone(standalone)
        .instance_id(id)
        .journal_max_bytes(journal)
        .member_max_bytes(member)
        .adopt_after(adopt_after);
    if let Some(var) = var {
        cluster = cluster.instance_var(var);
    }
    builder.cluster(cluster)
}
