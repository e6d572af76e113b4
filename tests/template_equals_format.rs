//! What a template makes of a record's values is what `std::format!` makes of the arguments.
//!
//! `format!` wants its format string at compile time, so a table holds one function for each
//! combination of flags, width, precision and form; values, and widths and precisions behind a `$`,
//! are random. 5,000 cases, or a million with `ROLLWAY_LONG=1`.

use std::fmt::{Binary, Debug, Display, LowerExp, LowerHex, Octal, UpperExp, UpperHex};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use rollway::__private::debug;
use rollway::Level;
use rollway::capture::{Capture, Values, encode_record};
use rollway::record::{MAX_BYTES, Records};
use rollway::site::{Definition, FIRST_SITE_ID, Names};
use rollway::template::Template;

/// A format string, and what `format!` makes of it.
struct Case<T: ?Sized> {
    text: &'static str,
    takes_width: bool,
    takes_precision: bool,
    format: fn(&T, usize, usize) -> String,
}

/// What integers can be formatted by; and so on.
trait Integer: Display + Debug + LowerHex + UpperHex + Octal + Binary + LowerExp + UpperExp {}
impl<T: Display + Debug + LowerHex + UpperHex + Octal + Binary + LowerExp + UpperExp> Integer
    for T
{
}
trait Float: Display + Debug + LowerExp + UpperExp {}
impl<T: Display + Debug + LowerExp + UpperExp> Float for T {}
trait Text: Display + Debug {}
impl<T: Display + Debug + ?Sized> Text for T {}

/// All combinations for the given forms.
macro_rules! cases {
    ($of:ty: $($form:literal)*) => {{
        let mut cases: Vec<Case<$of>> = Vec::new();
        $(cases!(@align cases $form);)*
        cases
    }};
    (@align $cases:ident $form:literal) => {
        cases!(@sign $cases $form "");
        cases!(@sign $cases $form "<");
        cases!(@sign $cases $form "*^");
        cases!(@sign $cases $form "é>");
    };
    (@sign $cases:ident $form:literal $align:literal) => {
        cases!(@flags $cases $form $align "");
        cases!(@flags $cases $form $align "+");
        cases!(@flags $cases $form $align "#");
        cases!(@flags $cases $form $align "-0");
        cases!(@flags $cases $form $align "+#0");
    };
    (@flags $cases:ident $form:literal $align:literal $flags:literal) => {
        cases!(@case $cases $align $flags "" $form; |_w, _p| false false);
        cases!(@case $cases $align $flags "9" $form; |_w, _p| false false);
        cases!(@case $cases $align $flags "w$" $form; |w, _p| true false w);
        cases!(@case $cases $align $flags ".2" $form; |_w, _p| false false);
        cases!(@case $cases $align $flags ".p$" $form; |_w, p| false true p);
        cases!(@case $cases $align $flags "w$.p$" $form; |w, p| true true w p);
    };
    (@case $cases:ident $align:literal $flags:literal $counts:literal $form:literal;
        |$w:ident, $p:ident| $takes_width:literal $takes_precision:literal $($count:ident)*) => {
        $cases.push(Case {
            text: concat!("[{v:", $align, $flags, $counts, $form, "}]"),
            takes_width: $takes_width,
            takes_precision: $takes_precision,
            format: |v, $w, $p| {
                format!(
                    concat!("[{v:", $align, $flags, $counts, $form, "}]"), v = v $(, $count = $count)*
                )
            },
        });
    };
}

static INTEGERS: LazyLock<Vec<Case<dyn Integer>>> =
    LazyLock::new(|| cases!(dyn Integer: "" "?" "x?" "X?" "x" "X" "o" "b" "e" "E"));
static FLOATS: LazyLock<Vec<Case<dyn Float>>> =
    LazyLock::new(|| cases!(dyn Float: "" "?" "x?" "e" "E"));
static TEXTS: LazyLock<Vec<Case<dyn Text>>> = LazyLock::new(|| cases!(dyn Text: "" "?"));
static DEBUGS: LazyLock<Vec<Case<dyn Debug>>> = LazyLock::new(|| cases!(dyn Debug: "?" "x?" "X?"));

/// Random numbers that pick a case and its counts.
type Draw = (prop::sample::Index, usize, usize);

fn draw() -> impl Strategy<Value = Draw> {
    (any::<prop::sample::Index>(), 0..24usize, 0..12usize)
}

/// Encodes the values, reads them again, renders.
fn rendered(text: &str, values: impl Values) -> String {
    let site = Definition {
        level: Level::INFO,
        line: 0,
        column: 0,
        target: "",
        module: "",
        file: "",
        template: text,
        names: Names::Listed(&[]),
    };
    let id = Some(FIRST_SITE_ID);
    let record = encode_record(&site, id, Level::INFO, None, 0, MAX_BYTES, values).unwrap();
    let mut records = Records::new(&record);
    let (_, mut values) = records.next().unwrap().unwrap().open().unwrap();
    let mut out = String::new();
    Template::parse(text).render(&mut values, &mut out);
    assert!(!values.is_damaged());
    assert!(values.next().is_none(), "a value is left over");
    out
}

fn check<T: ?Sized>(
    cases: &[Case<T>],
    (index, width, precision): Draw,
    expected: &T,
    value: impl Capture,
) -> Result<(), TestCaseError> {
    let case = index.get(cases);
    let (w, p) = (width as u64, precision as u64);
    let found = match (case.takes_width, case.takes_precision) {
        (false, false) => rendered(case.text, (value, ())),
        (true, false) => rendered(case.text, (w, (value, ()))),
        (false, true) => rendered(case.text, (p, (value, ()))),
        (true, true) => rendered(case.text, (w, (p, (value, ())))),
    };
    let expected = (case.format)(expected, width, precision);
    prop_assert_eq!(found, expected, "{} with {} and {}", case.text, width, precision);
    Ok(())
}

/// One property for each type: random value, its table, how it is seen by the table.
macro_rules! properties {
    ($($name:ident: $cases:ident, $strategy:expr;)*) => {
        fn config() -> ProptestConfig {
            let names = [$(stringify!($name)),*];
            let long = std::env::var_os("ROLLWAY_LONG").is_some_and(|value| value == "1");
            let cases = if long { 1_000_000 } else { 5_000 } / names.len() + 1;
            ProptestConfig { cases: cases as u32, failure_persistence: None, ..Default::default() }
        }

        proptest! {
            #![proptest_config(config())]
            $(
                #[test]
                fn $name(value in $strategy, draw in draw()) {
                    check(&$cases, draw, &value, debug(&value).capture())?;
                }
            )*
        }
    };
}

properties! {
    u8_is_shown_alike: INTEGERS, any::<u8>();
    u16_is_shown_alike: INTEGERS, any::<u16>();
    u32_is_shown_alike: INTEGERS, any::<u32>();
    u64_is_shown_alike: INTEGERS, any::<u64>();
    u128_is_shown_alike: INTEGERS, any::<u128>();
    usize_is_shown_alike: INTEGERS, any::<usize>();
    i8_is_shown_alike: INTEGERS, any::<i8>();
    i16_is_shown_alike: INTEGERS, any::<i16>();
    i32_is_shown_alike: INTEGERS, any::<i32>();
    i64_is_shown_alike: INTEGERS, any::<i64>();
    i128_is_shown_alike: INTEGERS, any::<i128>();
    isize_is_shown_alike: INTEGERS, any::<isize>();
    f32_is_shown_alike: FLOATS, prop::num::f32::ANY;
    f64_is_shown_alike: FLOATS, prop::num::f64::ANY;
    handy_f32_is_shown_alike: FLOATS, (-2_000_000..2_000_000i32, 0..8i32)
        .prop_map(|(digits, places)| digits as f32 / 10f32.powi(places));
    handy_f64_is_shown_alike: FLOATS, (-2_000_000_000..2_000_000_000i64, -10..20i32)
        .prop_map(|(digits, places)| digits as f64 / 10f64.powi(places));
    bool_is_shown_alike: TEXTS, any::<bool>();
    char_is_shown_alike: TEXTS, any::<char>();
    string_is_shown_alike: TEXTS, any::<String>();
    short_string_is_shown_alike: TEXTS, "[a-zé\\n\"'\u{301}]{0,6}";
    boxed_str_is_shown_alike: TEXTS, ".{0,6}".prop_map(String::into_boxed_str);
    shared_str_is_shown_alike: TEXTS, ".{0,6}".prop_map(Arc::<str>::from);
    bytes_are_shown_alike: DEBUGS, prop::collection::vec(any::<u8>(), 0..5);
    array_is_shown_alike: DEBUGS, any::<[u8; 3]>();
    optional_bytes_are_shown_alike: DEBUGS, prop::option::of(prop::collection::vec(any::<u8>(), 0..3));
    optional_i32_is_shown_alike: DEBUGS, any::<Option<i32>>();
    optional_u64_is_shown_alike: DEBUGS, any::<Option<u64>>();
    optional_f64_is_shown_alike: DEBUGS, any::<Option<f64>>();
    optional_bool_is_shown_alike: DEBUGS, any::<Option<bool>>();
    optional_char_is_shown_alike: DEBUGS, any::<Option<char>>();
    optional_string_is_shown_alike: DEBUGS, prop::option::of(".{0,6}");
}

/// Floats half-way between two texts of the fewest digits; about one in four of these is.
#[test]
fn floats_half_way_between_two_texts_are_shown_alike() {
    for step in 0..1_000u32 {
        let number = (832_350 + step) as f32 / 4.0;
        assert_eq!(rendered("{}", (number, ())), number.to_string());
        let number = (5_663_992_736_739_041 + u64::from(step)) as f64 / 4.0;
        assert_eq!(rendered("{}", (number, ())), number.to_string());
    }
}

/// Floats on which shortest digits, exponents and signs go wrong first.
#[test]
fn odd_floats_are_shown_alike() {
    let odd = [
        0.0,
        1.0,
        0.1,
        0.3,
        1e15,
        1e16,
        1e17,
        123456789012345680.0,
        9007199254740993.0,
        1e-4,
        9.9e-5,
        1e-5,
        1e-7,
        1e21,
        1e22,
        5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::EPSILON,
        f64::INFINITY,
        f64::NAN,
        0.5,
        1.5,
        2.5,
        0.05,
        0.25,
        999.9995,
        2f64.powi(53),
        2f64.powi(-1022),
    ];
    for case in FLOATS.iter().filter(|case| !case.takes_width && !case.takes_precision) {
        for number in odd.into_iter().flat_map(|number| [number, -number]) {
            assert_eq!(rendered(case.text, (number, ())), (case.format)(&number, 0, 0));
            let number = number as f32;
            assert_eq!(rendered(case.text, (number, ())), (case.format)(&number, 0, 0));
        }
    }
}

#[test]
fn references_of_any_depth_are_shown_alike() {
    let text = Rc::new(Some("x"));
    let found = rendered("{:>5?}", (debug(&&&text).capture(), ()));
    assert_eq!(found, format!("{:>5?}", text.deref()));
}
