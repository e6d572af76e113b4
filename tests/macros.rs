//! What a log call does with its arguments, and what it says about itself.
//!
//! The procedural macros are given the path of a crate; here that of [`harness`], which has
//! everything rollway has and another destination: a list that the test reads.

use std::cell::{Cell, RefCell};
use std::fmt;

use rollway::Level;
use rollway::level::Levels;
use rollway::site::Definition;

mod harness {
    pub(crate) use rollway::Level;

    /// A logger that takes events from a level on.
    pub(crate) struct Logger(pub(crate) Level);

    impl Logger {
        pub(crate) fn might_take(&self, level: Level) -> bool {
            level >= self.0
        }

        pub(crate) fn takes(&self, level: Level, target: &str) -> bool {
            level >= self.0 && !target.starts_with("quiet")
        }

        pub(crate) fn takes_call(&self, level: Level, call: &__private::CallCategory) -> bool {
            self.takes(level, call.name())
        }

        pub(crate) fn emit<V: __private::Values>(&self, call: __private::Call<'_>, values: V) {
            super::keep("logger", call.site.definition(), call.level, call.target, values);
        }
    }

    pub(crate) mod __private {
        pub(crate) use rollway::__private::*;

        pub(crate) struct Process;

        impl Process {
            pub(crate) fn might_take(&self, level: Level) -> bool {
                level >= Level::INFO
            }

            pub(crate) fn takes(&self, level: Level, target: &str) -> bool {
                super::Logger(Level::INFO).takes(level, target)
            }

            pub(crate) fn takes_call(&self, level: Level, call: &CallCategory) -> bool {
                self.takes(level, call.name())
            }

            pub(crate) fn emit<V: Values>(&self, call: Call<'_>, values: V) {
                let site = call.site.definition();
                crate::keep("process", site, call.level, call.target, values);
            }
        }

        pub(crate) fn emit<V: Values>(site: &'static Site, id: u32, level: Level, values: V) {
            assert_eq!(site.pass(), Some(id));
            crate::keep("lean", site.definition(), level, None, values);
        }
    }
}

macro_rules! info {
    ($($call:tt)*) => { crate::harness::__private::event!(crate::harness [INFO] $($call)*) };
}
macro_rules! debug {
    ($($call:tt)*) => { crate::harness::__private::event!(crate::harness [DEBUG] $($call)*) };
}
macro_rules! log {
    ($($call:tt)*) => { crate::harness::__private::event!(crate::harness [] $($call)*) };
}
macro_rules! enabled {
    ($($call:tt)*) => { crate::harness::__private::enabled!(crate::harness $($call)*) };
}

/// An event as it comes out of its record.
#[derive(Clone, Debug)]
struct Seen {
    /// Which function was called with it.
    by: &'static str,
    level: Level,
    target: String,
    message: String,
    /// Names and values of the template, then of the pairs.
    arguments: Vec<(String, String)>,
    pairs: Vec<(String, String)>,
    site: Definition<'static>,
}

thread_local! {
    static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
}

/// Encodes and decodes an event and puts it on the thread's list.
fn keep(
    by: &'static str,
    site: &'static Definition<'static>,
    level: Level,
    target: Option<&str>,
    values: impl rollway::capture::Values,
) {
    let record = rollway::capture::encode_record(site, None, level, target, 0, 1 << 16, values);
    let record = record.unwrap();
    let mut records = rollway::record::Records::new(&record);
    let record = records.next().unwrap().unwrap();
    let (definition, values) = record.open().unwrap();
    let definition = definition.unwrap();

    let template = rollway::template::Template::parse(definition.template);
    let mut message = String::new();
    template.render(&mut values.clone(), &mut message);
    let text = |value| {
        let mut text = String::new();
        rollway::template::push_value(value, &mut text);
        text
    };
    let mut named: Vec<_> =
        definition.names.iter().map(str::to_owned).zip(values.map(text)).collect();
    assert_eq!(named.len(), definition.names.len(), "each name has a value");
    let pairs = named.split_off(template.slots());
    let seen = Seen {
        by,
        level: record.level().unwrap(),
        target: definition.target.to_owned(),
        message,
        arguments: named,
        pairs,
        site: *site,
    };
    SEEN.with_borrow_mut(|list| list.push(seen));
}

/// The events of this thread since the last time, at `INFO` and above.
fn seen(call: impl FnOnce()) -> Vec<Seen> {
    rollway::site::set_process_levels(Some(Levels::new(Level::INFO).into()));
    SEEN.take();
    call();
    SEEN.take()
}

fn one(call: impl FnOnce()) -> Seen {
    let mut all = seen(call);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn message(call: impl FnOnce()) -> String {
    one(call).message
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Has a `Display` and no raw form.
struct Shop(&'static str);

impl fmt::Display for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

#[test]
fn a_message_is_what_format_makes_of_it() {
    let (id, width, precision) = ("ada", 9, 2);
    let shop = Shop("books");
    macro_rules! same {
        ($($call:tt)*) => { assert_eq!(message(|| info!($($call)*)), format!($($call)*)) };
    }
    same!("nothing but text");
    same!("{{}} {{{}}}", 1);
    same!("{id} {id:?} {0} {0:x} {}", 255);
    same!("[{:>8.3}] [{:width$.precision$}] [{:.*}] [{:2$}]", 1.5, 2.5, 1, 3.25, 7);
    same!("{:>1$} {2:*^3$} {name}", shop, 8, "x", 5, name = Shop("toys"));
    same!("{:?} {:?} {:?}", vec![1, 2, 300], Some(vec![1, -2]), [1.5, 2.0]);
    same!("{:#?} {:?} {:?}", Some("x"), None::<u8>, Some(Some(1)));
    same!("{:?} {:?} {:02x?}", "é\n", 'c', b"\x01\x02");
    same!("{type} {}", 1, r#type = 2);
    same!(r#"raw "{}" string"#, 1,);
    same!("{ } {0 :?} {:? }", 1, 2);
    same!("{} {} {}", String::from("a"), &&"b", std::borrow::Cow::Borrowed("c"));
    same!("{} {:?} {}", Box::new(5), Box::new([1u8, 2]), std::sync::Arc::<str>::from("x"));
    same!("{} {} {}", u128::MAX, i128::MIN, usize::MAX);
    same!("{0:p} {0:?}", std::ptr::null::<u8>());
    same!("{:?} {:?}", std::time::Duration::from_millis(1500), ((), "x"));
    same!("{shop:>width$}|{:<5}|{:^+8.2e}", shop, 1234.5);
}

#[test]
fn variables_and_keywords_are_captured_by_their_name() {
    let r#type = 3;
    assert_eq!(message(|| info!("{type}")), "3");
    assert_eq!(one(|| info!(r#type; "")).pairs, owned(&[("type", "3")]));

    struct Item(u8);
    impl Item {
        fn log(self: &Item) {
            info!("{} {self}", self.0);
        }
    }
    impl fmt::Display for Item {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("item")
        }
    }
    assert_eq!(message(|| Item(4).log()), "4 item");
}

#[test]
fn arguments_are_evaluated_once_and_in_order() {
    let order = RefCell::new(Vec::new());
    let next = |name: &'static str| {
        order.borrow_mut().push(name);
        name
    };
    let text =
        message(|| info!(key = next("key"); "{1} {0} {1} {0}", next("first"), next("second")));
    assert_eq!(text, "second first second first");
    assert_eq!(*order.borrow(), ["key", "first", "second"]);
}

#[test]
fn arguments_of_a_disabled_call_are_not_evaluated() {
    let none = seen(|| {
        debug!("{}", never());
        debug!(key = never(); "");
        debug!(target: never(), "");
        log!(Level::DEBUG, target: never(), "{}", never());
        info!(logger: harness::Logger(Level::ERROR), "{}", never());
    });
    assert!(none.is_empty());
}

#[test]
fn a_logger_and_a_level_are_evaluated_once() {
    let count = Cell::new(0);
    let counted = |level| {
        count.set(count.get() + 1);
        level
    };
    let event = one(|| {
        log!(
            logger: &harness::Logger(counted(Level::INFO)),
            target: "own",
            counted(Level::WARN),
            "x"
        );
    });
    assert_eq!(count.get(), 2);
    assert_eq!((event.by, event.level, &*event.target), ("logger", Level::WARN, "own"));
}

#[test]
fn a_plain_call_names_its_level_place_and_module() {
    let (event, line) = (one(|| info!("x {} {name}", 1, name = 2)), line!());
    assert_eq!((event.by, event.level), ("lean", Level::INFO));
    assert_eq!(event.site.level, Level::INFO);
    assert_eq!(event.site.target, module_path!());
    assert_eq!(event.site.module, module_path!());
    assert_eq!(event.site.file, file!());
    assert_eq!(event.site.line, line);
    assert!(event.site.column > 1);
    assert_eq!(event.site.template, "x {} {name}");
    assert_eq!(event.site.names.iter().collect::<Vec<_>>(), ["0", "name"]);
}

#[test]
fn a_width_and_a_precision_are_values_before_the_one_they_are_for() {
    let width = 6;
    let event = one(|| info!(key = true; "{:width$.*} {1:.0$}", 1, 2.25));
    let arguments = [("width", "6"), ("0", "1"), ("1", "2.25"), ("0", "1"), ("1", "2.25")];
    assert_eq!(event.arguments, owned(&arguments));
    assert_eq!(event.pairs, owned(&[("key", "true")]));
    assert_eq!(event.message, "   2.2 2.2");
}

#[test]
fn a_constant_target_belongs_to_the_site_and_another_to_the_call() {
    mod names {
        pub(crate) const SHOP: &str = "shop";
    }
    const LOCAL: &str = "local";
    let name = String::from("dynamic");

    let literal = one(|| info!(target: "literal", "x"));
    assert_eq!((literal.by, &*literal.target), ("lean", "literal"));
    let constant = one(|| info!(target: names::SHOP, "x"));
    assert_eq!((constant.by, &*constant.target), ("lean", "shop"));
    let local = one(|| info!(target: LOCAL, "x"));
    assert_eq!((local.by, &*local.target), ("lean", "local"));
    let path = one(|| info!(target: module_path!(), "x"));
    assert_eq!((path.by, &*path.target), ("lean", module_path!()));
    let dynamic = one(|| info!(target: name, "{}", 1));
    assert_eq!((dynamic.by, &*dynamic.target), ("process", "dynamic"));
    assert_eq!(dynamic.site.target, module_path!());
    let with_logger = one(|| info!(logger: harness::Logger(Level::INFO), target: &name, "x"));
    assert_eq!((with_logger.by, &*with_logger.target), ("logger", "dynamic"));
}

#[test]
fn log_takes_its_level_at_run_time() {
    for level in [Level::INFO, Level::ERROR, Level::from_number(10).unwrap()] {
        let event = one(|| log!(level, "x"));
        assert_eq!((event.by, event.level), ("process", level));
    }
    assert_eq!(one(|| log!(target: "t", Level::WARN, a = 1; "x")).target, "t");
    assert!(seen(|| log!(Level::DEBUG, "x")).is_empty());
}

#[test]
fn enabled_tells_whether_a_call_would_log() {
    assert!(enabled!(Level::INFO));
    assert!(!enabled!(Level::DEBUG));
    assert!(enabled!(target: "x", Level::WARN));
    assert!(!enabled!(logger: harness::Logger(Level::ERROR), Level::WARN));
    assert!(enabled!(logger: &harness::Logger(Level::ERROR), target: String::new(), Level::FATAL));
    assert!(!enabled!(target: "quiet::one", Level::FATAL));
    assert!(
        !enabled!(logger: harness::Logger(Level::INFO), target: String::from("quiet"), Level::FATAL)
    );
}

#[test]
fn a_call_asks_for_its_own_target() {
    let (quiet, loud) = (String::from("quiet"), String::from("loud"));
    let events = seen(|| {
        info!(target: &quiet, "{}", never());
        info!(target: &loud, "heard");
        log!(target: "quiet", Level::ERROR, "{}", never());
        info!(logger: harness::Logger(Level::INFO), target: "quiet", "{}", never());
    });
    assert_eq!(events.iter().map(|event| &*event.target).collect::<Vec<_>>(), ["loud"]);
}

fn never() -> &'static str {
    panic!("a disabled call evaluated an argument")
}

#[test]
fn key_values_keep_their_type_or_are_rendered() {
    let (user, items) = ("ada", 3u8);
    let shop = Shop("books");
    let event = one(|| {
        info!(
            user, items:?, name:% = user, quoted:? = user, shop, "a.b" = 1.5, list:debug = [1, 2],
            none = None::<u32>, some = Some("x"), bytes = b"ab",;
            "sold {items}"
        );
    });
    assert_eq!(event.message, "sold 3");
    let pairs = [
        ("user", "ada"),
        ("items", "3"),
        ("name", "ada"),
        ("quoted", "\"ada\""),
        ("shop", "books"),
        ("a.b", "1.5"),
        ("list", "[1, 2]"),
        ("none", "None"),
        ("some", "Some(x)"),
        ("bytes", "[97, 98]"),
    ];
    assert_eq!(event.pairs, owned(&pairs));
}

#[test]
fn an_error_is_rendered_with_its_causes() {
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot save")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let error = Outer(std::io::Error::other("disk full"));
    let expected = owned(&[("error", "cannot save: disk full")]);
    assert_eq!(one(|| info!(error:err; "")).pairs, expected);
    assert_eq!(one(|| info!(error:err = &error; "")).pairs, expected);
    let boxed: Box<dyn std::error::Error + Send + Sync> = error.into();
    assert_eq!(one(|| info!(error:err = boxed; "")).pairs, expected);
    let borrowed: &dyn std::error::Error = &*boxed;
    assert_eq!(one(|| info!(error:err = borrowed; "")).pairs, expected);
}

#[test]
fn a_panicking_or_failing_argument_leaves_the_call_unharmed() {
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("begun")?;
            std::panic::resume_unwind(Box::new("quietly"))
        }
    }
    struct Fails;
    impl fmt::Debug for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("begun")?;
            Err(fmt::Error)
        }
    }
    let text = message(|| info!("{} {} {:?} {}", 1, Panics, Fails, Shop("x")));
    assert_eq!(text, "1 <formatting panicked> <formatting failed> x");
}

#[test]
fn an_argument_may_log_while_it_is_rendered() {
    struct Nested;
    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("inner {}", Shop("x"));
            f.write_str("outer")
        }
    }
    let all = seen(|| info!("{}", Nested));
    let messages: Vec<_> = all.iter().map(|event| &*event.message).collect();
    assert_eq!(messages, ["inner x", "outer"]);
}

#[test]
fn a_call_in_a_generic_function_is_one_site_for_all_types() {
    fn log<T: fmt::Display>(value: T) {
        info!("{value} {:>4}", value);
    }
    let all = seen(|| {
        log(1);
        log("x");
        log(Shop("s"));
    });
    let messages: Vec<_> = all.iter().map(|event| &*event.message).collect();
    assert_eq!(messages, ["1    1", "x    x", "s    s"]);
    assert_eq!(all[0].site, all[2].site);
}

#[test]
fn a_call_works_in_closures_async_functions_matches_and_tails() {
    async fn two() -> u8 {
        2
    }
    async fn log() {
        info!("{} {}", 1, two().await)
    }
    fn fails() -> Result<(), std::num::ParseIntError> {
        info!("{}", "x".parse::<u8>()?);
        Ok(())
    }
    let mut future = std::pin::pin!(log());
    let waker = std::task::Waker::noop();
    let text = message(|| {
        let mut context = std::task::Context::from_waker(waker);
        assert!(future.as_mut().poll(&mut context).is_ready());
    });
    assert_eq!(text, "1 2");
    assert!(seen(|| assert!(fails().is_err())).is_empty());

    let mut count = 0;
    let mut log = |value: Result<u8, &str>| match value {
        Ok(value) => info!("{value} {}", {
            count += 1;
            count
        }),
        Err(text) => info!("{text}"),
    };
    assert_eq!(message(|| log(Ok(7))), "7 1");
}

#[test]
fn names_of_the_expansion_do_not_meet_names_of_the_caller() {
    let (site, logger, level, target, a0, a1, f) = (1, 2, 3, 4, 5, 6, 7);
    const SITE: &str = "const";
    let text = message(|| info!("{site} {logger} {level} {target} {a0} {a1} {f:>1$} {0}", SITE, 3));
    assert_eq!(text, "1 2 3 4 5 6   7 const");
    let text = message(|| log!(Level::INFO, site = target; "{level}{target}{}", site));
    assert_eq!(text, "341");
    assert_eq!(one(|| info!(target: SITE, "x")).target, "const");
}

mod bare {
    #![no_implicit_prelude]

    /// Whatever it needs from the library, a macro names by its full path.
    pub(crate) fn log() {
        let text = "x";
        info!(key:? = 1, text:%; "{text} {:>4} {:?}", 2, 3);
        info!(target: text, "{}", 1);
        ::rollway::info!(key:? = 1, text:%; "{text} {:>4} {:?}", 2, 3);
        ::rollway::info!(target: text, "{}", 1);
    }
}

#[test]
fn a_call_needs_no_prelude() {
    let all = seen(bare::log);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].message, "x    2 3");
}

mod renamed {
    extern crate rollway as other;

    /// The path of the crate is the caller's.
    pub(crate) fn log() {
        other::trace!("{}", 1);
        other::debug!(a = 1; "{}", 1);
        other::info!(target: "x", "{}", 1);
        other::warn!("{:?}", other::Level::WARN);
        other::error!("{}", 1);
        other::fatal!("{}", 1);
        other::log!(other::Level::INFO, "{}", 1);
    }
}

#[test]
fn the_crate_may_have_another_name() {
    renamed::log();
    rollway::site::set_process_levels(Some(Levels::new(Level::INFO).into()));
    assert!(rollway::enabled!(Level::INFO));
    assert!(!rollway::enabled!(target: "x", Level::DEBUG));
}

#[test]
fn a_call_inside_a_macro_of_the_caller_sees_that_macros_tokens() {
    macro_rules! say {
        ($format:literal, $value:expr) => { info!($format, $value) };
        ($value:ident) => { info!(value = $value; "{}", $value) };
    }
    let x = 2;
    assert_eq!(message(|| say!("{:>3}", x + 1)), "  3");
    assert_eq!(message(|| say!(x)), "2");
}

#[test]
fn a_call_takes_more_values_than_a_word_of_kinds() {
    let text = message(|| {
        info!(
            "{}{}{}{}{}{}{}{}{}{}{}{}",
            1,
            2u8,
            3i64,
            4.0,
            true,
            'x',
            "y",
            8,
            9,
            10,
            11,
            Shop("z")
        );
    });
    assert_eq!(text, "1234truexy891011z");
}

#[test]
fn a_long_string_is_cut_and_says_how_much() {
    let long = "é".repeat(40_000);
    let event = one(|| info!("{} {}", long, 7));
    let Some((kept, marker)) = event.message.split_once('…') else { panic!("no marker") };
    assert!(kept.chars().all(|c| c == 'é'));
    assert_eq!(marker, format!("[{} bytes cut] 7", long.len() - kept.len()));
    assert!(event.message.len() > 65_000);
}

#[test]
fn a_wrong_call_does_not_compile_and_says_why() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
