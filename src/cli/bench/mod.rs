//! `rollway bench`: what to expect of this machine.

pub mod probe;
