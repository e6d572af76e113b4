//! What arrives on a socket: frames in pieces, handshakes, acknowledgements, farewells, blocks.
//!
//! The first byte says how the rest is meant: as bytes of the wire, cut into pieces, or as the body of
//! one type, so that the fuzzer reaches what lies behind the checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rkyv::util::AlignedVec;
use rollway::net::{Farewell, FrameKind, FrameReader, Hello, Welcome, frame, handshake};

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else { return };
    match how {
        0 => wire(rest, 1),
        1..=9 => body(how, rest),
        piece => wire(rest, usize::from(piece)),
    }
});

fn wire(mut bytes: &[u8], piece: usize) {
    let mut reader = FrameReader::new();
    while !bytes.is_empty() {
        let space = reader.space();
        let count = space.len().min(piece).min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        bytes = &bytes[count..];
        match reader.advance(count) {
            Ok(Some(frame)) => understand(frame.kind, &frame.body),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

fn body(how: u8, bytes: &[u8]) {
    let kinds = [
        FrameKind::Hello,
        FrameKind::Welcome,
        FrameKind::Refuse,
        FrameKind::Blocks,
        FrameKind::Ack,
        FrameKind::Ping,
        FrameKind::Bye,
    ];
    let kind = kinds[usize::from(how) % kinds.len()];
    let mut aligned: AlignedVec = AlignedVec::new();
    aligned.extend_from_slice(bytes);
    understand(kind, &aligned);
    // What is framed here is unframed there, if its length is one of its type.
    let (min, max) = kind.body_bytes();
    if (min..=max).contains(&bytes.len()) {
        let mut wire = &frame::encode(kind, bytes)[..];
        let mut reader = FrameReader::new();
        let found = loop {
            let space = reader.space();
            let count = space.len().min(wire.len());
            space[..count].copy_from_slice(&wire[..count]);
            wire = &wire[count..];
            if let Some(frame) = reader.advance(count).expect("a frame of our own") {
                break frame;
            }
        };
        assert!(found.kind == kind && *found.body == *bytes && wire.is_empty());
    }
}

fn understand(kind: FrameKind, body: &[u8]) {
    match kind {
        FrameKind::Hello => drop(Hello::decode(body)),
        FrameKind::Welcome => drop(Welcome::decode(body)),
        FrameKind::Refuse | FrameKind::Bye => {
            let farewell = Farewell::decode(body);
            assert!(farewell.words.len() <= 512 && !farewell.words.contains(char::is_control));
        }
        FrameKind::Blocks => {
            for block in frame::blocks(body).flatten() {
                assert_eq!(block.0.bytes(), block.1.len());
            }
        }
        FrameKind::Ack => {
            if let Some((_, pairs)) = handshake::decode_ack(body) {
                assert!(pairs.count() * 16 + 8 == body.len());
            }
        }
        FrameKind::Ping => {}
    }
}
