//! The first two frames of a connection.
//!
//! A fixed preamble says which versions the sender speaks and in which flavour its archives are: what
//! decides whether the rest can be read stands in front of it. The rest is one rkyv archive, which
//! is checked before it is used.

use rkyv::rancor::Failure;
use rkyv::util::AlignedVec;

use super::frame::MAX_PAIRS;
use super::reason::{Farewell, Reason};
use super::{Versions, array, cut, schema};
use crate::block::header::{FLAVOUR, FORMAT_VERSION};

/// Bytes in front of the archive, a multiple of its alignment.
const PREAMBLE_BYTES: usize = 16;
/// Names are cut behind this many bytes.
const MAX_NAME_BYTES: usize = 255;

/// What an acknowledgement of a master means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub enum AckLevel {
    /// In the master's memory: its journal has no directory.
    Memory,
    /// In the master's journal (L1): the master being killed does not lose it.
    #[default]
    Committed,
    /// Covered by a successful fdatasync of the master (L2).
    Synced,
}

impl AckLevel {
    fn number(self) -> u8 {
        self as u8
    }

    fn from_number(number: u8) -> Option<AckLevel> {
        [AckLevel::Memory, AckLevel::Committed, AckLevel::Synced].get(usize::from(number)).copied()
    }
}

/// How a worker introduces itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Whose journal it ships.
    pub source: u128,
    /// The newest run in it.
    pub epoch: u64,
    /// The oldest run that it still holds: the master need not remember older ones. 0 from whoever
    /// has only a part of the source's journal.
    pub oldest_epoch: u64,
    /// The term of its election, 0 without one. Decides between two owners of the same run.
    pub term: u64,
    /// Bytes that it wants to have under way at most.
    pub window_bytes: u64,
    /// The process id.
    pub pid: u32,
    /// The name of the service, cut after 255 bytes.
    pub service: String,
    /// The machine's host name, cut after 255 bytes.
    pub host: String,
}

impl Hello {
    /// The body of the frame.
    pub fn encode(&self) -> AlignedVec {
        archive(
            Versions::spoken(),
            &schema::HelloBody {
                source_low: self.source as u64,
                source_high: (self.source >> 64) as u64,
                epoch: self.epoch,
                oldest_epoch: self.oldest_epoch,
                term: self.term,
                window_bytes: self.window_bytes,
                pid: self.pid,
                service: cut(&self.service, MAX_NAME_BYTES).to_owned(),
                host: cut(&self.host, MAX_NAME_BYTES).to_owned(),
            },
        )
    }

    /// Reads the body of the frame, which need not be trusted, and chooses the greatest version that
    /// both sides speak. `body` is aligned to 16 bytes.
    ///
    /// # Errors
    /// What to tell the worker: [`Reason::Version`], [`Reason::Format`], or [`Reason::Damaged`].
    pub fn decode(body: &[u8]) -> Result<(u8, Hello), Farewell> {
        let (offered, rest) = preamble(body)?;
        let version = choose(offered)?;
        let body = access::<schema::ArchivedHelloBody>(rest)?;
        let name = |name: &str| cut(name, MAX_NAME_BYTES).to_owned();
        let hello = Hello {
            source: u128::from(body.source_high.to_native()) << 64
                | u128::from(body.source_low.to_native()),
            epoch: body.epoch.to_native(),
            oldest_epoch: body.oldest_epoch.to_native(),
            term: body.term.to_native(),
            window_bytes: body.window_bytes.to_native(),
            pid: body.pid.to_native(),
            service: name(&body.service),
            host: name(&body.host),
        };
        if hello.oldest_epoch > hello.epoch {
            return Err(Farewell::new(
                Reason::Damaged,
                "the oldest epoch is newer than the newest",
            ));
        }
        Ok((version, hello))
    }
}

/// How a master answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The version that both sides speak from here on.
    pub version: u8,
    /// What its acknowledgements mean.
    pub level: AckLevel,
    /// Bytes that may be under way at most.
    pub window_bytes: u64,
    /// The greatest stored sequence of each run of this source, as (epoch, sequence), the newest
    /// 4,096 of them in ascending order.
    pub marks: Vec<(u64, u64)>,
}

impl Welcome {
    /// The body of the frame.
    pub fn encode(&self) -> AlignedVec {
        let newest = &self.marks[self.marks.len().saturating_sub(MAX_PAIRS)..];
        let mark =
            |(epoch, sequence): &(u64, u64)| schema::Mark { epoch: *epoch, sequence: *sequence };
        archive(
            Versions { min: self.version, max: self.version },
            &schema::WelcomeBody {
                window_bytes: self.window_bytes,
                level: self.level.number(),
                marks: newest.iter().map(mark).collect(),
            },
        )
    }

    /// Reads the body of the frame, which need not be trusted. `body` is aligned to 16 bytes.
    ///
    /// # Errors
    /// Why it is no answer: as [`Hello::decode`].
    pub fn decode(body: &[u8]) -> Result<Welcome, Farewell> {
        let (offered, rest) = preamble(body)?;
        let version = choose(offered)?;
        let body = access::<schema::ArchivedWelcomeBody>(rest)?;
        let level = AckLevel::from_number(body.level);
        let level = level.ok_or_else(|| Farewell::new(Reason::Damaged, "the level is no level"))?;
        let mark =
            |mark: &schema::ArchivedMark| (mark.epoch.to_native(), mark.sequence.to_native());
        let mut marks: Vec<_> = body.marks.iter().map(mark).collect();
        marks.sort_unstable();
        Ok(Welcome { version, level, window_bytes: body.window_bytes.to_native(), marks })
    }
}

/// The body of an acknowledgement: everything of each epoch up to its sequence is stored.
pub fn encode_ack(level: AckLevel, pairs: &[(u64, u64)]) -> Vec<u8> {
    let mut out = vec![level.number(), 0, 0, 0, 0, 0, 0, 0];
    for (epoch, sequence) in pairs.iter().take(MAX_PAIRS) {
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(&sequence.to_le_bytes());
    }
    out
}

/// Reads the body of an acknowledgement; `None` when it is none.
pub fn decode_ack(body: &[u8]) -> Option<(AckLevel, impl Iterator<Item = (u64, u64)>)> {
    let (front, pairs) = body.split_first_chunk::<8>()?;
    let level = AckLevel::from_number(front[0])?;
    let (pairs, rest) = pairs.as_chunks::<16>();
    let word = |pair: &[u8; 16], at| u64::from_le_bytes(array(pair, at));
    let pairs = pairs.iter().map(move |pair| (word(pair, 0), word(pair, 8)));
    (rest.is_empty() && front[1..] == [0; 7]).then_some((level, pairs))
}

fn preamble(body: &[u8]) -> Result<(Versions, &[u8]), Farewell> {
    let damaged = |what| Farewell::new(Reason::Damaged, what);
    let (front, rest) = body
        .split_first_chunk::<PREAMBLE_BYTES>()
        .ok_or_else(|| damaged("the handshake is cut short"))?;
    let [min, max, format, flavour] = array(front, 0);
    let offered = Versions { min, max };
    choose(offered)?;
    if (format, flavour) != (FORMAT_VERSION, FLAVOUR) {
        let words = format!(
            "format version {format}, flavour {flavour} offered; this side reads format version \
             {FORMAT_VERSION}, flavour {FLAVOUR}: run the same release on both sides"
        );
        return Err(Farewell::new(Reason::Format, words));
    }
    if front[4..] != [0; PREAMBLE_BYTES - 4] {
        return Err(damaged("reserved bytes of the handshake are set"));
    }
    Ok((offered, rest))
}

/// The greatest version that both sides speak.
fn choose(offered: Versions) -> Result<u8, Farewell> {
    let spoken = Versions::spoken();
    spoken.common(offered).ok_or_else(|| {
        let words = format!(
            "protocol versions {offered} offered; this side speaks {spoken}: run the same release \
             on both sides"
        );
        Farewell::new(Reason::Version, words)
    })
}

fn archive<T>(versions: Versions, body: &T) -> AlignedVec
where
    T: for<'a> rkyv::Serialize<
            rkyv::api::high::HighSerializer<
                AlignedVec,
                rkyv::ser::allocator::ArenaHandle<'a>,
                Failure,
            >,
        >,
{
    let mut out: AlignedVec = AlignedVec::new();
    out.extend_from_slice(&[versions.min, versions.max, FORMAT_VERSION, FLAVOUR]);
    out.resize(PREAMBLE_BYTES, 0);
    // Archiving into memory fails only past 4 GiB; names and marks are bounded far below.
    rkyv::api::high::to_bytes_in::<_, Failure>(body, out).unwrap_or_default()
}

fn access<'a, T>(archive: &'a [u8]) -> Result<&'a T, Farewell>
where
    T: rkyv::Portable
        + for<'b> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'b, Failure>>,
{
    rkyv::access::<T, Failure>(archive).map_err(|Failure| {
        Farewell::new(Reason::Damaged, "the archive of the handshake does not validate")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::FrameKind;

    fn hello() -> Hello {
        Hello {
            source: 3 << 90 | 4,
            epoch: 9,
            oldest_epoch: 7,
            term: 2,
            window_bytes: 1 << 20,
            pid: 77,
            service: "billing".to_owned(),
            host: "häuser-1".to_owned(),
        }
    }

    #[test]
    fn both_sides_understand_each_other() {
        assert_eq!(Hello::decode(&hello().encode()), Ok((Versions::BUILT.max, hello())));
        let welcome = Welcome {
            version: Versions::BUILT.max,
            level: AckLevel::Synced,
            window_bytes: 5,
            marks: vec![(1, 2), (3, 4)],
        };
        assert_eq!(Welcome::decode(&welcome.encode()), Ok(welcome));
    }

    #[test]
    fn the_greatest_handshake_fits_its_frame() {
        let name = "x".repeat(10_000);
        let hello = Hello { service: name.clone(), host: name, ..hello() }.encode();
        assert!(hello.len() <= FrameKind::Hello.body_bytes().1, "{}", hello.len());
        let marks = (0..10_000).map(|epoch| (epoch, 1)).collect();
        let welcome =
            Welcome { version: 1, level: AckLevel::Memory, window_bytes: 1, marks }.encode();
        assert!(welcome.len() <= FrameKind::Welcome.body_bytes().1, "{}", welcome.len());
        let marks = Welcome::decode(&welcome).unwrap().marks;
        assert_eq!((marks.len(), marks.last()), (MAX_PAIRS, Some(&(9999, 1))));
    }

    #[test]
    fn another_version_is_refused_with_both_ranges() {
        for (min, max) in [(3, 9), (0, 0), (9, 3)] {
            let mut body = hello().encode();
            body[0..2].copy_from_slice(&[min, max]);
            let refused = Hello::decode(&body).unwrap_err();
            assert_eq!(refused.reason, Reason::Version, "{min} to {max}");
            assert!(refused.words.contains(&format!("{min} to {max}")), "{}", refused.words);
        }
        let mut wider = hello().encode();
        wider[0..2].copy_from_slice(&[0, 200]);
        assert_eq!(Hello::decode(&wider).unwrap().0, Versions::BUILT.max);
    }

    #[test]
    fn another_flavour_is_refused_before_the_archive_is_looked_at() {
        let mut body = hello().encode();
        body[3] = FLAVOUR + 1;
        body[PREAMBLE_BYTES..].fill(0xff);
        assert_eq!(Hello::decode(&body).unwrap_err().reason, Reason::Format);
    }

    #[test]
    fn a_hostile_handshake_is_an_error_and_nothing_else() {
        let valid = hello().encode();
        // What validates without its checksum has another content; it may not do more than that.
        let bounded = |body: &[u8]| {
            Hello::decode(body).map_or(true, |(_, hello)| {
                hello.service.len() <= MAX_NAME_BYTES && hello.oldest_epoch <= hello.epoch
            })
        };
        for len in 0..valid.len() {
            let mut short: AlignedVec = AlignedVec::new();
            short.extend_from_slice(&valid[..len]);
            assert!(bounded(&short), "cut after {len} bytes");
            assert!(len >= 64 || Hello::decode(&short).is_err(), "cut after {len} bytes");
            // At any alignment.
            assert!(bounded(&valid[valid.len() - len..]), "{len} bytes from the end");
        }
        for at in 0..valid.len() {
            for bit in 0..8 {
                let mut flipped = valid.clone();
                flipped[at] ^= 1 << bit;
                assert!(bounded(&flipped), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn an_acknowledgement_is_read_as_it_was_written() {
        let body = encode_ack(AckLevel::Committed, &[(1, 2), (3, u64::MAX)]);
        let (level, pairs) = decode_ack(&body).unwrap();
        assert_eq!(
            (level, pairs.collect::<Vec<_>>()),
            (AckLevel::Committed, vec![(1, 2), (3, u64::MAX)])
        );
        for len in (0..body.len()).filter(|len| len % 16 != 8) {
            assert!(decode_ack(&body[..len]).is_none(), "{len} bytes");
        }
        assert!(decode_ack(&[9, 0, 0, 0, 0, 0, 0, 0]).is_none());
    }
}
