//! Frames: a header of 16 bytes and a body, put together from whatever pieces arrive.

use std::fmt;

use rkyv::util::AlignedVec;

use super::{Versions, array};
use crate::block::header::{
    BlockError, BlockHeader, HEADER_BYTES as BLOCK_HEADER_BYTES, MAX_BLOCK_BYTES,
};

/// Bytes of a frame header, in every version.
pub const HEADER_BYTES: usize = 16;
/// A frame of blocks is closed when its blocks pass this many bytes.
pub const BLOCKS_BYTES: usize = 256 << 10;
/// No body is longer: blocks of 256 KiB, and then one of the greatest size.
pub const MAX_BODY_BYTES: usize = BLOCKS_BYTES + MAX_BLOCK_BYTES;
/// Pairs in one acknowledgement, and marks in a welcome.
pub const MAX_PAIRS: usize = 4096;

/// A flag of a frame of blocks: another master may have them, too.
const ELSEWHERE: u16 = 1;

const MAGIC: [u8; 4] = *b"RWFR";
/// The room for a body begins with this much and doubles as the bytes arrive.
const GROWTH_BYTES: usize = 64 << 10;

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "docs/protocol.md has the table")]
pub enum FrameKind {
    Hello,
    Welcome,
    Refuse,
    Blocks,
    Ack,
    Ping,
    Bye,
}

impl FrameKind {
    const ALL: [FrameKind; 7] = [
        FrameKind::Hello,
        FrameKind::Welcome,
        FrameKind::Refuse,
        FrameKind::Blocks,
        FrameKind::Ack,
        FrameKind::Ping,
        FrameKind::Bye,
    ];

    /// Its number in the header.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    fn from_number(number: u8) -> Option<FrameKind> {
        FrameKind::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The least and the greatest length of its body.
    pub fn body_bytes(self) -> (usize, usize) {
        match self {
            FrameKind::Hello => (16, 4096),
            FrameKind::Welcome => (16, 72 << 10),
            FrameKind::Refuse | FrameKind::Bye => (8, 520),
            FrameKind::Blocks => (BLOCK_HEADER_BYTES, MAX_BODY_BYTES),
            FrameKind::Ack => (24, 8 + 16 * MAX_PAIRS),
            FrameKind::Ping => (0, 0),
        }
    }

    /// Whether frames of this kind are read whatever version they name.
    fn is_in_every_version(self) -> bool {
        matches!(self, FrameKind::Hello | FrameKind::Welcome | FrameKind::Refuse | FrameKind::Bye)
    }
}

/// A whole frame.
#[derive(Debug)]
pub struct Frame {
    /// What it is for.
    pub kind: FrameKind,
    /// Of blocks: another master may have them, too.
    pub is_elsewhere: bool,
    /// Its body, aligned to 16 bytes.
    pub body: AlignedVec,
}

/// Why bytes are not a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names carry their units")]
pub enum FrameError {
    /// The bytes do not begin with the magic. `like` says what they may be.
    Foreign { like: &'static str },
    /// A frame of another version than the handshake has chosen.
    Version { found: u8, expected: Versions },
    /// A type that this version does not have.
    Kind { found: u8 },
    /// A body that is shorter or longer than its type allows.
    Length { kind: FrameKind, found: usize, min: usize, max: usize },
    /// Reserved bits are set.
    Reserved,
    /// The checksum does not match.
    Checksum { expected: u32, found: u32 },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Foreign { like } => {
                write!(f, "not a frame of the rollway protocol; it looks like {like}")
            }
            FrameError::Version { found, expected } => {
                write!(f, "a frame of protocol version {found}; {expected} expected")
            }
            FrameError::Kind { found } => write!(f, "a frame of the unknown type {found}"),
            FrameError::Length { kind, found, min, max } => {
                write!(f, "a {kind:?} frame of {found} bytes; it has {min} to {max}")
            }
            FrameError::Reserved => write!(f, "a frame with reserved bits set"),
            FrameError::Checksum { expected, found } => {
                write!(f, "a frame with checksum {found:#010x}, {expected:#010x} expected")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// A header whose fields are within their limits.
#[derive(Clone, Copy)]
struct Header {
    kind: FrameKind,
    is_elsewhere: bool,
    body_bytes: usize,
    checksum: u32,
}

impl Header {
    fn decode(bytes: &[u8; HEADER_BYTES], versions: Versions) -> Result<Header, FrameError> {
        if bytes[0..4] != MAGIC {
            return Err(FrameError::Foreign { like: looks_like(bytes) });
        }
        let kind = FrameKind::from_number(bytes[5]).ok_or(FrameError::Kind { found: bytes[5] })?;
        let version = bytes[4];
        if !versions.contains(version) && !kind.is_in_every_version() {
            return Err(FrameError::Version { found: version, expected: versions });
        }
        let flags = u16::from_le_bytes(array(bytes, 6));
        let may_be_elsewhere = kind == FrameKind::Blocks && version >= Versions::WITH_ELSEWHERE;
        if flags & !(if may_be_elsewhere { ELSEWHERE } else { 0 }) != 0 {
            return Err(FrameError::Reserved);
        }
        let body_bytes = u32::from_le_bytes(array(bytes, 8)) as usize;
        let (min, max) = kind.body_bytes();
        if !(min..=max).contains(&body_bytes) {
            return Err(FrameError::Length { kind, found: body_bytes, min, max });
        }
        let checksum = u32::from_le_bytes(array(bytes, 12));
        let header = Header { kind, is_elsewhere: flags != 0, body_bytes, checksum };
        if kind == FrameKind::Blocks {
            header.compare(crc32c::crc32c(&bytes[..12]))?;
        }
        Ok(header)
    }

    fn compare(&self, found: u32) -> Result<(), FrameError> {
        let expected = self.checksum;
        if expected == found { Ok(()) } else { Err(FrameError::Checksum { expected, found }) }
    }
}

/// Makes the header of a frame with this body. Of blocks, only the length is looked at.
pub fn header(version: u8, kind: FrameKind, body: &[u8]) -> [u8; HEADER_BYTES] {
    let covered = if kind == FrameKind::Blocks { &[] } else { body };
    header_of([version, kind.number()], 0, body.len(), covered)
}

/// Makes the header of a frame of blocks that have this many bytes together. That they are
/// elsewhere, too, is said where `version` can.
pub fn blocks_header(version: u8, is_elsewhere: bool, body_bytes: usize) -> [u8; HEADER_BYTES] {
    let is_said = is_elsewhere && version >= Versions::WITH_ELSEWHERE;
    let flags = if is_said { ELSEWHERE } else { 0 };
    header_of([version, FrameKind::Blocks.number()], flags, body_bytes, &[])
}

fn header_of(
    version_and_kind: [u8; 2],
    flags: u16,
    body_bytes: usize,
    covered: &[u8],
) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..4].copy_from_slice(&MAGIC);
    out[4..6].copy_from_slice(&version_and_kind);
    out[6..8].copy_from_slice(&flags.to_le_bytes());
    out[8..12].copy_from_slice(&(body_bytes as u32).to_le_bytes());
    let front = crc32c::crc32c(&out[..12]);
    out[12..16].copy_from_slice(&crc32c::crc32c_append(front, covered).to_le_bytes());
    out
}

/// A whole frame as bytes, of the greatest version that this process speaks.
pub fn encode(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    encode_in(Versions::spoken().max, kind, body)
}

/// A whole frame of this version as bytes.
pub fn encode_in(version: u8, kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&header(version, kind, body));
    out.extend_from_slice(body);
    out
}

/// Puts frames together from the pieces in which they arrive.
///
/// Read into [`FrameReader::space`], then say with [`FrameReader::advance`] how much came. It never
/// reads past the end of a frame.
///
/// # Examples
/// ```
/// use rollway::net::{FrameKind, FrameReader, frame};
/// let mut wire = &frame::encode(FrameKind::Ping, &[])[..];
/// let mut reader = FrameReader::new();
/// let frame = loop {
///     let count = std::io::Read::read(&mut wire, reader.space())?;
///     if let Some(frame) = reader.advance(count)? {
///         break frame;
///     }
/// };
/// assert_eq!(frame.kind, FrameKind::Ping);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrameReader {
    /// Those that frames may have.
    versions: Versions,
    front: [u8; HEADER_BYTES],
    /// The header, once it is complete and valid.
    header: Option<Header>,
    body: AlignedVec,
    /// Bytes of the header, then of the body, that have come.
    filled: usize,
}

impl FrameReader {
    /// Stands in front of a frame.
    pub fn new() -> FrameReader {
        FrameReader {
            versions: Versions::spoken(),
            front: [0; HEADER_BYTES],
            header: None,
            body: AlignedVec::new(),
            filled: 0,
        }
    }

    /// Takes frames of this version alone from now on: the one that the handshake has chosen.
    pub fn expect(&mut self, version: u8) {
        self.versions = Versions { min: version, max: version };
    }

    /// Where the next bytes belong. Never empty.
    pub fn space(&mut self) -> &mut [u8] {
        let Some(header) = self.header else { return &mut self.front[self.filled..] };
        if self.filled == self.body.len() {
            let is_there = self.body.capacity() >= header.body_bytes;
            let len = header.body_bytes.min(self.filled + self.filled.max(GROWTH_BYTES));
            self.body.resize(if is_there { header.body_bytes } else { len }, 0);
        }
        let len = self.body.len().min(header.body_bytes);
        &mut self.body[self.filled..len]
    }

    /// Gives the body that was announced a buffer, of whatever content: its room need not grow then
    /// as the bytes arrive. Does nothing when a part of the body has come.
    pub fn lend(&mut self, buffer: AlignedVec) {
        if self.header.is_some() && self.filled == 0 {
            self.body = buffer;
        }
    }

    /// Takes note of `count` bytes in [`FrameReader::space`]; yields the frame that they complete.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the header, or the body of a control frame, is found invalid. What
    /// follows on the connection has no meaning then.
    pub fn advance(&mut self, count: usize) -> Result<Option<Frame>, FrameError> {
        self.filled += count;
        let header = match self.header {
            Some(header) => header,
            None if self.filled < HEADER_BYTES => {
                // Foreign bytes may be fewer than a header, with nothing to follow.
                if self.filled >= MAGIC.len() && !self.front.starts_with(&MAGIC) {
                    return Err(FrameError::Foreign { like: looks_like(&self.front) });
                }
                return Ok(None);
            }
            None => {
                self.filled = 0;
                *self.header.insert(Header::decode(&self.front, self.versions)?)
            }
        };
        if self.filled < header.body_bytes {
            return Ok(None);
        }
        let mut body = std::mem::take(&mut self.body);
        body.resize(header.body_bytes, 0);
        if header.kind != FrameKind::Blocks {
            let front = crc32c::crc32c(&self.front[..12]);
            header.compare(crc32c::crc32c_append(front, &body))?;
        }
        (self.header, self.filled) = (None, 0);
        Ok(Some(Frame { kind: header.kind, is_elsewhere: header.is_elsewhere, body }))
    }

    /// The type of the frame that is on its way and the length of its body, once its header is known.
    pub fn announced(&self) -> Option<(FrameKind, usize)> {
        self.header.map(|header| (header.kind, header.body_bytes))
    }

    /// Whether a part of a frame has come.
    pub fn is_inside(&self) -> bool {
        self.filled > 0 || self.header.is_some()
    }
}

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::new()
    }
}

/// The blocks of a frame, one after the other: header and archive, wherever they begin.
pub fn blocks(mut body: &[u8]) -> impl Iterator<Item = Result<(BlockHeader, &[u8]), BlockError>> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let header = match BlockHeader::decode(body) {
            Ok(header) => header,
            Err(error) => {
                body = &[];
                return Some(Err(error));
            }
        };
        match body.split_at_checked(header.bytes()) {
            Some((block, rest)) => {
                body = rest;
                Some(Ok((header, block)))
            }
            None => {
                body = &[];
                Some(Err(BlockError::Malformed { what: "it is cut short" }))
            }
        }
    })
}

/// What bytes may be that are no frame.
fn looks_like(front: &[u8]) -> &'static str {
    let begins = |with: &[&[u8]]| with.iter().any(|with| front.starts_with(with));
    if begins(&[b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"DELE", b"CONN", b"PRI "]) {
        "an HTTP request"
    } else if begins(&[&[0x16, 3]]) {
        "a TLS handshake"
    } else if begins(&[b"SSH-"]) {
        "an SSH client"
    } else if begins(&[b"RWB1"]) {
        "a block without a frame"
    } else if begins(&[b"<"]) {
        "a syslog message"
    } else {
        "nothing that is known"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of at most `piece` bytes and collects what comes out.
    fn read(mut wire: &[u8], piece: usize) -> Result<Vec<(FrameKind, Vec<u8>)>, FrameError> {
        let mut reader = FrameReader::new();
        let mut frames = Vec::new();
        while !wire.is_empty() {
            let space = reader.space();
            let count = space.len().min(piece).min(wire.len());
            space[..count].copy_from_slice(&wire[..count]);
            wire = &wire[count..];
            if let Some(frame) = reader.advance(count)? {
                frames.push((frame.kind, frame.body.to_vec()));
            }
        }
        assert!(!reader.is_inside(), "the last frame is not complete");
        Ok(frames)
    }

    fn announce(kind: u8, length: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = header(Versions::BUILT.max, FrameKind::Ping, &[]);
        bytes[5] = kind;
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let blocks: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        let sent = [
            (FrameKind::Hello, vec![7; 100]),
            (FrameKind::Ping, Vec::new()),
            (FrameKind::Blocks, blocks),
            (FrameKind::Bye, vec![1; 8]),
        ];
        let wire: Vec<u8> = sent.iter().flat_map(|(kind, body)| encode(*kind, body)).collect();
        for piece in [1, 2, 3, 15, 16, 17, 64, 1000, 65_536, wire.len()] {
            assert_eq!(read(&wire, piece).unwrap(), sent, "pieces of {piece} bytes");
        }
    }

    #[test]
    fn a_frame_can_be_cut_at_every_byte() {
        let wire = encode(FrameKind::Hello, &[9; 40]);
        for cut in 0..=wire.len() {
            let mut reader = FrameReader::new();
            let mut frames = 0;
            for mut part in [&wire[..cut], &wire[cut..]] {
                while !part.is_empty() {
                    let space = reader.space();
                    let count = space.len().min(part.len());
                    space[..count].copy_from_slice(&part[..count]);
                    part = &part[count..];
                    frames += usize::from(reader.advance(count).unwrap().is_some());
                }
            }
            assert_eq!(frames, 1, "cut after {cut} bytes");
        }
    }

    #[test]
    fn a_length_outside_its_limits_is_refused_before_there_is_room_for_it() {
        for kind in FrameKind::ALL {
            let (min, max) = kind.body_bytes();
            let lengths = [0, 1, min.saturating_sub(1), max + 1, 1 << 31, u32::MAX as usize];
            for length in lengths.into_iter().filter(|length| !(min..=max).contains(length)) {
                let mut reader = FrameReader::new();
                reader.space().copy_from_slice(&announce(kind.number(), length as u32));
                let refused = reader.advance(HEADER_BYTES).unwrap_err();
                assert_eq!(refused, FrameError::Length { kind, found: length, min, max });
                assert_eq!(reader.body.capacity(), 0);
            }
        }
    }

    #[test]
    fn room_grows_with_the_bytes_that_arrive() {
        let mut reader = FrameReader::new();
        let front = announce(FrameKind::Blocks.number(), MAX_BODY_BYTES as u32);
        reader.space().copy_from_slice(&front);
        assert!(reader.advance(HEADER_BYTES).unwrap().is_none());
        assert_eq!(reader.space().len(), GROWTH_BYTES);
        assert!(reader.body.capacity() <= 2 * GROWTH_BYTES);
        assert_eq!(reader.announced(), Some((FrameKind::Blocks, MAX_BODY_BYTES)));
    }

    #[test]
    fn a_lent_buffer_shows_nothing_of_what_it_held() {
        let sent: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        let wire = encode(FrameKind::Blocks, &sent);
        for lent in [0, 1, 99_999, 100_000, 100_001, 300_000] {
            let mut reader = FrameReader::new();
            reader.space().copy_from_slice(&wire[..HEADER_BYTES]);
            assert!(reader.advance(HEADER_BYTES).unwrap().is_none());
            let mut buffer = AlignedVec::new();
            buffer.resize(lent, 0xee);
            reader.lend(buffer);
            let mut rest = &wire[HEADER_BYTES..];
            let frame = loop {
                let space = reader.space();
                let count = space.len().min(rest.len()).min(70_000);
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                if let Some(frame) = reader.advance(count).unwrap() {
                    break frame;
                }
            };
            assert!(rest.is_empty() && *frame.body == *sent, "a buffer of {lent} bytes");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let wire = encode(FrameKind::Hello, &[5; 24]);
        for at in 0..wire.len() {
            for bit in 0..8 {
                let mut flipped = wire.clone();
                flipped[at] ^= 1 << bit;
                let mut reader = FrameReader::new();
                let mut rest = &flipped[..];
                let noticed = loop {
                    if rest.is_empty() {
                        // A longer length: the frame never becomes complete.
                        break reader.is_inside();
                    }
                    let space = reader.space();
                    let count = space.len().min(rest.len());
                    space[..count].copy_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    match reader.advance(count) {
                        Ok(Some(_)) => break false,
                        Ok(None) => {}
                        Err(_) => break true,
                    }
                };
                assert!(noticed, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_hello_of_any_version_is_read_and_blocks_of_another_are_not() {
        let other = |kind: FrameKind, body: &[u8]| {
            let mut wire = encode(kind, body);
            wire[4] = 200;
            let covered = if kind == FrameKind::Blocks { &[] } else { body };
            let checksum = crc32c::crc32c_append(crc32c::crc32c(&wire[..12]), covered);
            wire[12..16].copy_from_slice(&checksum.to_le_bytes());
            wire
        };
        assert_eq!(read(&other(FrameKind::Hello, &[0; 16]), 7).unwrap().len(), 1);
        let refused = read(&other(FrameKind::Blocks, &[0; 64]), 7).unwrap_err();
        assert_eq!(refused, FrameError::Version { found: 200, expected: Versions::BUILT });
    }

    #[test]
    fn after_the_handshake_every_frame_is_of_the_version_that_was_chosen() {
        for (chosen, used) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let mut reader = FrameReader::new();
            reader.expect(chosen);
            reader.space().copy_from_slice(&header(used, FrameKind::Ping, &[]));
            let taken = reader.advance(HEADER_BYTES).map(|frame| frame.is_some());
            assert_eq!(taken.is_ok(), chosen == used, "{used} in {chosen}: {taken:?}");
        }
    }

    #[test]
    fn blocks_that_are_elsewhere_are_marked_from_version_two_on() {
        let read_front = |front: [u8; HEADER_BYTES], version: u8| {
            let mut reader = FrameReader::new();
            reader.expect(version);
            reader.space().copy_from_slice(&front);
            reader.advance(HEADER_BYTES)?;
            reader.space()[..64].fill(0);
            Ok::<_, FrameError>(reader.advance(64)?.unwrap().is_elsewhere)
        };
        for (version, is_elsewhere, is_said) in
            [(1, false, false), (1, true, false), (2, false, false), (2, true, true)]
        {
            let front = blocks_header(version, is_elsewhere, 64);
            assert_eq!(read_front(front, version), Ok(is_said), "version {version}");
        }
        let of_version_one = header_of([1, FrameKind::Blocks.number()], ELSEWHERE, 64, &[]);
        assert_eq!(read_front(of_version_one, 1), Err(FrameError::Reserved));
        let unknown = header_of([2, FrameKind::Blocks.number()], 2, 64, &[]);
        assert_eq!(read_front(unknown, 2), Err(FrameError::Reserved));
    }

    #[test]
    fn other_protocols_are_named() {
        for (bytes, like) in [
            (&b"GET / HTTP/1.1\r\n"[..], "an HTTP request"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", "a TLS handshake"),
            (b"SSH-2.0-OpenSSH", "an SSH client"),
            (b"<34>1 2003-10-11", "a syslog message"),
            (b"\0\0\0\0\0", "nothing that is known"),
        ] {
            for piece in [1, 4, 16] {
                assert_eq!(read(bytes, piece).unwrap_err(), FrameError::Foreign { like });
            }
        }
    }

    #[test]
    fn blocks_are_taken_apart_where_their_headers_say() {
        let header = BlockHeader {
            kind: crate::block::BlockKind::Define,
            body_bytes: 3,
            envelope_bytes: 0,
            generation: 0,
            source: 1,
            epoch: 2,
            sequence: 0,
        };
        let block = [&header.encode()[..], b"abc"].concat();
        let body = [&block[..], &block[..]].concat();
        assert_eq!(blocks(&body).filter(Result::is_ok).count(), 2);
        for cut in 1..block.len() {
            let found: Vec<_> =
                blocks(&body[..block.len() + cut]).map(|block| block.is_ok()).collect();
            assert_eq!(found, [true, false], "cut after {cut} bytes");
        }
    }
}
