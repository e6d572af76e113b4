//! rollway: a lock-free logging engine.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate self as rollway;

#[doc(hidden)]
pub mod capture;
pub mod event;
pub mod layout;
pub mod level;
pub mod record;
pub mod site;
pub(crate) mod sync;
pub mod template;
pub mod value;

pub use level::{Level, LevelFilter};
