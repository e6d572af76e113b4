//! The bytes of an event: encoded at the call, walked at the reader.
//!
//! A record is a multiple of 8 bytes, little-endian:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 3 | length of the record in bytes, header and padding included |
//! | 3 | 1 | level, 1 to 24; 0 in special records |
//! | 4 | 4 | site: an id from 16 on, or one of the special numbers below |
//! | 8 | 8 | ticks of the clock at the log call, or [`AT_DRAIN`](crate::clock::AT_DRAIN) |
//! | 16 | 8 | kinds: ten of six bits from the lowest on, 0 ends; or, with the top four bits set, the number of kinds in the low 32 bits |
//! | 24 | … | with more than ten kinds, one byte each; with [`INLINE`], the [`Definition`]; then the values |
//!
//! Special sites: [`INLINE`], the definition stands in the record; [`SKIP`], nothing but padding up
//! to the end of the ring's lap (only the first 8 bytes are there for certain); [`CONTEXT`], from
//! here on the thread's events have the context given by the values.

use crate::level::Level;
use crate::site::Definition;
use crate::value::{Encoder, Kind, Value};

/// Bytes before the values.
pub const HEADER_BYTES: usize = 24;
/// Records begin at multiples of this.
pub const ALIGN: usize = 8;
/// No record is longer, whatever the configuration: 1 MiB, and then room for its header and site.
pub const MAX_BYTES: usize = (1 << 20) + (64 << 10);

/// Site number of a record that carries its definition.
pub const INLINE: u32 = 0;
/// Site number of padding.
pub const SKIP: u32 = 1;
/// Site number of a change of context.
pub const CONTEXT: u32 = 2;

/// Kinds that fit in the word.
const KINDS_IN_WORD: usize = 10;
/// The top four bits of a word that only counts the kinds.
const COUNTED: u64 = 0xf << 60;

/// Bytes of a record whose parts behind the header take `len`.
#[inline(always)]
pub const fn padded_len(len: usize) -> usize {
    (HEADER_BYTES + len + ALIGN - 1) & !(ALIGN - 1)
}

/// Writes the first eight bytes of a record.
#[inline(always)]
pub fn prefix(len: usize, level: u8, site: u32) -> [u8; 8] {
    (len as u64 & 0x00ff_ffff | u64::from(level) << 24 | u64::from(site) << 32).to_le_bytes()
}

/// Writes the 24 bytes in front of a record's values.
#[inline(always)]
pub fn put_header(
    out: &mut Encoder<'_>,
    len: usize,
    level: Level,
    site: u32,
    ticks: u64,
    kinds: u64,
) {
    out.array(prefix(len, level.number(), site));
    out.array(ticks.to_le_bytes());
    out.array(kinds.to_le_bytes());
}

/// The kinds of a list of values, built from the last to the first in constant expressions.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    low: u64,
    count: u32,
}

impl Kinds {
    /// No values.
    pub const NONE: Kinds = Kinds { low: 0, count: 0 };

    /// These kinds with `kind` in front.
    pub const fn prepend(self, kind: Kind) -> Kinds {
        let low = (self.low << Kind::BITS) & !COUNTED | kind.number() as u64;
        Kinds { low, count: self.count + 1 }
    }

    /// The word in the record's header.
    pub const fn word(self) -> u64 {
        if self.count as usize <= KINDS_IN_WORD { self.low } else { COUNTED | self.count as u64 }
    }

    /// How many values there are.
    pub const fn count(self) -> usize {
        self.count as usize
    }

    /// Bytes that the kinds take behind the header: none up to ten kinds.
    pub const fn listed_bytes(self) -> usize {
        if self.count as usize <= KINDS_IN_WORD { 0 } else { self.count as usize }
    }
}

/// The last record border in `chunk` that is at most `max` bytes in; at least one record, however
/// long. Damage is a border: what follows it is not looked at.
pub fn border(chunk: &[u8], max: usize) -> usize {
    if chunk.len() <= max {
        return chunk.len();
    }
    let mut at = 0;
    while let Some((prefix, _)) = chunk.get(at..).and_then(<[u8]>::split_first_chunk::<8>) {
        let len = (u64::from_le_bytes(*prefix) & 0x00ff_ffff) as usize;
        if len < ALIGN || at + len > chunk.len() || (at > 0 && at + len > max) {
            break;
        }
        at += len;
    }
    if at == 0 { chunk.len() } else { at }
}

/// One record inside a chunk, its frame checked, its values not yet.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where the record begins, in bytes from the start of its chunk.
    pub offset: usize,
    /// The site's id, [`INLINE`] or [`CONTEXT`].
    pub site: u32,
    /// Ticks of the clock at the log call.
    pub ticks: u64,
    level: u8,
    kinds: u64,
    /// Everything behind the header, padding included.
    body: &'a [u8],
}

/// Why bytes are not the records they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged {
    /// Where, in bytes from the start of the chunk.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "damaged record at byte {} of its chunk: {}", self.offset, self.what)
    }
}

impl std::error::Error for Damaged {}

/// Walks the records of one chunk in order. Padding is passed over.
///
/// Trusts nothing: a length that leaves the chunk ends the walk with [`Damaged`].
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    chunk: &'a [u8],
    offset: usize,
}

impl<'a> Records<'a> {
    /// Starts at the front of a chunk's bytes.
    pub fn new(chunk: &'a [u8]) -> Records<'a> {
        Records { chunk, offset: 0 }
    }

    /// Where the next record begins, or the padding in front of it.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    #[cold]
    fn damaged(&mut self, what: &'static str) -> Option<Result<Record<'a>, Damaged>> {
        let offset = std::mem::replace(&mut self.offset, self.chunk.len());
        Some(Err(Damaged { offset, what }))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damaged>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.chunk.get(self.offset..)?;
            if rest.is_empty() {
                return None;
            }
            let Some((prefix, _)) = rest.split_first_chunk::<8>() else {
                return self.damaged("fewer than 8 bytes are left");
            };
            let prefix = u64::from_le_bytes(*prefix);
            let len = (prefix & 0x00ff_ffff) as usize;
            let (level, site) = ((prefix >> 24) as u8, (prefix >> 32) as u32);
            if len > rest.len() || !len.is_multiple_of(ALIGN) || len < ALIGN {
                return self.damaged("its length does not fit the chunk");
            }
            if site == SKIP {
                self.offset += len;
                continue;
            }
            let Some((header, body)) = rest[..len].split_first_chunk::<HEADER_BYTES>() else {
                return self.damaged("it is shorter than its header");
            };
            let word = |at: usize| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&header[at..at + 8]);
                u64::from_le_bytes(bytes)
            };
            let record =
                Record { offset: self.offset, site, ticks: word(8), level, kinds: word(16), body };
            self.offset += len;
            return Some(Ok(record));
        }
    }
}

impl<'a> Record<'a> {
    /// The level of the event; `None` where the byte is no level.
    pub fn level(&self) -> Option<Level> {
        Level::from_number(self.level)
    }

    /// The values of a record that has nothing else behind its header, as most are; `None` for one
    /// to [`open`](Record::open).
    #[inline]
    pub(crate) fn values(&self) -> Option<Values<'a>> {
        let kinds = KindList { word: self.kinds, listed: &[] };
        let is_bare = self.site != INLINE && self.kinds & COUNTED != COUNTED;
        is_bare.then_some(Values { kinds, bytes: self.body, damaged: false })
    }

    /// The definition inside an [`INLINE`] record (`None` in any other), and the values.
    ///
    /// # Errors
    /// [`Damaged`] when the bytes do not hold what the kinds announce.
    pub fn open(&self) -> Result<(Option<Definition<'a>>, Values<'a>), Damaged> {
        let damaged = |what| Damaged { offset: self.offset, what };
        let mut body = self.body;
        let mut kinds = KindList { word: self.kinds, listed: &[] };
        if self.kinds & COUNTED == COUNTED {
            let count = (self.kinds & u64::from(u32::MAX)) as usize;
            let (listed, rest) =
                body.split_at_checked(count).ok_or(damaged("its kinds leave the record"))?;
            (kinds, body) = (KindList { word: 0, listed }, rest);
        }
        let mut definition = None;
        if self.site == INLINE {
            let taken = Definition::take(&mut body).ok_or(damaged("its site is not readable"))?;
            definition = Some(taken);
        }
        Ok((definition, Values { kinds, bytes: body, damaged: false }))
    }
}

#[derive(Clone, Copy, Debug)]
struct KindList<'a> {
    word: u64,
    listed: &'a [u8],
}

impl KindList<'_> {
    /// The next kind: `None` at the end, `Some(None)` for a number that is no kind.
    #[inline(always)]
    fn take(&mut self) -> Option<Option<Kind>> {
        if let [first, rest @ ..] = self.listed {
            self.listed = rest;
            return Some(Kind::from_number(*first));
        }
        let number = (self.word & 0x3f) as u8;
        self.word >>= Kind::BITS;
        (number != 0).then(|| Kind::from_number(number))
    }
}

/// The values of one record, decoded one by one.
///
/// Ends early at bytes that are not what their kind announces; [`Values::is_damaged`] tells.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    kinds: KindList<'a>,
    bytes: &'a [u8],
    damaged: bool,
}

impl<'a> Values<'a> {
    /// No values.
    pub const NONE: Values<'static> =
        Values { kinds: KindList { word: 0, listed: &[] }, bytes: &[], damaged: false };

    /// The word of kinds and the bytes, none of them looked at; `None` for more kinds than a word
    /// holds.
    #[inline(always)]
    pub(crate) fn raw(&self) -> Option<(u64, &'a [u8])> {
        self.kinds.listed.is_empty().then_some((self.kinds.word, self.bytes))
    }

    /// Whether the walk met bytes that are not what their kind announces.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Value<'a>> {
        let kind = self.kinds.take()?;
        let value = kind.and_then(|kind| Value::take(kind, &mut self.bytes));
        if value.is_none() {
            *self = Values { damaged: true, ..Values::NONE };
        }
        value
    }
}
