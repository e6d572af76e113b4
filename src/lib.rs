#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(loom, allow(dead_code, unused_imports, reason = "the engine is left out"))]

extern crate self as rollway;

// Loom sees the protocols below the engine: `ring`, `sys`. Its atomics cannot stand in a `static`,
// as the engine's and the thread's stand-in producers do.

pub mod appender;
pub mod block;
#[doc(hidden)]
pub mod capture;
pub(crate) mod category;
#[cfg(all(feature = "cli", not(loom)))]
pub mod cli;
pub mod clock;
#[cfg(not(loom))]
pub mod cluster;
#[cfg(all(feature = "config", not(loom)))]
pub mod config;
pub(crate) mod context;
#[cfg(not(loom))]
mod engine;
pub mod event;
pub mod journal;
pub mod layout;
pub mod level;
#[cfg(not(loom))]
mod macros;
mod mask;
#[cfg(all(feature = "master", not(loom)))]
pub mod master;
pub(crate) mod nearest;
pub mod net;
pub mod record;
pub mod recover;
pub(crate) mod ring;
pub mod route;
mod secret;
pub mod site;
pub(crate) mod store;
pub(crate) mod sync;
pub(crate) mod sys;
pub mod template;
pub mod value;
pub mod warp;

#[cfg(feature = "crash-points")]
#[doc(hidden)]
pub use sys::crash::NAMES as CRASH_POINTS;

#[cfg(all(feature = "config", not(loom)))]
pub use config::{init, init_from};
#[cfg(all(not(feature = "config"), not(loom)))]
pub use engine::init;
#[cfg(not(loom))]
pub use engine::{
    AppenderReport, Batch, Builder, ClusterRole, ClusterStats, CommandError, Control, Dropped,
    Durability, FlushError, Guard, Inheritance, InitError, Logger, Mdc, MdcScope, Ndc, NdcScope,
    OutletState, OutletStats, OverflowPolicy, ReleaseError, ReloadError, ReloadStats, Reloaded,
    ShutdownReport, Stats, SyncPolicy, Timestamp, WaitStrategy, batch, builder, flush, flush_to,
    inherit, inherited, logger, mdc, ndc, prepare_thread, spawn_inheriting, stats,
};
pub use level::{Level, LevelFilter};
#[cfg(not(loom))]
#[doc(hidden)]
pub use macros::__private;
pub use mask::Mask;
#[cfg(not(loom))]
pub use route::{Category, Directives};
pub use secret::Secret;
pub use sys::output::IoMethod;
