//! What the receiver of a block writes behind it, outside the checksum of its sender.
//!
//! A master puts one around each events block that it stores; `docs/format.md` has the layout.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[cfg(feature = "master")]
use rkyv::util::AlignedVec;

#[cfg(feature = "master")]
use super::header::set_envelope;
use super::header::{BlockError, BlockHeader, HEADER_BYTES, array};
use crate::event::Receipt;

/// Bytes of the envelope that this build writes, a unit of its length.
pub(crate) const ENVELOPE_BYTES: usize = 64;
/// No envelope is longer.
pub(crate) const MAX_ENVELOPE_BYTES: usize = 16 * ENVELOPE_BYTES;

const ELSEWHERE: u8 = 1;

/// Puts an envelope around an events block, header and archive, that has a checksum; yields its
/// new header.
///
/// # Errors
/// [`BlockError::Malformed`] for a block that has one already: it is the receiver's to write.
#[cfg(feature = "master")]
pub(crate) fn wrap(block: &mut AlignedVec, receipt: &Receipt) -> Result<BlockHeader, BlockError> {
    let header = BlockHeader::decode(block)?;
    if header.envelope_bytes > 0 {
        return Err(BlockError::Malformed { what: "it has an envelope before it is received" });
    }
    let checksum = checksum_of(block);
    block.resize(header.padded_bytes(), 0);
    block.extend_from_slice(&encode(receipt, checksum));
    set_envelope(block, ENVELOPE_BYTES);
    Ok(BlockHeader { envelope_bytes: ENVELOPE_BYTES as u32, ..header })
}

/// Reads the envelope of a block; `None` when it has none. `block` is as long as its header says.
///
/// # Errors
/// [`BlockError`], when the envelope is not what was written.
pub(super) fn open(header: &BlockHeader, block: &[u8]) -> Result<Option<Receipt>, BlockError> {
    if header.envelope_bytes == 0 {
        return Ok(None);
    }
    let malformed = |what| BlockError::Malformed { what };
    let bytes = header.bytes();
    let from = bytes - header.envelope_bytes as usize;
    let envelope = block.get(from..bytes).ok_or(malformed("it is cut short"))?;
    let Some((front, _)) = envelope.split_first_chunk::<ENVELOPE_BYTES>() else {
        return Err(malformed("its envelope is cut short"));
    };
    let expected = u32::from_le_bytes(array(front, 0));
    let found = crc32c::crc32c_append(checksum_of(block), &envelope[4..]);
    if expected != found {
        return Err(BlockError::Checksum { expected, found });
    }
    let address = match front[5] {
        4 => IpAddr::V4(Ipv4Addr::from(array::<4>(front, 16))),
        6 => IpAddr::V6(Ipv6Addr::from(array::<16>(front, 16))),
        _ => return Err(malformed("its envelope has an address of an unknown family")),
    };
    Ok(Some(Receipt {
        received_ns: i64::from_le_bytes(array(front, 8)),
        peer: SocketAddr::new(address, u16::from_le_bytes(array(front, 6))),
        is_elsewhere: front[4] & ELSEWHERE != 0,
    }))
}

/// The envelope of a block with this checksum.
#[cfg(feature = "master")]
fn encode(receipt: &Receipt, checksum: u32) -> [u8; ENVELOPE_BYTES] {
    let mut out = [0; ENVELOPE_BYTES];
    out[4] = if receipt.is_elsewhere { ELSEWHERE } else { 0 };
    out[6..8].copy_from_slice(&receipt.peer.port().to_le_bytes());
    out[8..16].copy_from_slice(&receipt.received_ns.to_le_bytes());
    match receipt.peer.ip() {
        IpAddr::V4(address) => {
            out[5] = 4;
            out[16..20].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out[5] = 6;
            out[16..32].copy_from_slice(&address.octets());
        }
    }
    let of_envelope = crc32c::crc32c_append(checksum, &out[4..]);
    out[0..4].copy_from_slice(&of_envelope.to_le_bytes());
    out
}

/// The checksum in the header of a block, which ties an envelope to it.
fn checksum_of(block: &[u8]) -> u32 {
    let front = block.first_chunk::<HEADER_BYTES>();
    front.map_or(0, |front| u32::from_le_bytes(array(front, 56)))
}

#[cfg(all(test, feature = "master"))]
mod tests {
    use super::*;
    use crate::block::header::{bare, seal, verify};
    use crate::block::{BlockKind, header};

    fn block(body: &[u8]) -> AlignedVec {
        let header = BlockHeader {
            kind: BlockKind::Events,
            body_bytes: body.len() as u32,
            envelope_bytes: 0,
            generation: 0,
            source: 5,
            epoch: 6,
            sequence: 7,
        };
        let mut block = AlignedVec::new();
        block.extend_from_slice(&header.encode());
        block.extend_from_slice(body);
        seal(&mut block);
        block
    }

    fn receipt(peer: &str) -> Receipt {
        Receipt { received_ns: -5, peer: peer.parse().unwrap(), is_elsewhere: true }
    }

    #[test]
    fn an_envelope_says_when_and_from_whom_whatever_the_length_of_the_block() {
        for (len, peer) in
            [(0, "10.1.2.3:4"), (1, "[fe80::1]:65535"), (64, "[::1]:0"), (90, "1.1.1.1:1")]
        {
            let mut block = block(&vec![9; len]);
            let bare_block = block.to_vec();
            let header = wrap(&mut block, &receipt(peer)).unwrap();
            assert_eq!(header.bytes(), block.len());
            assert_eq!((header.padded_bytes(), block.len() % 64), (block.len(), 0));
            assert_eq!(verify(&block), Ok(header));
            assert_eq!(open(&header, &block), Ok(Some(receipt(peer))));
            // The sender's bytes are still there.
            let (front, archive) = bare(&block).unwrap();
            assert_eq!([&front[..], archive].concat(), bare_block);
            assert!(wrap(&mut block, &receipt(peer)).is_err(), "one is enough");
        }
    }

    #[test]
    fn a_flipped_bit_of_an_envelope_or_of_its_length_is_noticed() {
        let mut block = block(b"hello");
        wrap(&mut block, &receipt("10.1.2.3:4")).unwrap();
        let from = block.len() - ENVELOPE_BYTES;
        for at in [6, 9].into_iter().chain(from..block.len()) {
            for bit in 0..8 {
                let mut flipped = block.clone();
                flipped[at] ^= 1 << bit;
                assert!(header::verify(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn an_envelope_belongs_to_its_block() {
        let (mut one, mut other) = (block(b"hello"), block(b"world"));
        let header = wrap(&mut one, &receipt("10.1.2.3:4")).unwrap();
        wrap(&mut other, &receipt("10.1.2.3:4")).unwrap();
        let from = one.len() - ENVELOPE_BYTES;
        one[from..].copy_from_slice(&other[from..]);
        assert!(matches!(open(&header, &one), Err(BlockError::Checksum { .. })));
    }
}
