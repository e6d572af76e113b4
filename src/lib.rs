//! rollway: a lock-free logging engine.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate self as rollway;

pub mod block;
#[doc(hidden)]
pub mod capture;
pub mod clock;
pub mod event;
pub mod layout;
pub mod journal;
pub mod level;
mod macros;
pub mod record;
#[allow(dead_code, unused_imports, reason = "the engine comes next")]
pub(crate) mod ring;
pub mod site;
#[allow(dead_code, reason = "the engine comes next")]
pub(crate) mod sync;
#[allow(dead_code, reason = "the engine comes next")]
pub(crate) mod sys;
pub mod template;
pub mod value;

pub use level::{Level, LevelFilter};
#[doc(hidden)]
pub use macros::__private;
