//! The arguments of each command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::when::{Moment, parse_moment};
use crate::layout::Pattern;
use crate::level::LevelFilter;

/// Keeps, ships and reads the logs of services that use the rollway library.
#[derive(Parser, Debug)]
#[command(name = "rollway", version, propagate_version = true, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    Cat(CatArgs),
}

/// Print journals as text or JSON, merged by time.
///
/// Reads the journals of running and of dead processes and of masters, and changes nothing. What is
/// damaged is left out and reported on standard error.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway cat /var/lib/shop/journal
  rollway cat --since -3h --level warn /var/lib/*/journal
  rollway cat --json --category shop::till journal | jq .message

Exit codes: 0 all well; 1 something was damaged and left out; 65 nothing was readable;
66 no such journal; 74 cannot read or write.")]
pub(super) struct CatArgs {
    /// Journal directories, or segment files.
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Print one JSON object a line, with all that the journal knows.
    #[arg(long, conflicts_with = "pattern")]
    pub(super) json: bool,
    /// Print lines of this pattern [default: `%d %-5p %c - %m%k%n`].
    #[arg(long, value_parser = parse_pattern)]
    pub(super) pattern: Option<Pattern>,
    /// Leave out what is earlier: `2026-11-21T10:00:00Z`, or `-3h`, `90s`, `2d` ago.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment, allow_hyphen_values = true)]
    pub(super) since: Option<Moment>,
    /// Leave out what is at that time or later; written as for --since.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment, allow_hyphen_values = true)]
    pub(super) until: Option<Moment>,
    /// Leave out what is below this level: trace, debug, info, warn, error or fatal.
    #[arg(long)]
    pub(super) level: Option<LevelFilter>,
    /// Show this category and those below it, such as `shop::till` or `shop.till`. May be repeated.
    #[arg(long, value_name = "PREFIX")]
    pub(super) category: Vec<String>,
}

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}
