//! The procedural half of rollway's macros. Use them through the `rollway` crate.
