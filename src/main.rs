//! The `rollway` command.

fn main() {}
