//! What may be asked of an event before an appender gets it.
//!
//! A filter says accept, reject or neutral. Of a chain the first one counts that is not neutral; if all
//! are, the event is accepted. Most filters here ask one question and have an answer for yes
//! (accept, unless it was changed) and one for no (reject). With [`Verdict::Neutral`] in the place
//! of one of them they leave the decision to the rest of the chain.

mod boolean;
mod category;
mod context;
mod level;
mod text;

use std::fmt;
use std::sync::Arc;

use crate::event::Event;

pub use boolean::{Boolean, BooleanError};
pub use category::Category;
pub use context::{KeyValue, Mdc};
pub use level::{LevelMatch, LevelRange};
pub use text::{Regex, RegexError, Text};

/// A question about an event.
///
/// The threads of the appenders ask, each for itself and in delivery order, so that a filter is shared
/// and has no state that depends on the order of its calls. It is asked again for events that come
/// again after a failure or a restart, and should then say the same.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::event::Event;
/// use rollway::route::filter::{Filter, LevelRange, Verdict};
///
/// fn passes(filter: &dyn Filter, event: &Event<'_>) -> bool {
///     filter.judge(event) != Verdict::Reject
/// }
/// let alarming = LevelRange::from(Level::ERROR);
/// # let _ = (passes, alarming);
/// ```
pub trait Filter: Send + Sync {
    /// What it says of the event. Must not block.
    fn judge(&self, event: &Event<'_>) -> Verdict;
}

/// What a filter says of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The event passes, whatever the filters behind would say.
    Accept,
    /// The event does not pass.
    Reject,
    /// The next filter decides; behind the last one the event passes.
    Neutral,
}

/// The two answers of a filter that asks one question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answers {
    /// If the event is as the filter asks.
    pub on_match: Verdict,
    /// If it is not.
    pub on_mismatch: Verdict,
}

impl Answers {
    /// A match passes, all else does not.
    pub const ACCEPT: Answers = Answers { on_match: Verdict::Accept, on_mismatch: Verdict::Reject };
    /// A match does not pass, all else does.
    pub const REJECT: Answers = Answers { on_match: Verdict::Reject, on_mismatch: Verdict::Accept };

    fn of(self, is_match: bool) -> Verdict {
        if is_match { self.on_match } else { self.on_mismatch }
    }
}

impl Default for Answers {
    fn default() -> Answers {
        Answers::ACCEPT
    }
}

/// The setters of a filter that asks one question.
macro_rules! answers {
    ($filter:ty) => {
        impl $filter {
            /// What it says of an event that is as it asks; by default accept.
            #[must_use]
            pub fn on_match(mut self, verdict: $crate::route::filter::Verdict) -> Self {
                self.answers.on_match = verdict;
                self
            }

            /// What it says of all other events; by default reject.
            #[must_use]
            pub fn on_mismatch(mut self, verdict: $crate::route::filter::Verdict) -> Self {
                self.answers.on_mismatch = verdict;
                self
            }

            /// The other way round: a match does not pass, all else does.
            #[must_use]
            pub fn reject(mut self) -> Self {
                self.answers = $crate::route::filter::Answers::REJECT;
                self
            }
        }
    };
}
use answers;

/// Filters one behind the other. Cheap to clone.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::route::filter::{Chain, LevelRange, Text, Verdict};
///
/// // Errors always; of the rest what does not speak of a heartbeat.
/// let chain = Chain::new()
///     .with(LevelRange::from(Level::ERROR).on_mismatch(Verdict::Neutral))
///     .with(Text::new(["heartbeat"]).reject());
/// # let _ = chain;
/// ```
#[derive(Clone, Default)]
pub struct Chain {
    filters: Vec<Arc<dyn Filter>>,
}

impl Chain {
    /// No filter: everything passes.
    pub fn new() -> Chain {
        Chain::default()
    }

    /// The same with a filter behind the others.
    #[must_use]
    pub fn with(mut self, filter: impl Filter + 'static) -> Chain {
        self.push(Arc::new(filter));
        self
    }

    /// Adds a filter behind the others that may be in other chains, too.
    pub fn push(&mut self, filter: Arc<dyn Filter>) {
        self.filters.push(filter);
    }

    /// Whether it has no filter.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether the event passes.
    pub fn passes(&self, event: &Event<'_>) -> bool {
        self.judge(event) != Verdict::Reject
    }
}

impl Filter for Chain {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        let verdicts = self.filters.iter().map(|filter| filter.judge(event));
        verdicts
            .into_iter()
            .find(|verdict| *verdict != Verdict::Neutral)
            .unwrap_or(Verdict::Neutral)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} filters", self.filters.len())
    }
}

impl<F: Filter + ?Sized> Filter for Arc<F> {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        (**self).judge(event)
    }
}

impl<F: Filter + ?Sized> Filter for Box<F> {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        (**self).judge(event)
    }
}

/// A closure as a filter.
///
/// # Examples
/// ```
/// use rollway::route::filter::{Verdict, from_fn};
///
/// let with_user = from_fn(|event| match event.context.get("user") {
///     Some(_) => Verdict::Accept,
///     None => Verdict::Reject,
/// });
/// # let _ = with_user;
/// ```
pub fn from_fn<F>(judge: F) -> FromFn<F>
where
    F: Fn(&Event<'_>) -> Verdict + Send + Sync,
{
    FromFn(judge)
}

/// The filter of [`from_fn`].
pub struct FromFn<F>(F);

impl<F> Filter for FromFn<F>
where
    F: Fn(&Event<'_>) -> Verdict + Send + Sync,
{
    fn judge(&self, event: &Event<'_>) -> Verdict {
        (self.0)(event)
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromFn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;

    fn saying(verdict: Verdict) -> impl Filter {
        from_fn(move |_| verdict)
    }

    #[test]
    fn the_first_filter_that_is_not_neutral_decides() {
        use Verdict::{Accept, Neutral, Reject};
        let mut fixture = Fixture::saying("x");
        let cases: [(&[Verdict], bool); 7] = [
            (&[], true),
            (&[Neutral], true),
            (&[Neutral, Neutral], true),
            (&[Reject], false),
            (&[Accept, Reject], true),
            (&[Neutral, Reject, Accept], false),
            (&[Neutral, Accept, Reject], true),
        ];
        for (verdicts, passes) in cases {
            let mut chain = Chain::new();
            verdicts.iter().for_each(|verdict| chain.push(Arc::new(saying(*verdict))));
            assert_eq!(chain.passes(&fixture.event()), passes, "{verdicts:?}");
        }
    }

    #[test]
    fn filters_behind_a_decision_are_not_asked() {
        let unasked = from_fn(|_| unreachable!("asked"));
        let chain = Chain::new().with(saying(Verdict::Accept)).with(unasked);
        assert!(chain.passes(&Fixture::saying("x").event()));
    }
}
