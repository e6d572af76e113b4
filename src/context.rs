//! The mapped diagnostic context (MDC) of a thread, and its record.
//!
//! A change of context is one record of its own in the thread's ring, written with the next event
//! and not before. An event whose context did not change pays nothing for it.

use std::cell::RefCell;

use crate::event::ContextInfo;
use crate::record::{self, Kinds, Record, Records};
use crate::value::{Encoder, Kind, Scalar, Value};

/// Longer values are cut at a character's border.
pub(crate) const VALUE_BYTES_MAX: usize = 1024;
/// All pairs together; beyond it the outermost ones are left out. Fits the smallest ring.
pub(crate) const CONTEXT_BYTES_MAX: usize = 3 << 10;

thread_local! {
    static CONTEXT: RefCell<Context> = const { RefCell::new(Context::EMPTY) };
}

/// The pairs of one thread, outermost first.
struct Context {
    pairs: Vec<Pair>,
    revision: u64,
}

struct Pair {
    number: u64,
    key: Box<str>,
    value: Box<str>,
}

impl Context {
    const EMPTY: Context = Context { pairs: Vec::new(), revision: 0 };
}

/// Adds a pair and returns its number; `None` while the thread is ending.
pub(crate) fn push(key: &str, value: &str) -> Option<u64> {
    let cut = |text: &str| Box::from(&text[..text.floor_char_boundary(VALUE_BYTES_MAX)]);
    let (key, value) = (cut(key), cut(value));
    let push = |context: &RefCell<Context>| {
        let mut context = context.borrow_mut();
        context.revision += 1;
        let number = context.revision;
        context.pairs.push(Pair { number, key, value });
        number
    };
    CONTEXT.try_with(push).ok()
}

/// Removes the pair with this number.
pub(crate) fn remove(number: u64) {
    let _ = CONTEXT.try_with(|context| {
        let mut context = context.borrow_mut();
        context.pairs.retain(|pair| pair.number != number);
        context.revision += 1;
    });
}

/// Changes with every change of the thread's context; 0 while it never had one.
pub(crate) fn revision() -> u64 {
    CONTEXT.try_with(|context| context.borrow().revision).unwrap_or(0)
}

/// The record that says the thread's context.
pub(crate) fn to_record() -> Vec<u8> {
    let of_thread = |context: &RefCell<Context>| {
        let context = context.borrow();
        let mut room = CONTEXT_BYTES_MAX;
        let fits = |pair: &&Pair| {
            let bytes = pair.key.len() + pair.value.len() + 10;
            room = room.saturating_sub(bytes);
            room > 0
        };
        let kept = context.pairs.iter().rev().take_while(fits).count();
        let kept = &context.pairs[context.pairs.len() - kept..];
        encode(kept.iter().map(|pair| (&*pair.key, &*pair.value)))
    };
    CONTEXT.try_with(of_thread).unwrap_or_else(|_| encode(std::iter::empty()))
}

/// The record that says this context.
pub(crate) fn info_to_record(context: &ContextInfo) -> Vec<u8> {
    encode(context.pairs.iter().map(|(key, value)| (&**key, &**value)))
}

fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<u8> {
    let (mut kinds, mut bytes) = (Kinds::NONE, 0);
    for (key, value) in pairs.clone() {
        kinds = kinds.prepend(Kind::STR).prepend(Kind::STR);
        bytes += 8 + key.len() + value.len();
    }
    let len = record::padded_len(kinds.listed_bytes() + bytes);
    let mut record = vec![0; len];
    let mut out = Encoder::new(&mut record);
    out.array(record::prefix(len, 0, record::CONTEXT));
    out.array([0; 8]);
    out.array(kinds.word().to_le_bytes());
    for _ in 0..kinds.listed_bytes() {
        out.array([Kind::STR.number()]);
    }
    for (key, value) in pairs {
        out.run(key.as_bytes());
        out.run(value.as_bytes());
    }
    record
}

/// The context that a record says; `None` where it does not.
pub(crate) fn from_record(record: &Record<'_>) -> Option<ContextInfo> {
    let (_, mut values) = record.open().ok().filter(|_| record.site == record::CONTEXT)?;
    let mut pairs = Vec::new();
    let text = |value: Value<'_>| match value {
        Value::Plain(Scalar::Str(text)) => Some(Box::from(text)),
        _ => None,
    };
    while let Some(key) = values.next() {
        pairs.push((text(key)?, text(values.next()?)?));
    }
    Some(ContextInfo { pairs: pairs.into() })
}

/// A stretch of a ring within which the context does not change.
pub(crate) struct Stretch<'a> {
    pub(crate) bytes: &'a [u8],
    /// The context from here on; `None` where it is that of before.
    pub(crate) context: Option<ContextInfo>,
}

/// Cuts whole records of one ring where the context changes. The stretches follow each other
/// without gaps; what is damaged belongs to the last one.
pub(crate) fn stretches(run: &[u8]) -> Vec<Stretch<'_>> {
    let mut stretches = Vec::new();
    let (mut from, mut context) = (0, None);
    for record in Records::new(run).map_while(Result::ok) {
        if let Some(next) = from_record(&record) {
            if record.offset > from || context.is_some() {
                stretches.push(Stretch { bytes: &run[from..record.offset], context });
            }
            (from, context) = (record.offset, Some(next));
        }
    }
    if from < run.len() {
        stretches.push(Stretch { bytes: &run[from..], context });
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Vec<u8> {
        let len = record::padded_len(0);
        let mut bytes = vec![0; len];
        bytes[..8].copy_from_slice(&record::prefix(len, 9, 16));
        bytes
    }

    #[test]
    fn a_context_survives_its_record_with_any_number_of_pairs() {
        std::thread::spawn(|| {
            for n in 0..20 {
                push(&format!("key {n}"), &"x".repeat(n)).unwrap();
                let record = to_record();
                let record = Records::new(&record).next().unwrap().unwrap();
                let context = from_record(&record).unwrap();
                assert_eq!(context.pairs.len(), n + 1);
                assert_eq!(context.get(&format!("key {n}")), Some(&*"x".repeat(n)));
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_run_is_cut_where_the_context_changes() {
        let number = push("a", "1").unwrap();
        let with = to_record();
        remove(number);
        let without = to_record();
        let run = [plain(), with.clone(), plain(), plain(), without.clone(), plain()].concat();
        let cut = stretches(&run);
        let lens: Vec<_> = cut.iter().map(|stretch| stretch.bytes.len()).collect();
        assert_eq!(lens, [24, with.len() + 48, without.len() + 24]);
        assert_eq!(cut[0].context, None);
        assert_eq!(cut[1].context.as_ref().unwrap().get("a"), Some("1"));
        assert_eq!(cut[2].context.as_ref().unwrap().pairs.len(), 0);
    }

    #[test]
    fn too_much_context_loses_its_outermost_pairs() {
        std::thread::spawn(|| {
            for n in 0..10 {
                push(&format!("key {n}"), &"x".repeat(2000)).unwrap();
            }
            let record = to_record();
            assert!(record.len() <= CONTEXT_BYTES_MAX + 64);
            let context = from_record(&Records::new(&record).next().unwrap().unwrap()).unwrap();
            assert_eq!(context.get("key 9").unwrap().len(), VALUE_BYTES_MAX);
            assert_eq!(context.get("key 0"), None);
        })
        .join()
        .unwrap();
    }
}
