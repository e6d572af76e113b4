//! What rkyv archives in a handshake: primitives, strings and vectors of them only.
#![allow(unsafe_code, reason = "rkyv's derive marks the archived types Portable")]

use rkyv::{Archive, Serialize};

#[derive(Archive, Serialize)]
pub(super) struct HelloBody {
    pub(super) source_low: u64,
    pub(super) source_high: u64,
    pub(super) epoch: u64,
    pub(super) oldest_epoch: u64,
    pub(super) term: u64,
    pub(super) window_bytes: u64,
    pub(super) pid: u32,
    pub(super) service: String,
    pub(super) host: String,
}

#[derive(Archive, Serialize)]
pub(super) struct WelcomeBody {
    pub(super) window_bytes: u64,
    pub(super) level: u8,
    pub(super) marks: Vec<Mark>,
}

#[derive(Archive, Serialize)]
pub(super) struct Mark {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
}
