//! Why a connection ends, in a form that every version can read.

use std::fmt;

use super::{Versions, cut};
use crate::block::header::{FLAVOUR, FORMAT_VERSION};

/// Bytes in front of the words.
const FRONT_BYTES: usize = 8;
/// Words are cut behind this many bytes.
const MAX_WORDS_BYTES: usize = 512;

/// Why a connection ends. Reasons differ where the worker's reaction differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "docs/protocol.md has the table")]
pub enum Reason {
    Done,
    NotAClient,
    Version,
    Format,
    Limits,
    Fenced,
    Damaged,
    Late,
    Stopping,
    Superseded,
    /// One that a later version has.
    Other(u8),
}

impl Reason {
    const ALL: [Reason; 10] = [
        Reason::Done,
        Reason::NotAClient,
        Reason::Version,
        Reason::Format,
        Reason::Limits,
        Reason::Fenced,
        Reason::Damaged,
        Reason::Late,
        Reason::Stopping,
        Reason::Superseded,
    ];

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Reason::Other(number) => number,
            // The table has every other one.
            known => {
                Reason::ALL.iter().position(|reason| *reason == known).map_or(0, |at| at as u8 + 1)
            }
        }
    }

    fn from_number(number: u8) -> Reason {
        let known = usize::from(number).checked_sub(1).and_then(|at| Reason::ALL.get(at));
        known.copied().unwrap_or(Reason::Other(number))
    }

    /// Whether only somebody's action can remove the cause, so that frequent attempts are in vain.
    pub fn is_lasting(self) -> bool {
        matches!(self, Reason::Version | Reason::Format | Reason::Fenced | Reason::Superseded)
    }
}

/// The body of a refusal and of a bye.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Farewell {
    /// Why.
    pub reason: Reason,
    /// The same for a person: at most 512 bytes, without control characters.
    pub words: String,
}

impl Farewell {
    /// A reason with words.
    pub fn new(reason: Reason, words: impl fmt::Display) -> Farewell {
        let words = words.to_string();
        Farewell { reason, words: cut(&words, MAX_WORDS_BYTES).to_owned() }
    }

    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let spoken = Versions::spoken();
        let mut out = vec![self.reason.number(), spoken.min, spoken.max];
        out.extend_from_slice(&[FORMAT_VERSION, FLAVOUR, 0, 0, 0]);
        out.extend_from_slice(cut(&self.words, MAX_WORDS_BYTES).as_bytes());
        out
    }

    /// Reads the body of a frame. What is no text in it is replaced: the other side is not trusted,
    /// and the words may end up on a terminal.
    pub fn decode(body: &[u8]) -> Farewell {
        let reason = Reason::from_number(body.first().copied().unwrap_or(0));
        let words = String::from_utf8_lossy(body.get(FRONT_BYTES..).unwrap_or(&[]));
        let readable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let words: String = words.chars().map(readable).collect();
        Farewell::new(reason, words)
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.words.as_str(), self.reason) {
            ("", Reason::Other(number)) => write!(f, "reason {number}"),
            ("", reason) => write!(f, "{reason:?}"),
            (words, _) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_understood_by_the_other_side() {
        for number in 0..=u8::MAX {
            assert_eq!(Reason::from_number(number).number(), number);
        }
        for reason in Reason::ALL {
            let farewell = Farewell::new(reason, format_args!("because of {reason:?}"));
            assert_eq!(Farewell::decode(&farewell.encode()), farewell);
        }
    }

    #[test]
    fn hostile_words_stay_short_and_harmless() {
        let mut body = vec![7; FRONT_BYTES];
        body.extend_from_slice(b"\x1b[2J\r\n\xff");
        body.extend_from_slice("ä".repeat(600).as_bytes());
        let farewell = Farewell::decode(&body);
        assert!(farewell.words.len() <= MAX_WORDS_BYTES);
        assert!(!farewell.words.contains(char::is_control));
        assert_eq!(Farewell::decode(&[]), Farewell::new(Reason::Other(0), ""));
        assert_eq!(Farewell::decode(&[99; 8]).to_string(), "reason 99");
    }
}
