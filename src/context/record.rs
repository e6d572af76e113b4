//! The record of a context, and the stretches of a ring between two of them.

use crate::event::ContextInfo;
use crate::record::{self, Kinds, Record, Records};
use crate::value::{Encoder, Kind, Scalar, Value};

/// The record that says this context.
pub(crate) fn info_to_record(context: &ContextInfo) -> Vec<u8> {
    encode(context.entries())
}

pub(super) fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<u8> {
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
    let mut entries = Vec::new();
    while let Some(key) = values.next() {
        entries.push((text(key)?, text(values.next()?)?));
    }
    Some(ContextInfo::from_entries(entries))
}

fn text(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Plain(Scalar::Str(text)) => Some(text),
        _ => None,
    }
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

    fn context(texts: &[&str]) -> ContextInfo {
        ContextInfo {
            pairs: [("a".into(), "1".into())].into(),
            stack: texts.iter().map(|text| Box::from(*text)).collect(),
        }
    }

    #[test]
    fn a_context_survives_its_record_with_any_number_of_texts() {
        for n in 0..20 {
            let info = context(&vec!["text"; n]);
            let record = info_to_record(&info);
            let record = Records::new(&record).next().unwrap().unwrap();
            assert_eq!(from_record(&record), Some(info));
        }
    }

    #[test]
    fn a_run_is_cut_where_the_context_changes() {
        let (with, without) = (info_to_record(&context(&["b"])), encode(std::iter::empty()));
        let run = [plain(), with.clone(), plain(), plain(), without.clone(), plain()].concat();
        let cut = stretches(&run);
        let lens: Vec<_> = cut.iter().map(|stretch| stretch.bytes.len()).collect();
        assert_eq!(lens, [24, with.len() + 48, without.len() + 24]);
        assert_eq!(cut[0].context, None);
        assert_eq!(cut[1].context, Some(context(&["b"])));
        assert_eq!(cut[2].context, Some(ContextInfo::default()));
    }

    #[test]
    fn a_record_of_a_later_form_changes_nothing() {
        let mut later = encode([("key", "value")].into_iter());
        // The second value is a number now.
        later[16..24].copy_from_slice(
            &Kinds::NONE.prepend(Kind::U32).prepend(Kind::STR).word().to_le_bytes(),
        );
        let run = [plain(), later, plain()].concat();
        let cut = stretches(&run);
        assert_eq!(cut.len(), 1);
        assert_eq!((cut[0].bytes, &cut[0].context), (&*run, &None));
    }
}
