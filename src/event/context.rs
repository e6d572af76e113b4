//! The context of a thread, as a reader knows it.

/// Begins the keys that are none of the MDC.
pub(crate) const RESERVED: char = '\0';
/// The key of a text of the NDC.
pub(crate) const NDC_KEY: &str = "\0ndc";

/// The diagnostic context of a thread at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextInfo {
    /// The mapped one (MDC): keys and rendered values, outermost first.
    pub pairs: Box<[(Box<str>, Box<str>)]>,
    /// The nested one (NDC): texts, outermost first.
    pub stack: Box<[Box<str>]>,
}

impl ContextInfo {
    /// The innermost value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| **name == *key).map(|(_, value)| &**value)
    }

    /// The context that these pairs of a record or a define block say: see *context* in
    /// `docs/format.md`.
    pub(crate) fn from_entries<'t>(
        entries: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> ContextInfo {
        let (mut pairs, mut stack) = (Vec::new(), Vec::new());
        for (key, text) in entries {
            match key {
                NDC_KEY => stack.push(text.into()),
                reserved if reserved.starts_with(RESERVED) => {}
                key => pairs.push((key.into(), text.into())),
            }
        }
        ContextInfo { pairs: pairs.into(), stack: stack.into() }
    }

    /// The pairs that say this context.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let texts = self.stack.iter().map(|text| (NDC_KEY, &**text));
        self.pairs.iter().map(|(key, value)| (&**key, &**value)).chain(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_may_say_is_passed_over() {
        let entries = [("a", "1"), ("\0ndc", "first"), ("\0later", "?"), ("\0", "?"), ("b", "2")];
        let context = ContextInfo::from_entries(entries);
        assert_eq!((context.get("a"), context.get("b")), (Some("1"), Some("2")));
        assert_eq!((context.pairs.len(), &*context.stack), (2, &["first".into()][..]));
        let again = ContextInfo::from_entries(context.entries());
        assert_eq!(again, context);
    }
}
