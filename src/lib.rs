//! rollway: a lock-free logging engine.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate self as rollway;

pub mod appender;
pub mod block;
#[doc(hidden)]
pub mod capture;
pub mod clock;
mod engine;
pub mod event;
pub mod journal;
pub mod layout;
pub mod level;
mod macros;
pub mod record;
pub mod recover;
#[allow(dead_code, unused_imports, reason = "to be looked through")]
pub(crate) mod ring;
pub mod site;
#[allow(dead_code, reason = "to be looked through")]
pub(crate) mod sync;
#[allow(dead_code, reason = "to be looked through")]
pub(crate) mod sys;
pub mod template;
pub mod value;

pub use engine::{
    AppenderReport, Builder, Dropped, Durability, FlushError, Guard, InitError, Logger,
    OutletStats, OverflowPolicy, ShutdownReport, Stats, WaitStrategy, builder, init, logger,
};
pub use level::{Level, LevelFilter};
#[doc(hidden)]
pub use macros::__private;
