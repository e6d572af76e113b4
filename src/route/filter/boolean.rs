//! A boolean expression over named filters.

use std::fmt;
use std::sync::Arc;

use super::{Answers, Filter, Verdict, answers};
use crate::event::Event;

/// Bytes of the longest expression.
const BYTES_MAX: usize = 64 << 10;
/// Parentheses and negations inside one another. Deeper ones would need a deeper stack.
const DEPTH_MAX: u32 = 100;

/// Asks several filters and joins their answers: `!m3 && (m1 || m2)`.
///
/// `!` binds closer than `&&`, and that closer than `||`. A filter's answer is true unless it is
/// [`Verdict::Reject`]. What cannot change the result is not asked: `a && b` does not ask `b` when
/// `a` is false.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rollway::Level;
/// use rollway::route::filter::{Boolean, Filter, LevelRange, Text};
///
/// let grave: Arc<dyn Filter> = Arc::new(LevelRange::from(Level::ERROR));
/// let known: Arc<dyn Filter> = Arc::new(Text::new(["known problem"]));
/// let filters = |name: &str| match name {
///     "grave" => Some(Arc::clone(&grave)),
///     "known" => Some(Arc::clone(&known)),
///     _ => None,
/// };
/// let alarming = Boolean::parse("grave && !known", filters)?;
/// let error = Boolean::parse("grave && !unknown", filters).unwrap_err();
/// assert_eq!(error.column(), 11);
/// # Ok::<(), rollway::route::filter::BooleanError>(())
/// ```
#[derive(Clone)]
pub struct Boolean {
    text: Box<str>,
    expression: Expression,
    answers: Answers,
}

#[derive(Clone)]
enum Expression {
    Filter(Arc<dyn Filter>),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Boolean {
    /// Reads an expression. `filter` is asked for each name: letters, digits, `_` and `-`.
    ///
    /// # Errors
    /// [`BooleanError`] with the column of what is wrong.
    pub fn parse(
        text: &str,
        filter: impl Fn(&str) -> Option<Arc<dyn Filter>>,
    ) -> Result<Boolean, BooleanError> {
        let mut parser = Parser { text, at: 0, depth: 0, filter: &filter };
        if text.len() > BYTES_MAX {
            return Err(parser.error(format!("it is longer than {BYTES_MAX} bytes")));
        }
        let expression = parser.any()?;
        if parser.peek().is_some() {
            return Err(parser.unexpected("`&&`, `||` or the end"));
        }
        Ok(Boolean { text: text.into(), expression, answers: Answers::default() })
    }
}

answers!(Boolean);

impl Filter for Boolean {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        self.answers.of(self.expression.is_true(event))
    }
}

impl fmt::Debug for Boolean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Boolean").field(&self.text).finish()
    }
}

impl Expression {
    fn is_true(&self, event: &Event<'_>) -> bool {
        match self {
            Expression::Filter(filter) => filter.judge(event) != Verdict::Reject,
            Expression::Not(inner) => !inner.is_true(event),
            Expression::All(inner) => inner.iter().all(|inner| inner.is_true(event)),
            Expression::Any(inner) => inner.iter().any(|inner| inner.is_true(event)),
        }
    }
}

/// A boolean expression cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BooleanError {
    column: usize,
    what: String,
}

impl BooleanError {
    /// Where, in characters from 1 on.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong there.
    #[cfg(feature = "config")]
    pub(crate) fn problem(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for BooleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)
    }
}

impl std::error::Error for BooleanError {}

/// Reads from left to right; each method takes what it is named after.
struct Parser<'a, F> {
    text: &'a str,
    at: usize,
    depth: u32,
    filter: &'a F,
}

impl<F: Fn(&str) -> Option<Arc<dyn Filter>>> Parser<'_, F> {
    fn any(&mut self) -> Result<Expression, BooleanError> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(join(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, BooleanError> {
        let mut parts = vec![self.one()?];
        while self.take("&&") {
            parts.push(self.one()?);
        }
        Ok(join(parts, Expression::All))
    }

    fn one(&mut self) -> Result<Expression, BooleanError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(format!("more than {DEPTH_MAX} `!` and `(` inside one another")));
        }
        self.depth += 1;
        let one = if self.take("!") {
            Expression::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err(self.unexpected("`&&`, `||` or `)`"));
            }
            inner
        } else {
            self.name()?
        };
        self.depth -= 1;
        Ok(one)
    }

    fn name(&mut self) -> Result<Expression, BooleanError> {
        let is_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        self.peek();
        let rest = &self.text[self.at..];
        let name = &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())];
        if name.is_empty() {
            return Err(self.unexpected("the name of a filter, `!` or `(`"));
        }
        let Some(filter) = (self.filter)(name) else {
            return Err(self.error(format!("there is no filter `{name}`")));
        };
        self.at += name.len();
        Ok(Expression::Filter(filter))
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.peek();
        let is_next = self.text[self.at..].starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn unexpected(&mut self, wanted: &str) -> BooleanError {
        let what = match self.peek() {
            Some(found) => format!("`{found}` stands where {wanted} was expected"),
            None => format!("it ends where {wanted} was expected"),
        };
        self.error(what)
    }

    fn error(&self, what: String) -> BooleanError {
        BooleanError { column: self.text[..self.at].chars().count() + 1, what }
    }
}

fn join(mut parts: Vec<Expression>, joined: impl Fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            joined(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::route::filter::{Regex, from_fn};

    fn texts(name: &str) -> Option<Arc<dyn Filter>> {
        let expression = match name {
            "M1" => "let this through",
            "M2" => "and that, too",
            "M3" => "suppress",
            _ => return None,
        };
        Some(Arc::new(Regex::new(expression).unwrap()))
    }

    #[test]
    fn negation_binds_closer_than_and_and_that_closer_than_or() {
        let filter = Boolean::parse("!M3 && (M1 || M2)", texts).unwrap();
        let passes = |message| filter.judge(&Fixture::saying(message).event()) == Verdict::Accept;
        assert!(passes("let this through"));
        assert!(passes("and that, too"));
        assert!(!passes("suppress"));
        assert!(!passes("let this through, but suppress it"));
        assert!(!passes("and something else"));
    }

    /// Truth tables against the rules of precedence, each written out with parentheses.
    #[test]
    fn every_expression_means_what_its_parentheses_would_say() {
        let value = |bits: u32| {
            move |name: &str| -> Option<Arc<dyn Filter>> {
                let bit = "abc".find(name)?;
                let verdict = if bits >> bit & 1 == 1 { Verdict::Neutral } else { Verdict::Reject };
                Some(Arc::new(from_fn(move |_| verdict)))
            }
        };
        let mut fixture = Fixture::saying("x");
        type Truth = fn(bool, bool, bool) -> bool;
        let cases: [(&str, Truth); 6] = [
            ("a || b && c", |a, b, c| a || (b && c)),
            ("a && b || c", |a, b, c| (a && b) || c),
            ("!a && b", |a, b, _| !a && b),
            ("!(a && b)", |a, b, _| !(a && b)),
            ("!!a||!b&&!c", |a, b, c| a || (!b && !c)),
            (" ( a|| b )&&c ", |a, b, c| (a || b) && c),
        ];
        for (text, truth) in cases {
            for bits in 0..8 {
                let filter = Boolean::parse(text, value(bits)).unwrap();
                let expected = truth(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                let verdict = filter.judge(&fixture.event());
                assert_eq!(verdict == Verdict::Accept, expected, "{text} with {bits:03b}");
            }
        }
    }

    #[test]
    fn what_cannot_change_the_result_is_not_asked() {
        thread_local!(static ASKED: RefCell<String> = const { RefCell::new(String::new()) });
        let filter = |name: &str| -> Option<Arc<dyn Filter>> {
            let name = name.to_owned();
            Some(Arc::new(from_fn(move |_| {
                ASKED.with_borrow_mut(|asked| asked.push_str(&name));
                if name == "f" { Verdict::Reject } else { Verdict::Accept }
            })))
        };
        for (text, asked) in [("t || f", "t"), ("f && t", "f"), ("f || t || t", "ft")] {
            let boolean = Boolean::parse(text, filter).unwrap();
            boolean.judge(&Fixture::saying("x").event());
            assert_eq!(ASKED.take(), asked, "{text}");
        }
    }

    #[test]
    fn an_error_names_its_column() {
        for (text, message) in [
            ("", "column 1: it ends where the name of a filter, `!` or `(` was expected"),
            ("M1 &&", "column 6: it ends where the name of a filter, `!` or `(` was expected"),
            ("M1 & M2", "column 4: `&` stands where `&&`, `||` or the end was expected"),
            ("(M1 || M2", "column 10: it ends where `&&`, `||` or `)` was expected"),
            ("M1 M2", "column 4: `M` stands where `&&`, `||` or the end was expected"),
            ("M1 || é", "column 7: there is no filter `é`"),
            ("M1)", "column 3: `)` stands where `&&`, `||` or the end was expected"),
        ] {
            assert_eq!(Boolean::parse(text, texts).unwrap_err().to_string(), message, "{text}");
        }
        let deep = "(".repeat(10_000);
        assert!(Boolean::parse(&deep, texts).unwrap_err().to_string().contains("100"));
        assert!(Boolean::parse(&" ".repeat(70_000), texts).is_err());
    }
}
