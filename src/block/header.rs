//! The 64 bytes in front of each archive.

use std::fmt;

use super::envelope::{self, ENVELOPE_BYTES, MAX_ENVELOPE_BYTES};

/// Bytes of a block header; also the alignment of blocks in a segment.
pub const HEADER_BYTES: usize = 64;
/// No block is longer, header included: 4 MiB.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;
/// The version of the format that this build writes, and the only one it reads.
pub const FORMAT_VERSION: u8 = 1;
/// rkyv 0.8, little-endian, 32-bit relative pointers, aligned primitives.
pub const FLAVOUR: u8 = 1;

pub(crate) const MAGIC: [u8; 4] = *b"RWB1";
const COMMITTED: [u8; 4] = *b"DONE";
const ENCODING_RAW: u8 = 0;
const FLAG_CHECKSUM: u8 = 1;
const FLAG_ENVELOPE: u8 = 2;

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockKind {
    /// The head of a segment: a snapshot of the marks.
    Segment,
    /// Definitions that later blocks refer to.
    Define,
    /// Events.
    Events,
    /// A kind of a later version, to be skipped.
    Other(u8),
}

impl BlockKind {
    fn number(self) -> u8 {
        match self {
            BlockKind::Segment => 1,
            BlockKind::Define => 2,
            BlockKind::Events => 3,
            BlockKind::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> BlockKind {
        match number {
            1 => BlockKind::Segment,
            2 => BlockKind::Define,
            3 => BlockKind::Events,
            other => BlockKind::Other(other),
        }
    }
}

/// The header of a block, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHeader {
    /// What the block holds.
    pub kind: BlockKind,
    /// Length of the archive in bytes.
    pub body_bytes: u32,
    /// Length of the receiver's envelope behind it in bytes; 0 without one.
    pub envelope_bytes: u32,
    /// Generation of the segment the block lies in; 0 while it lies in none.
    pub generation: u64,
    /// Whose block it is.
    pub source: u128,
    /// Which run of the source.
    pub epoch: u64,
    /// Place of an events block within (source, epoch), from 1 without gaps; else 0.
    pub sequence: u64,
}

/// Why bytes are not a block.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names carry their units")]
pub enum BlockError {
    /// No header: nothing was written here.
    Empty,
    /// Fewer bytes than a header.
    Short,
    /// The bytes do not begin with the magic, or end too early, or break a rule of the format.
    Malformed { what: &'static str },
    /// A valid block of another version or flavour.
    Unsupported { what: &'static str, found: u8, supported: u8 },
    /// The checksum does not match.
    Checksum { expected: u32, found: u32 },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockError::Empty => write!(f, "no block was written here"),
            BlockError::Short => write!(f, "not a block: fewer than 64 bytes"),
            BlockError::Malformed { what } => write!(f, "not a block: {what}"),
            BlockError::Unsupported { what, found, supported } => {
                write!(f, "{what} {found} found, this build supports {supported}")
            }
            BlockError::Checksum { expected, found } => {
                write!(f, "checksum {found:#010x} found, {expected:#010x} expected")
            }
        }
    }
}

impl std::error::Error for BlockError {}

impl BlockHeader {
    /// Bytes of the block in a segment: header, archive, padding and envelope.
    pub fn padded_bytes(&self) -> usize {
        self.archive_end().next_multiple_of(HEADER_BYTES) + self.envelope_bytes as usize
    }

    /// Bytes from the header to the end of the archive, or of the envelope if there is one. On the
    /// wire there is none.
    pub fn bytes(&self) -> usize {
        if self.envelope_bytes == 0 { self.archive_end() } else { self.padded_bytes() }
    }

    /// Where the archive ends.
    pub(super) fn archive_end(&self) -> usize {
        HEADER_BYTES + self.body_bytes as usize
    }

    /// The header as bytes, without a checksum and committed.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..9].copy_from_slice(&[FORMAT_VERSION, self.kind.number(), 0, ENCODING_RAW, FLAVOUR]);
        out[12..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..56].copy_from_slice(&self.source.to_le_bytes());
        out[60..64].copy_from_slice(&COMMITTED);
        set_envelope(&mut out, self.envelope_bytes as usize);
        out
    }

    /// Reads a header. Its checksum, if any, is not compared here, see [`verify`].
    ///
    /// # Errors
    /// [`BlockError::Empty`] for zeroes, [`BlockError::Short`], [`BlockError::Unsupported`] for
    /// another version or flavour, else [`BlockError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<BlockHeader, BlockError> {
        let malformed = |what| BlockError::Malformed { what };
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(BlockError::Short);
        };
        if header == &[0; HEADER_BYTES] {
            return Err(BlockError::Empty);
        }
        if header[0..4] != MAGIC {
            return Err(malformed(what_else(header)));
        }
        let [version, kind, flags, encoding, flavour] = array::<5>(header, 4);
        for (what, found, supported) in [
            ("format version", version, FORMAT_VERSION),
            ("block encoding", encoding, ENCODING_RAW),
            ("rkyv flavour", flavour, FLAVOUR),
        ] {
            if found != supported {
                return Err(BlockError::Unsupported { what, found, supported });
            }
        }
        if header[60..64] != COMMITTED {
            return Err(malformed("it was not committed"));
        }
        if flags & !(FLAG_CHECKSUM | FLAG_ENVELOPE) != 0 || header[10..12] != [0; 2] {
            return Err(malformed("reserved bits are set"));
        }
        let kind = BlockKind::from_number(kind);
        let envelope_bytes = usize::from(header[9]) * ENVELOPE_BYTES;
        if (flags & FLAG_ENVELOPE != 0) != (envelope_bytes > 0)
            || envelope_bytes > MAX_ENVELOPE_BYTES
            || envelope_bytes > 0 && kind != BlockKind::Events
        {
            return Err(malformed("its envelope is none"));
        }
        let body_bytes = u32::from_le_bytes(array(header, 12));
        if body_bytes as usize > MAX_BLOCK_BYTES - HEADER_BYTES {
            return Err(malformed("it is longer than 4 MiB"));
        }
        Ok(BlockHeader {
            kind,
            body_bytes,
            envelope_bytes: envelope_bytes as u32,
            generation: u64::from_le_bytes(array(header, 16)),
            epoch: u64::from_le_bytes(array(header, 24)),
            sequence: u64::from_le_bytes(array(header, 32)),
            source: u128::from_le_bytes(array(header, 40)),
        })
    }
}

/// What bytes without the magic look like: they are named where that helps whoever gave the wrong file.
fn what_else(header: &[u8; HEADER_BYTES]) -> &'static str {
    /// First bytes of other formats.
    const OTHERS: [(&[u8], &str); 9] = [
        (b"1BWR", "the magic is missing: it stands there in the other byte order"),
        (&[0x1f, 0x8b], "the magic is missing: it looks like gzip; decompress it first"),
        (
            &[0x28, 0xb5, 0x2f, 0xfd],
            "the magic is missing: it looks like zstd; decompress it first",
        ),
        (b"\xfd7zXZ\0", "the magic is missing: it looks like xz; decompress it first"),
        (b"BZh", "the magic is missing: it looks like bzip2; decompress it first"),
        (&[0x04, 0x22, 0x4d, 0x18], "the magic is missing: it looks like lz4; decompress it first"),
        (b"PK\x03\x04", "the magic is missing: it looks like a zip archive; unpack it first"),
        (b"LPKSHHRH", "the magic is missing: it looks like a journal of systemd"),
        (b"RWC1", "the magic is missing: it looks like a cursor of rollway, which holds no events"),
    ];
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    match OTHERS.iter().find(|(front, _)| header.starts_with(front)) {
        Some((_, what)) => what,
        None if header.iter().all(is_text) => "the magic is missing: it looks like text",
        None => "the magic is missing",
    }
}

/// Puts the generation of its segment into an encoded block.
pub fn set_generation(block: &mut [u8], generation: u64) {
    if let Some(field) = block.get_mut(16..24) {
        field.copy_from_slice(&generation.to_le_bytes());
    }
}

/// Says in an encoded block how long the envelope behind it is; 0 is none.
pub(super) fn set_envelope(block: &mut [u8], envelope_bytes: usize) {
    if let Some([flags, _, _, units]) = block.get_mut(6..10) {
        *units = (envelope_bytes / ENVELOPE_BYTES) as u8;
        *flags &= !FLAG_ENVELOPE;
        if envelope_bytes > 0 {
            *flags |= FLAG_ENVELOPE;
        }
    }
}

/// A block as its sender made it: the header with its checksum, and the archive, without an
/// envelope. `None` when the bytes are no whole block.
pub fn bare(block: &[u8]) -> Option<([u8; HEADER_BYTES], &[u8])> {
    let header = BlockHeader::decode(block).ok()?;
    let block = block.get(..header.archive_end())?;
    let mut front = sealed(block)?;
    set_envelope(&mut front, 0);
    Some((front, &block[HEADER_BYTES..]))
}

/// Gives an encoded block its checksum, unless it has one.
pub fn seal(block: &mut [u8]) {
    if let Some(sealed) = sealed(block)
        && let Some(front) = block.first_chunk_mut()
    {
        *front = sealed;
    }
}

/// The header of an encoded block with its checksum; `None` for fewer bytes than a header.
pub fn sealed(block: &[u8]) -> Option<[u8; HEADER_BYTES]> {
    let (front, archive) = block.split_first_chunk::<HEADER_BYTES>()?;
    let mut header = *front;
    if header[6] & FLAG_CHECKSUM == 0 {
        header[6] |= FLAG_CHECKSUM;
        let checksum = checksum(&header, archive);
        header[56..60].copy_from_slice(&checksum.to_le_bytes());
    }
    Some(header)
}

/// Reads the header of a whole block (header and archive) from a file or socket and compares its
/// checksum.
///
/// # Errors
/// As [`BlockHeader::decode`]; [`BlockError::Malformed`] for a block cut short or without a
/// checksum; [`BlockError::Checksum`].
pub fn verify(block: &[u8]) -> Result<BlockHeader, BlockError> {
    let header = BlockHeader::decode(block)?;
    let archive_end = header.archive_end();
    let bare = block.get(..archive_end).and_then(<[u8]>::split_first_chunk::<HEADER_BYTES>);
    let Some((front, archive)) = bare else {
        return Err(BlockError::Malformed { what: "it is cut short" });
    };
    if front[6] & FLAG_CHECKSUM == 0 {
        return Err(BlockError::Malformed { what: "it has no checksum" });
    }
    let (expected, found) = (u32::from_le_bytes(array(front, 56)), checksum(front, archive));
    if expected != found {
        return Err(BlockError::Checksum { expected, found });
    }
    envelope::open(&header, block)?;
    Ok(header)
}

/// CRC-32C over the header without generation, checksum and commit word, as it is without an
/// envelope, and over the archive.
fn checksum(header: &[u8; HEADER_BYTES], archive: &[u8]) -> u32 {
    let mut front: [u8; 16] = array(header, 0);
    set_envelope(&mut front, 0);
    let front = crc32c::crc32c(&front);
    let middle = crc32c::crc32c_append(front, &header[24..56]);
    crc32c::crc32c_append(middle, archive)
}

/// `N` bytes at `at`, which callers keep inside.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let header = BlockHeader {
            kind: BlockKind::Events,
            body_bytes: 5,
            envelope_bytes: 0,
            generation: 3,
            source: 7 << 100,
            epoch: 11,
            sequence: 13,
        };
        let mut block = header.encode().to_vec();
        block.extend_from_slice(b"hello");
        seal(&mut block);
        assert_eq!(verify(&block), Ok(header));
        block
    }

    #[test]
    fn files_of_other_formats_are_named() {
        for (front, name) in [
            (&b"1BWR"[..], "byte order"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"LPKSHHRH", "systemd"),
            (&[b'a'; HEADER_BYTES], "text"),
            (b"\x7fELF", "the magic is missing"),
        ] {
            let mut header = [0xff; HEADER_BYTES];
            header[..front.len()].copy_from_slice(front);
            let told = BlockHeader::decode(&header).unwrap_err().to_string();
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn a_flipped_bit_outside_the_generation_is_noticed() {
        let block = block();
        for at in (0..block.len()).filter(|at| !(16..24).contains(at)) {
            for bit in 0..8 {
                let mut flipped = block.clone();
                flipped[at] ^= 1 << bit;
                assert!(verify(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn the_generation_can_change_without_a_new_checksum() {
        let mut block = block();
        set_generation(&mut block, 99);
        assert_eq!(verify(&block).unwrap().generation, 99);
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut block = block();
        block[4] = 2;
        assert_eq!(
            verify(&block).unwrap_err().to_string(),
            "format version 2 found, this build supports 1"
        );
    }

    #[test]
    fn zeroes_are_the_end_and_not_damage() {
        assert_eq!(BlockHeader::decode(&[0; 64]), Err(BlockError::Empty));
    }
}
