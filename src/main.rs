//! The `rollway` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollway::cli::main()
}
