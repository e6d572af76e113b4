//! What becomes of a message on its way into one appender.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Event;
use crate::template::Chunk;
use crate::value::{Scalar, Value};

/// How an appender sees the chunks of a message: joined, untouched, or as a function makes them.
///
/// Without a warp the chunks are joined with nothing between. The effect stays within the appender
/// that has the warp; the journal and all other appenders have the message as it was logged. A batch
/// that is delivered again is warped again.
///
/// # Examples
/// ```
/// use rollway::warp::Warp;
///
/// let commas = Warp::join(", ");
/// let three = Warp::function("three", |chunks| chunks.truncate(3));
/// assert_eq!((commas.name(), three.name()), ("join", "three"));
/// ```
#[derive(Clone)]
pub struct Warp {
    name: Arc<str>,
    how: How,
}

#[derive(Clone)]
enum How {
    Join(Arc<str>),
    Pass,
    Function(Arc<Function>),
}

type Function = dyn for<'a> Fn(&mut Vec<Chunk<'a>>) + Send + Sync;

impl Warp {
    /// Makes one text of the chunks, with `separator` between any two.
    pub fn join(separator: &str) -> Warp {
        Warp { name: "join".into(), how: How::Join(separator.into()) }
    }

    /// Hands the chunks on as they are, to a layout and an appender that take chunks: see
    /// [`Warp::check`].
    pub fn pass() -> Warp {
        Warp { name: "pass".into(), how: How::Pass }
    }

    /// Lets a function change the list of chunks. What takes text gets them joined with nothing
    /// between.
    ///
    /// The function runs on the thread of the appender. Where it panics, the message is
    /// `<warp NAME panicked>`.
    pub fn function(
        name: &str,
        function: impl for<'a> Fn(&mut Vec<Chunk<'a>>) + Send + Sync + 'static,
    ) -> Warp {
        Warp { name: name.into(), how: How::Function(Arc::new(function)) }
    }

    /// `join`, `pass`, or the name of the function.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that a warp suits a layout or an appender, which `taker` names for the message: those
    /// that take text only cannot be passed chunks.
    ///
    /// # Errors
    /// [`WarpError::TextOnly`].
    pub fn check(&self, taker: &str, takes_chunks: bool) -> Result<(), WarpError> {
        match self.how {
            How::Pass if !takes_chunks => Err(WarpError::TextOnly { taker: taker.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Calls `each` with the event as the appender is to see it.
    pub fn with<R>(&self, event: &Event<'_>, each: impl FnOnce(&Event<'_>) -> R) -> R {
        let chunks = match &self.how {
            How::Pass => return each(event),
            How::Join(separator) if separator.is_empty() => return each(event),
            How::Join(separator) => vec![joined(event, separator)],
            How::Function(function) => {
                let mut chunks = event.chunks().collect();
                let outcome = catch_unwind(AssertUnwindSafe(|| function(&mut chunks)));
                if let Err(payload) = outcome {
                    // What was thrown may throw again when it is dropped.
                    std::mem::forget(payload);
                    chunks = vec![Chunk::from(format!("<warp {} panicked>", self.name))];
                }
                chunks
            }
        };
        event.with_message(&chunks, each)
    }
}

fn joined<'a>(event: &Event<'a>, separator: &str) -> Chunk<'a> {
    let mut text = String::new();
    for (at, chunk) in event.chunks().enumerate() {
        if at > 0 {
            text.push_str(separator);
        }
        chunk.push_to(&mut text);
    }
    Chunk::from(text)
}

impl fmt::Debug for Warp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Warp({})", self.name)
    }
}

/// Why there is no such warp, or it cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub enum WarpError {
    /// No warp has this name.
    Unknown { name: String, known: Vec<String> },
    /// What stands behind the name's colon does not suit it.
    Argument { name: String, problem: String },
    /// [`Warp::pass`] in front of what takes text only.
    TextOnly { taker: String },
}

impl fmt::Display for WarpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WarpError::Unknown { name, known } => {
                write!(f, "there is no warp `{name}`; write one of {}", known.join(", "))
            }
            WarpError::Argument { name, problem } => write!(f, "warp `{name}`: {problem}"),
            WarpError::TextOnly { taker } => {
                write!(
                    f,
                    "{taker} takes text only and cannot be passed chunks; use the warp `join`"
                )
            }
        }
    }
}

impl std::error::Error for WarpError {}

/// Warps by name, for configurations: a name, and behind a colon what it needs to know.
///
/// | text | what it does |
/// |---|---|
/// | `join`, `join:SEPARATOR` | [`Warp::join`]; without a separator as if there were no warp |
/// | `pass` | [`Warp::pass`] |
/// | `limit:COUNT` | keeps the first chunks, so many |
/// | `prepend_counter` | puts a number in front, from 1 on, that counts the messages of the appender since the start |
///
/// # Examples
/// ```
/// use rollway::warp::{Warp, Warps};
///
/// let mut warps = Warps::new();
/// warps.register("reverse", |_| Ok(Warp::function("reverse", |chunks| chunks.reverse())));
/// assert_eq!(warps.get("reverse")?.name(), "reverse");
/// assert_eq!(warps.get("limit:3")?.name(), "limit:3");
/// assert_eq!(
///     warps.get("limit:x").unwrap_err().to_string(),
///     "warp `limit`: `x` is no number of chunks; write for instance limit:3"
/// );
/// # Ok::<(), rollway::warp::WarpError>(())
/// ```
#[derive(Clone)]
pub struct Warps {
    factories: BTreeMap<String, Arc<Factory>>,
}

/// Makes a warp of what stands behind the colon, or says what is wrong with it.
type Factory = dyn Fn(Option<&str>) -> Result<Warp, String> + Send + Sync;

impl Warps {
    /// The built-in ones.
    pub fn new() -> Warps {
        let mut warps = Warps { factories: BTreeMap::new() };
        warps.register("join", |separator| Ok(Warp::join(separator.unwrap_or_default())));
        warps.register("pass", |argument| without(argument, Warp::pass()));
        warps.register("limit", |count| limit(count.unwrap_or_default()));
        warps.register("prepend_counter", |argument| without(argument, prepend_counter()));
        warps
    }

    /// Adds a warp, or replaces the one of that name. `make` is asked once for each appender that
    /// has it, with what stands behind the colon; it returns what is wrong and what to write instead.
    pub fn register(
        &mut self,
        name: &str,
        make: impl Fn(Option<&str>) -> Result<Warp, String> + Send + Sync + 'static,
    ) {
        self.factories.insert(name.to_owned(), Arc::new(make));
    }

    /// The warp that a text such as `limit:3` means.
    ///
    /// # Errors
    /// [`WarpError::Unknown`] and [`WarpError::Argument`].
    pub fn get(&self, text: &str) -> Result<Warp, WarpError> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let Some(make) = self.factories.get(name) else {
            let known = self.factories.keys().cloned().collect();
            return Err(WarpError::Unknown { name: name.to_owned(), known });
        };
        make(argument).map_err(|problem| WarpError::Argument { name: name.to_owned(), problem })
    }
}

impl Default for Warps {
    fn default() -> Warps {
        Warps::new()
    }
}

impl fmt::Debug for Warps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.factories.keys()).finish()
    }
}

fn without(argument: Option<&str>, warp: Warp) -> Result<Warp, String> {
    match argument {
        None => Ok(warp),
        Some(argument) => Err(format!("it takes nothing; leave `:{argument}` out")),
    }
}

fn limit(count: &str) -> Result<Warp, String> {
    let Ok(limit) = count.parse::<usize>() else {
        return Err(format!("`{count}` is no number of chunks; write for instance limit:3"));
    };
    Ok(Warp::function(&format!("limit:{limit}"), move |chunks| chunks.truncate(limit)))
}

fn prepend_counter() -> Warp {
    let count = AtomicU64::new(0);
    Warp::function("prepend_counter", move |chunks| {
        // Relaxed: nothing but the number itself is shared.
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        chunks.insert(0, Chunk::from(Value::Plain(Scalar::U64(number))));
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::template::Template;
    use crate::value::Kind;

    /// An event whose template shows these texts, each as a value, and nothing else.
    fn event_of(texts: &[&str]) -> Fixture {
        let mut fixture = Fixture::saying("");
        for text in texts {
            fixture = fixture.with("", Kind::STR, text.as_bytes());
        }
        fixture.site.template = Template::parse(&"{}".repeat(texts.len()));
        fixture
    }

    /// What appenders of chunks and of text see of an event behind a warp.
    fn seen(warp: &Warp, fixture: &mut Fixture) -> (String, String) {
        warp.with(&fixture.event(), |event| {
            let chunks: Vec<_> = event.chunks().map(|chunk| chunk.to_string()).collect();
            let mut message = String::new();
            event.message(&mut message);
            (format!("[{}]", chunks.join(",")), message)
        })
    }

    const EVENTS: [&[&str]; 3] =
        [&["10.0.0.1", "joe", "signed in"], &["one"], &["1", "2", "3", "4", "5"]];

    fn all_seen(warp: &Warp) -> (String, Vec<String>) {
        let seen = EVENTS.map(|texts| seen(warp, &mut event_of(texts)));
        let (chunks, messages) = seen.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        (chunks.concat(), messages)
    }

    #[test]
    fn chunks_are_joined_with_nothing_unless_a_separator_is_given() {
        let (_, messages) = all_seen(&Warp::join(""));
        assert_eq!(messages, ["10.0.0.1joesigned in", "one", "12345"]);
        let (chunks, messages) = all_seen(&Warp::join(","));
        assert_eq!(messages, ["10.0.0.1,joe,signed in", "one", "1,2,3,4,5"]);
        assert_eq!(chunks, "[10.0.0.1,joe,signed in][one][1,2,3,4,5]");
    }

    #[test]
    fn passed_chunks_are_those_of_the_call() {
        let (chunks, _) = all_seen(&Warp::pass());
        assert_eq!(chunks, "[10.0.0.1,joe,signed in][one][1,2,3,4,5]");
        let mut event = event_of(&["a"]);
        Warp::pass().with(&event.event(), |event| {
            let values: Vec<_> = event.chunks().map(|chunk| chunk.value()).collect();
            assert_eq!(values, [Some(Value::Plain(Scalar::Str("a")))]);
        });
    }

    #[test]
    fn a_function_makes_other_chunks_which_text_has_joined() {
        let warps = Warps::new();
        let (chunks, messages) = all_seen(&warps.get("limit:3").unwrap());
        assert_eq!(chunks, "[10.0.0.1,joe,signed in][one][1,2,3]");
        assert_eq!(messages[2], "123");
    }

    #[test]
    fn a_counter_counts_the_messages_of_its_appender() {
        let warps = Warps::new();
        let counter = warps.get("prepend_counter").unwrap();
        let (chunks, _) = all_seen(&counter);
        assert_eq!(chunks, "[1,10.0.0.1,joe,signed in][2,one][3,1,2,3,4,5]");
        assert_eq!(seen(&counter, &mut event_of(&["x", "y"])).0, "[4,x,y]");
        let (chunks, message) = seen(&Warp::join(""), &mut event_of(&["x", "y"]));
        assert_eq!((&*chunks, &*message), ("[x,y]", "xy"), "another appender");
        let other = warps.get("prepend_counter").unwrap();
        assert_eq!(seen(&other, &mut event_of(&["x"])).1, "1x", "a counter of its own");
    }

    #[test]
    fn a_function_that_panics_shows_nothing_it_was_to_change() {
        let warp = Warp::function("broken", |chunks| {
            chunks.clear();
            panic!("in a warp");
        });
        assert_eq!(seen(&warp, &mut event_of(&["hunter2"])).1, "<warp broken panicked>");
    }

    #[test]
    fn what_takes_text_only_is_refused_chunks_and_nothing_else() {
        let error = Warp::pass().check("the layout of appender `file`", false).unwrap_err();
        let expected = "the layout of appender `file` takes text only and cannot be passed chunks; \
             use the warp `join`";
        assert_eq!(error.to_string(), expected);
        assert_eq!(Warp::pass().check("x", true), Ok(()));
        assert_eq!(Warp::join(",").check("x", false), Ok(()));
        assert_eq!(Warp::function("f", |_| {}).check("x", false), Ok(()));
    }

    #[test]
    fn a_wrong_name_or_argument_is_told_with_what_to_write() {
        let errors = ["sub { 1 }", "limit", "limit:-1", "pass:x"]
            .map(|text| Warps::new().get(text).unwrap_err().to_string());
        let expected = [
            "there is no warp `sub { 1 }`; write one of join, limit, pass, prepend_counter",
            "warp `limit`: `` is no number of chunks; write for instance limit:3",
            "warp `limit`: `-1` is no number of chunks; write for instance limit:3",
            "warp `pass`: it takes nothing; leave `:x` out",
        ];
        assert_eq!(errors, expected);
        assert_eq!(Warps::new().get("join:: ").unwrap().name(), "join");
    }
}
