//! The arguments of each command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::when::{Moment, parse_moment};
use crate::layout::Pattern;
use crate::level::{Level, LevelFilter};
use crate::net::{AckLevel, host_and_port};

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
    Tail(TailArgs),
    Stats(StatsArgs),
    Verify(VerifyArgs),
    Recover(RecoverArgs),
    Send(SendArgs),
    Master(MasterArgs),
    Ctl(CtlArgs),
    #[command(subcommand)]
    Config(ConfigCommand),
    Demo(DemoArgs),
    Bench(BenchArgs),
    #[command(hide = true)]
    DemoWorker(DemoWorkerArgs),
    #[command(hide = true)]
    BenchPart(BenchPartArgs),
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
    #[command(flatten)]
    pub(super) shown: ShownArgs,
}

/// Which events are shown, and how.
#[derive(Args, Debug)]
pub(super) struct ShownArgs {
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

/// Print the last events of journals, and follow them.
///
/// Reads the journals of running processes and of masters. With -f it goes on with what is logged
/// from now on, over restarts of the service, until it is interrupted.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway tail /var/lib/shop/journal
  rollway tail -f -n 0 --level warn /var/lib/*/journal
  rollway tail -F --json --category shop::till /var/lib/shop/journal

Exit codes: 0 all well, or interrupted; 1 something was damaged or missed; 66 no such journal;
74 cannot read or write.")]
pub(super) struct TailArgs {
    /// Journal directories.
    #[arg(required = true, value_name = "DIR")]
    pub(super) paths: Vec<PathBuf>,
    /// Go on with what is logged from now on.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Like -f, and wait for a directory that is not there yet.
    #[arg(short = 'F', long)]
    pub(super) retry: bool,
    /// How many of the last events to begin with, of all journals together.
    #[arg(short = 'n', long = "events", value_name = "N", default_value = "10")]
    pub(super) events: u64,
    #[command(flatten)]
    pub(super) shown: ShownArgs,
}

/// Count what journals hold, and show where their appenders are.
///
/// Counts by level, category and call site, rates, gaps, dropped events by reason, and for each
/// appender how far it is behind. For a running process or master also what it says of itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway stats /var/lib/shop/journal
  rollway stats --top 20 --json /var/lib/shop/journal | jq .journals[0].sites
  rollway stats --watch 2 /var/lib/rollway

Exit codes: 0 all well; 1 something is damaged or missing; 65 nothing was readable;
66 no such journal; 74 cannot read or write.")]
pub(super) struct StatsArgs {
    /// Journal directories.
    #[arg(required = true, value_name = "DIR")]
    pub(super) paths: Vec<PathBuf>,
    /// How many categories and call sites to show.
    #[arg(long, value_name = "N", default_value = "10")]
    pub(super) top: usize,
    /// Show it anew every so many seconds, until interrupted.
    #[arg(long, value_name = "SECONDS", value_parser = parse_watch_seconds)]
    pub(super) watch: Option<f64>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Read all of a journal and check every byte of it.
///
/// Checks headers, checksums, archives, records, values, definitions, the order of the blocks of each
/// run, the heads of segments, and that the appenders' cursors point to where blocks begin.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway verify /var/lib/shop/journal
  rollway verify -v /var/lib/*/journal
  rollway verify --json segment-0000000000000003.rwj

Exit codes: 0 everything is right; 1 something is damaged or missing; 65 nothing was readable;
66 no such journal; 74 cannot read.")]
pub(super) struct VerifyArgs {
    /// Journal directories, or segment files.
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Print a line for each segment.
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Print one JSON object for each path.
    #[arg(long)]
    pub(super) json: bool,
}

/// Say what a process left behind, and save it.
///
/// Without a flag it reports and changes nothing: what waits in the rings of a killed process, what of
/// the journal is damaged or missing, and what its appenders have not delivered.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway recover /var/lib/shop/journal
  rollway recover --repair /var/lib/shop/journal
  rollway recover --send logs.example:5000 /mnt/rescued/journal
  rollway recover --salvage --out /tmp/saved /mnt/broken/journal

Exit codes: 0 all well; 1 something is damaged, missing or unreadable; 2 wrong arguments;
65 nothing was readable; 66 no such journal; 74 cannot read, write or send.")]
pub(super) struct RecoverArgs {
    /// Journal directories; with --salvage also single files.
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Move what waits in rings to the journal, as the next start of the service would.
    #[arg(long)]
    pub(super) repair: bool,
    /// Write everything that is readable, rings included, to a new journal directory.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Deliver to this master what it does not have; with --out, what was written there.
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    pub(super) send: Option<String>,
    /// Look for blocks at every 64 bytes of every file, whichever segment they belong to.
    #[arg(long)]
    pub(super) salvage: bool,
    /// Give up when the master takes nothing for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub(super) timeout: f64,
    /// Print one JSON object for each path.
    #[arg(long)]
    pub(super) json: bool,
}

/// Send standard input to a master, one event a line.
///
/// Waits for a master that is not there. Ends when the master has acknowledged everything.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  journalctl -f | rollway send --to logs.example:5000 --category journal
  rollway send --to localhost --level warn --journal /var/lib/batch < batch.log

Exit codes: 0 all arrived, or waits in the journal; 2 wrong arguments; 74 something did not arrive.")]
pub(super) struct SendArgs {
    /// The master, as HOST:PORT; the port is 5000 where it is left out. Repeat it for others to go on
    /// with when those before do not work.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:5000", value_parser = parse_address)]
    pub(super) to: Vec<String>,
    /// The category of the events.
    #[arg(long, default_value = "stdin")]
    pub(super) category: String,
    /// The level of the events: trace, debug, info, warn, error or fatal.
    #[arg(long, default_value = "info")]
    pub(super) level: Level,
    /// Keep events here until the master has them; what an earlier run left goes first.
    #[arg(long, value_name = "DIR")]
    pub(super) journal: Option<PathBuf>,
    /// The name of the service in the events.
    #[arg(long, value_name = "NAME", default_value = "rollway-send")]
    pub(super) service: String,
    /// Give up when the master takes nothing for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub(super) timeout: f64,
    /// Print a report as a JSON object when all is done.
    #[arg(long)]
    pub(super) json: bool,
}

/// Receive the events of many processes and hand them to an appender.
///
/// Runs until SIGINT or SIGTERM, then delivers what it has and reports. A second signal ends it at
/// once.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  rollway master
  rollway master --listen 0.0.0.0:5000 --appender file:/var/log/all.log --journal /var/lib/rollway
  rollway master --config /etc/rollway.toml --set master.connections=100

There is neither encryption nor a proof of identity: listen where you trust the network.

Exit codes: 0 all well; 2 wrong arguments; 66 no such configuration; 74 cannot listen, read or write;
78 the configuration is wrong.")]
pub(super) struct MasterArgs {
    /// The address to listen on, HOST:PORT; with port 0 the system chooses [default: localhost:5000].
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    pub(super) listen: Option<String>,
    /// Where events go: `file:PATH`, or `console:` for standard output [default: console:].
    #[arg(long, value_name = "APPENDER", value_parser = parse_appender)]
    pub(super) appender: Option<Destination>,
    /// Write lines of this pattern [default: `%d %-5p %c - %m%k%n`].
    #[arg(long, value_parser = check_pattern)]
    pub(super) pattern: Option<String>,
    /// Keep received events here until they are delivered, whatever happens to this process.
    #[arg(long, value_name = "DIR")]
    pub(super) journal: Option<PathBuf>,
    /// Acknowledge what is in the journal (L1), or what is synced as well (L2) [default: L1 with a
    /// journal directory].
    #[arg(long, value_name = "LEVEL", value_parser = parse_ack)]
    pub(super) ack: Option<AckLevel>,
    /// Read a configuration file, TOML or JSON, and the files of `conf.d` beside it [default:
    /// /etc/rollway/rollway.toml, if it is there].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,
    /// Lay a value on top of the files, such as `master.connections=100`. May be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// How many seconds the end may take [default: 10].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(super) drain: Option<f64>,
    /// Print `{\"listening\": …}` on standard output once the port is open, and the report at the end.
    #[arg(long)]
    pub(super) json: bool,
}

/// Ask and tell a running process or master things.
///
/// Speaks to its control socket. Without --socket and --journal it lists the sockets of this user's
/// processes that answer.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway ctl
  rollway ctl --journal /var/lib/shop/journal level *=debug
  rollway ctl --journal /var/lib/rollway reopen
  rollway ctl ./journal stats
  rollway ctl --socket /run/shop/control stats

Commands: levels; level CATEGORY=LEVEL; directives TEXT; reload; reopen [APPENDER]; rotate [APPENDER]; flush [L2];
release COMPOSITE; stats; help.

Exit codes: 0 done; 2 there is no such command, category, level or appender; 66 nobody listens there;
74 it was not done in time, or cannot be asked; 78 the process refused it, and all is as before.")]
pub(super) struct CtlArgs {
    /// The control socket.
    #[arg(long, value_name = "PATH", conflicts_with = "journal")]
    pub(super) socket: Option<PathBuf>,
    /// The journal directory of the process: its socket is `control` there. Or a directory above
    /// journals, such as that of a cluster.
    #[arg(long, value_name = "DIR")]
    pub(super) journal: Option<PathBuf>,
    /// Give up when no answer comes for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub(super) timeout: f64,
    /// Print the answer to `stats` as it comes: one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    /// What to ask, and its arguments; in front of it a directory as for --journal, with a `/` in it.
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

/// Check and show configuration files.
///
/// The layers lie on each other: files, the files of `conf.d` beside each, the environment
/// (ROLLWAY__SECTION__KEY, ROLLWAY_LOG), --set.
#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    Check(ConfigCheckArgs),
    Show(ConfigShowArgs),
    /// Print a file with every key, its meaning and its default.
    #[command(after_help = "\
Examples:
  rollway config default > rollway.toml

Exit codes: 0 all well; 74 cannot write.")]
    Default,
    /// Print the JSON schema of configuration files, for editors.
    #[command(after_help = "\
Examples:
  rollway config schema > rollway.schema.json

Exit codes: 0 all well; 74 cannot write.")]
    Schema,
}

/// Check a configuration, and print everything that is wrong with it.
///
/// Opens nothing but the files that are named.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway config check /etc/rollway/rollway.toml
  rollway config check base.toml site.json --set level=debug
  rollway config check --json rollway.toml | jq -r .place.line

Exit codes: 0 it is right; 66 no such file; 74 cannot read; 78 the configuration is wrong.")]
pub(super) struct ConfigCheckArgs {
    #[command(flatten)]
    pub(super) layers: LayerArgs,
    /// Print one JSON object a line for everything that is wrong, on standard output.
    #[arg(long)]
    pub(super) json: bool,
}

/// Print the values that count, each with where it comes from.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway config show /etc/rollway/rollway.toml
  rollway config show --json rollway.toml | jq '.[] | select(.origin != \"default\")'

Exit codes: 0 all well; 66 no such file; 74 cannot read; 78 the configuration is wrong.")]
pub(super) struct ConfigShowArgs {
    #[command(flatten)]
    pub(super) layers: LayerArgs,
    /// Print a JSON document.
    #[arg(long)]
    pub(super) json: bool,
}

/// What a configuration is read from.
#[derive(Args, Debug)]
pub(super) struct LayerArgs {
    /// Configuration files, TOML or JSON; later ones lie on top of earlier ones.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Lay a value on top, such as `journal.max_bytes=4GiB`. May be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Leave the environment out.
    #[arg(long)]
    pub(super) no_environment: bool,
}

/// Show on this machine that nothing is lost and nothing comes twice.
///
/// Starts a master and three workers of two threads each. Measures paced log calls, logs events at
/// full speed, kills one worker half way and starts it again, and compares the master's file with
/// the workers' own ledgers.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway demo
  rollway demo --events 300000 --json

Exit codes: 0 nothing lost, nothing doubled; 1 otherwise; 74 it could not be carried out.")]
pub(super) struct DemoArgs {
    /// Events at full speed, of all workers together.
    #[arg(long, value_name = "N", default_value = "3000000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(super) events: u64,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// What `rollway demo` tells its workers.
#[derive(Args, Debug)]
pub(super) struct DemoWorkerArgs {
    #[arg(long)]
    pub(super) to: String,
    #[arg(long)]
    pub(super) dir: PathBuf,
    #[arg(long)]
    pub(super) ledgers: PathBuf,
    #[arg(long)]
    pub(super) worker: usize,
    #[arg(long)]
    pub(super) run: usize,
    /// The first event of each thread.
    #[arg(long)]
    pub(super) from: Vec<u64>,
    /// The event behind the last one of each thread.
    #[arg(long)]
    pub(super) until: Vec<u64>,
    /// Begin with the measured phase.
    #[arg(long)]
    pub(super) paced: bool,
    /// Never end: it is going to be killed.
    #[arg(long)]
    pub(super) victim: bool,
}

/// Measure this machine: what to expect of it, and which setting to change.
///
/// Looks at the clock, the cores and the memory for rings, then measures log calls, files and a
/// master on loopback, each in a process of its own. Takes about a minute of two cores and up to
/// 3 GiB of the disk, all of which it gives back.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  rollway bench
  rollway bench --dir /var/lib/shop --only file
  rollway bench --seconds 6 --only call --json | jq .call.mixed4

Exit codes: 0 measured; 1 events were lost on the way; 2 wrong arguments; 66 no such directory;
74 it could not be carried out.")]
pub(super) struct BenchArgs {
    /// Measure these alone, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PHASES")]
    pub(super) only: Vec<BenchPhase>,
    /// How many seconds the measuring may take, all phases together.
    #[arg(long, value_name = "SECONDS", default_value = "45", value_parser = parse_bench_seconds)]
    pub(super) seconds: f64,
    /// Write below this directory, on the disk in question [default: $TMPDIR, else the current one].
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Print all figures and the advice as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BenchPhase {
    /// Log calls: disabled, with values, after a pause.
    Call,
    /// A journal directory, and a text file.
    File,
    /// A worker that ships to a master on loopback.
    Tcp,
}

/// What `rollway bench` tells the process of one part.
#[derive(Args, Debug)]
pub(super) struct BenchPartArgs {
    #[arg(value_enum)]
    pub(super) part: BenchPart,
    #[arg(long)]
    pub(super) seconds: f64,
    /// An empty directory of this part's own.
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// Where its rings go; otherwise where those of services go.
    #[arg(long)]
    pub(super) rings: Option<PathBuf>,
    /// Bytes that it may have on the disk at a time.
    #[arg(long)]
    pub(super) disk_bytes: u64,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BenchPart {
    Call,
    Journal,
    Text,
    Tcp,
}

/// Where `--appender` sends events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Destination {
    /// A text file, appended to.
    File(String),
    /// Standard output.
    Stdout,
}

fn parse_appender(text: &str) -> Result<Destination, &'static str> {
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(Destination::File(path.into())),
        Some(("console", "")) => Ok(Destination::Stdout),
        _ => Err("use file:PATH, such as file:/var/log/all.log, or console:"),
    }
}

fn parse_address(text: &str) -> Result<String, &'static str> {
    host_and_port(text).map(|_| text.to_owned())
}

fn parse_ack(text: &str) -> Result<AckLevel, &'static str> {
    match text {
        "L1" => Ok(AckLevel::Committed),
        "L2" => Ok(AckLevel::Synced),
        _ => Err("use L1 or L2"),
    }
}

fn parse_seconds(text: &str) -> Result<f64, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=1e9).contains(seconds));
    seconds.ok_or("use a number of seconds such as 30 or 0.5")
}

fn parse_watch_seconds(text: &str) -> Result<f64, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.ok_or("use a number of seconds from 0.1 to 86400, such as 2")
}

fn parse_bench_seconds(text: &str) -> Result<f64, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or("use a number of seconds from 0.1 to 3600, such as 20")
}

fn check_pattern(text: &str) -> Result<String, String> {
    parse_pattern(text).map(|_| text.to_owned())
}

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}
