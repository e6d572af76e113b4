//! An event to write, for the tests of the layouts.

use crate::event::{ContextInfo, Event, EventPlace, Receipt, SiteInfo, SourceInfo, ThreadInfo};
use crate::level::Level;
use crate::record::{self, INLINE, Kinds, Records};
use crate::site::{Definition, Names};
use crate::value::{Encoder, Kind};

/// What Log4perl wrote, where that is at hand; says so where it is not.
pub(crate) fn golden(name: &str) -> Option<String> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().skip(1).find_map(|dir| {
        std::fs::read_to_string(dir.join("shared/reference/log4perl-goldens").join(name)).ok()
    });
    if found.is_none() {
        eprintln!("skipped: no ../shared/reference/log4perl-goldens/{name}");
    }
    found
}

/// Everything an [`Event`] refers to. Change what the test is about, then ask for the event.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) level: Level,
    pub(crate) time_ns: i64,
    pub(crate) site: SiteInfo,
    pub(crate) thread: ThreadInfo,
    pub(crate) context: ContextInfo,
    pub(crate) source: SourceInfo,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) place: Option<EventPlace>,
    kinds: Vec<Kind>,
    values: Vec<u8>,
    record: Vec<u8>,
}

impl Fixture {
    /// An INFO event of 2026-11-21T10:00:00.123456789Z from `shop::till` that says `message`.
    pub(crate) fn saying(message: &str) -> Fixture {
        let text = message.replace('{', "{{").replace('}', "}}");
        Fixture {
            level: Level::INFO,
            time_ns: 1_795_255_200_123_456_789,
            site: SiteInfo::from(Definition {
                level: Level::INFO,
                line: 42,
                column: 9,
                target: "shop::till",
                module: "shop::till::drawer",
                file: "src/till.rs",
                template: &text,
                names: Names::Listed(&[]),
            }),
            thread: ThreadInfo { os_id: 4711, name: "worker-1".into() },
            context: ContextInfo::default(),
            source: SourceInfo {
                source: 1,
                epoch: 2,
                pid: 815,
                service: "shop".into(),
                host: "box".into(),
            },
            receipt: None,
            place: None,
            kinds: Vec::new(),
            values: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Adds a key-value, given as the bytes that stand in a record.
    pub(crate) fn with(mut self, key: &str, kind: Kind, bytes: &[u8]) -> Fixture {
        let run = matches!(
            Kind::from_number(kind.number() & !Kind::OPTIONAL),
            Some(Kind::STR | Kind::BYTES | Kind::TEXT)
        );
        self.site.names = self.site.names.iter().cloned().chain([key.into()]).collect();
        self.kinds.push(kind);
        if kind.is_optional() {
            self.values.push(1);
        }
        if run {
            self.values.extend((bytes.len() as u32).to_le_bytes());
        }
        self.values.extend(bytes);
        self
    }

    /// Adds a key-value that is `None`.
    pub(crate) fn with_none(mut self, key: &str) -> Fixture {
        self.site.names = self.site.names.iter().cloned().chain([key.into()]).collect();
        self.kinds.push(Kind::U8.optional());
        self.values.push(0);
        self
    }

    /// Adds a pair to the context, inside those there are.
    pub(crate) fn inside(mut self, key: &str, value: &str) -> Fixture {
        let pair = (key.into(), value.into());
        self.context.pairs = self.context.pairs.iter().cloned().chain([pair]).collect();
        self
    }

    /// The event, its values read from a record made for it.
    pub(crate) fn event(&mut self) -> Event<'_> {
        let definition = Definition {
            level: self.level,
            line: 0,
            column: 0,
            target: "",
            module: "",
            file: "",
            template: "",
            names: Names::Listed(&[]),
        };
        let kinds = self.kinds.iter().rfold(Kinds::NONE, |kinds, &kind| kinds.prepend(kind));
        let listed = kinds.listed_bytes();
        let len = record::padded_len(listed + definition.encoded_len() + self.values.len());
        self.record = vec![0; len];
        let mut encoder = Encoder::new(&mut self.record);
        record::put_header(&mut encoder, len, self.level, INLINE, 0, kinds.word());
        for kind in &self.kinds[..listed] {
            encoder.array([kind.number()]);
        }
        definition.encode(&mut encoder);
        encoder.bytes(&self.values);

        let record = Records::new(&self.record).next().unwrap().unwrap();
        let (_, values) = record.open().unwrap();
        Event {
            level: self.level,
            time_ns: self.time_ns,
            site: &self.site,
            thread: &self.thread,
            context: &self.context,
            source: &self.source,
            receipt: self.receipt.as_ref(),
            values,
            view: None,
            place: self.place,
        }
    }
}
