//! What is logged.

use std::hint::black_box;

use crate::peers::Peer;

/// What one event is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `u64`, `i32`, `f64` and a text of eight bytes.
    Mixed4,
    /// Two `i32`.
    Int2,
    /// One text of 100 bytes.
    Str100,
}

/// Where the events are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A text file of the process that logs.
    Text,
    /// Its journal.
    Journal,
    /// A text file of another process.
    Tcp,
}

const SYMBOLS: [&str; 8] = [
    "ABCDEFGH", "IJKLMNOP", "QRSTUVWX", "YZABCDEF", "GHIJKLMN", "OPQRSTUV", "WXYZABCD", "EFGHIJKL",
];

const TEXT: &str = "\
    the quick brown fox jumps over the lazy dog and the lazy dog lets it, since it is quick and is brown";

impl Case {
    pub const ALL: [Case; 3] = [Case::Mixed4, Case::Int2, Case::Str100];

    pub fn name(self) -> &'static str {
        match self {
            Case::Mixed4 => "mixed4",
            Case::Int2 => "int2",
            Case::Str100 => "str100",
        }
    }

    pub fn of_name(name: &str) -> Option<Case> {
        Case::ALL.into_iter().find(|case| case.name() == name)
    }

    /// What is in each line of an event, and in no other line that a peer writes.
    pub fn marker(self) -> &'static str {
        match self {
            Case::Mixed4 => " filled qty ",
            Case::Int2 => " qty ",
            Case::Str100 => &TEXT[..32],
        }
    }

    /// Logs the events of these numbers. The choice is made once, not for each event.
    #[inline(always)]
    pub fn log<P: Peer>(self, peer: &P, numbers: std::ops::Range<u64>) {
        match self {
            Case::Mixed4 => numbers.for_each(|n| {
                let (qty, px, sym) = mixed4(n);
                peer.mixed4(black_box(n), black_box(qty), black_box(px), black_box(sym));
            }),
            Case::Int2 => numbers.for_each(|n| {
                peer.int2(black_box(n as i32), black_box((n % 1000) as i32));
            }),
            Case::Str100 => numbers.for_each(|_| peer.text(black_box(TEXT))),
        }
    }
}

/// The quantity, price and symbol of an order.
pub fn mixed4(order: u64) -> (i32, f64, &'static str) {
    let px = 100.0 + (order % 4096) as f64 * 0.25;
    ((order % 1000) as i32, px, SYMBOLS[(order % 8) as usize])
}

impl Output {
    pub fn name(self) -> &'static str {
        match self {
            Output::Text => "text",
            Output::Journal => "journal",
            Output::Tcp => "tcp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_text_has_100_bytes() {
        assert_eq!(TEXT.len(), 100);
    }
}
