//! An event that outlives its journal, for a test to look at.

use crate::event::Event;
use crate::layout::Layout;
use crate::level::Level;
use crate::template::{self, Chunk};
use crate::value::{Scalar, Value};

/// An event as it was when [`Memory`](super::Memory) recorded it.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it, as they do in `Event`")]
pub struct Recorded {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time_ns: i64,
    pub level: Level,
    pub category: String,
    pub message: String,
    /// The parts of the message, with their types.
    pub chunks: Vec<RecordedChunk>,
    /// The key-values, rendered, in the order of the call.
    pub pairs: Vec<(String, String)>,
    /// The context's pairs (MDC), outermost first.
    pub context: Vec<(String, String)>,
    /// The context's texts (NDC), outermost first.
    pub ndc: Vec<String>,
    pub module: String,
    pub file: String,
    pub line: u32,
    pub thread: String,
    pub service: String,
    pub host: String,
    /// What the layout made of it.
    pub text: String,
}

/// A part of a recorded message, see [`Event::chunks`].
///
/// # Examples
/// ```
/// use rollway::appender::Memory;
/// use rollway::value::{Scalar, Value};
///
/// let memory = Memory::new();
/// let guard = rollway::builder().appender("memory", memory.clone()).start()?;
/// rollway::info!(logger: guard.logger(), "{} apples left", 3_u8);
/// guard.shutdown(std::time::Duration::from_secs(5));
///
/// let event = memory.replay().remove(0);
/// assert_eq!(event.chunks[0].value(), Some(Value::Plain(Scalar::U8(3))));
/// assert_eq!((event.chunks[1].value(), event.chunks[1].text()), (None, " apples left"));
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct RecordedChunk {
    text: String,
    value: Option<Kept>,
}

/// A value that owns its bytes.
#[derive(Clone, PartialEq, Debug)]
struct Kept {
    /// Without the bytes of a string or a slice.
    value: Value<'static>,
    bytes: Box<[u8]>,
}

impl Recorded {
    pub(super) fn of(event: &Event<'_>, layout: &mut dyn Layout) -> Recorded {
        let mut message = String::new();
        event.message(&mut message);
        let mut text = String::new();
        layout.write(event, &mut text);
        let pairs = event.pairs().map(|(key, value)| {
            let mut text = String::new();
            template::push_value(value, &mut text);
            (key.to_owned(), text)
        });
        let context = event.context.pairs.iter();
        Recorded {
            time_ns: event.time_ns,
            level: event.level,
            category: event.site.category.to_string(),
            message,
            chunks: event.chunks().map(RecordedChunk::of).collect(),
            pairs: pairs.collect(),
            context: context.map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            ndc: event.context.stack.iter().map(|text| text.to_string()).collect(),
            module: event.site.module.to_string(),
            file: event.site.file.to_string(),
            line: event.site.line,
            thread: event.thread.name.to_string(),
            service: event.source.service.to_string(),
            host: event.source.host.to_string(),
            text,
        }
    }

    /// The value of a key of the call; the first where it occurs twice.
    pub fn pair(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    /// The innermost value of a key of the context.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.context.iter().rev().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }
}

impl RecordedChunk {
    fn of(chunk: Chunk<'_>) -> RecordedChunk {
        RecordedChunk { text: chunk.to_string(), value: chunk.value().map(Kept::of) }
    }

    /// What it shows in the message.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value with its type; `None` for text of the template, or that a warp has made.
    pub fn value(&self) -> Option<Value<'_>> {
        self.value.as_ref().map(Kept::value)
    }
}

impl Kept {
    fn of(value: Value<'_>) -> Kept {
        let mut bytes: &[u8] = &[];
        let mut without_bytes = |scalar| match scalar {
            Scalar::Str(text) => {
                bytes = text.as_bytes();
                Scalar::Str("")
            }
            Scalar::Text(text) => {
                bytes = text.as_bytes();
                Scalar::Text("")
            }
            Scalar::Bytes(slice) => {
                bytes = slice;
                Scalar::Bytes(&[])
            }
            Scalar::U8(number) => Scalar::U8(number),
            Scalar::U16(number) => Scalar::U16(number),
            Scalar::U32(number) => Scalar::U32(number),
            Scalar::U64(number) => Scalar::U64(number),
            Scalar::U128(number) => Scalar::U128(number),
            Scalar::I8(number) => Scalar::I8(number),
            Scalar::I16(number) => Scalar::I16(number),
            Scalar::I32(number) => Scalar::I32(number),
            Scalar::I64(number) => Scalar::I64(number),
            Scalar::I128(number) => Scalar::I128(number),
            Scalar::F32(number) => Scalar::F32(number),
            Scalar::F64(number) => Scalar::F64(number),
            Scalar::Bool(truth) => Scalar::Bool(truth),
            Scalar::Char(character) => Scalar::Char(character),
        };
        let value = match value {
            Value::Plain(scalar) => Value::Plain(without_bytes(scalar)),
            Value::Some(scalar) => Value::Some(without_bytes(scalar)),
            Value::None => Value::None,
        };
        Kept { value, bytes: bytes.into() }
    }

    fn value(&self) -> Value<'_> {
        let text = || str::from_utf8(&self.bytes).unwrap_or_default();
        let with_bytes = |scalar| match scalar {
            Scalar::Str(_) => Scalar::Str(text()),
            Scalar::Text(_) => Scalar::Text(text()),
            Scalar::Bytes(_) => Scalar::Bytes(&self.bytes),
            other => other,
        };
        match self.value {
            Value::Plain(scalar) => Value::Plain(with_bytes(scalar)),
            Value::Some(scalar) => Value::Some(with_bytes(scalar)),
            Value::None => Value::None,
        }
    }
}
