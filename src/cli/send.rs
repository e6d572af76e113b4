//! `rollway send`: standard input as events.

use std::io::{self, BufReader, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::SendArgs;
use super::exit::{Exit, Failure};
use super::lines::Lines;
use crate::appender::Forwarder;
use crate::capture::Argument;
use crate::engine::builder;
use crate::engine::call::Call;
use crate::site::{Definition, Names, Site};
use crate::{Guard, InitError, Level, LevelFilter, Logger, ShutdownReport};

/// The longest line that arrives whole.
const LINE_BYTES_MAX: usize = 1 << 20;
/// A line of that length, with what stands around it in its record.
const RECORD_BYTES_MAX: usize = LINE_BYTES_MAX + 4096;
const RING_BYTES: usize = 8 << 20;
/// Bytes read at once.
const INPUT_BYTES: usize = 256 << 10;
/// The name of the forwarder, and with it of its cursor in the journal directory.
const APPENDER: &str = "master";
/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What the end of an engine may take that has nothing to deliver, or cannot.
const END_LIMIT: Duration = Duration::from_millis(500);

/// What was read from standard input.
#[derive(Default)]
struct Input {
    events: u64,
    cut: u64,
    escaped: u64,
    error: Option<io::Error>,
}

pub(super) fn run(
    args: &SendArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let mut engine = builder()
        .service(&*args.service)
        .level(LevelFilter::ALL)
        .ring_bytes(RING_BYTES)
        .ring_memory_bytes(4 * RING_BYTES)
        .record_bytes_max(RECORD_BYTES_MAX)
        .flush_timeout(LOOK)
        .appender(APPENDER, Forwarder::to(&args.to));
    if let Some(dir) = &args.journal {
        engine = engine.journal_dir(dir);
    }
    let guard = engine.start().map_err(|error| failure_of_start(&error))?;

    let logger = guard.logger().clone();
    let site = site_of(&args.category, args.level);
    let (sender, input) = mpsc::channel();
    // On a thread of its own: neither a silent input nor a full ring keeps us from ending in time.
    let reader = std::thread::Builder::new().name("rollway-input".to_owned()).spawn(move || {
        // Nobody waits for it any more when the time is over.
        let _ = sender.send(read(&logger, site));
    });
    reader.map_err(|error| Failure::caused(Exit::Io, "cannot start a thread", &error))?;

    let mut patience = Patience::new(Duration::from_secs_f64(args.timeout));
    let input = loop {
        match input.recv_timeout(LOOK) {
            Ok(input) => break Some(input),
            Err(RecvTimeoutError::Timeout) if patience.is_left(&guard) => {}
            Err(_) => break None,
        }
    };
    while input.is_some() && guard.flush().is_err() && patience.is_left(&guard) {}
    let report = guard.shutdown(END_LIMIT);
    tell(args, input.as_ref(), &report, out, err)
}

/// Logs every line of standard input.
fn read(logger: &Logger, site: &'static Site) -> Input {
    let level = site.definition().level;
    let mut lines = Lines::new(BufReader::with_capacity(INPUT_BYTES, io::stdin()), LINE_BYTES_MAX);
    let mut input = Input::default();
    loop {
        match lines.next() {
            Ok(Some(line)) => {
                logger.emit(
                    Call { site, level, target: None },
                    (Argument::new(line, line).capture(), ()),
                );
                input.events += 1;
            }
            Ok(None) => break,
            Err(error) => {
                input.error = Some(error);
                break;
            }
        }
    }
    Input { cut: lines.cut, escaped: lines.escaped, ..input }
}

/// A call site for a category that is known only now. It lives as long as the process.
fn site_of(category: &str, level: Level) -> &'static Site {
    Box::leak(Box::new(Site::new(Definition {
        level,
        line: 0,
        column: 0,
        target: Box::leak(category.into()),
        module: "",
        file: "",
        template: "{}",
        names: Names::Listed(&["0"]),
    })))
}

/// How long the master may do nothing while something waits for it.
struct Patience {
    limit: Duration,
    since: Instant,
    delivered: u64,
}

impl Patience {
    fn new(limit: Duration) -> Patience {
        Patience { limit, since: Instant::now(), delivered: 0 }
    }

    fn is_left(&mut self, guard: &Guard) -> bool {
        let stats = guard.stats();
        let delivered = stats.appenders.iter().map(|appender| appender.delivered).sum();
        let nothing_waits = stats.appenders.iter().all(|appender| appender.settled == stats.end);
        if nothing_waits || delivered != self.delivered {
            (self.since, self.delivered) = (Instant::now(), delivered);
        }
        self.since.elapsed() < self.limit
    }
}

fn tell(
    args: &SendArgs,
    input: Option<&Input>,
    report: &ShutdownReport,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let none = Input::default();
    let Input { events, cut, escaped, error } = input.unwrap_or(&none);
    let left = report.left();
    let is_all = input.is_some() && left == 0 && report.left_in_rings_bytes == 0;
    if args.json {
        let object = json!({
            "read": events, "delivered": report.delivered(), "left": left,
            "cut": cut, "escaped": escaped, "complete": is_all,
        });
        writeln!(out, "{object}").map_err(Failure::of_output)?;
    }
    let mut note = |text: String| {
        // Without a standard error there is nobody to tell.
        let _ = writeln!(err, "rollway: {text}");
    };
    if *cut > 0 {
        note(format!("{cut} lines are longer than {LINE_BYTES_MAX} bytes and were cut"));
    }
    if *escaped > 0 {
        note(format!("{escaped} lines are not UTF-8; their bytes are shown as \\x and two digits"));
    }
    if let Some(error) = error {
        return Err(Failure::caused(Exit::Io, "cannot read standard input", error));
    }
    if is_all {
        return Ok(Exit::Ok);
    }
    let why = report.appenders.iter().find_map(|appender| appender.failing.clone());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let (to, timeout) = (args.to.join(" or "), args.timeout);
    let what = format!("{to} has not taken {left} events, and nothing more for {timeout} s{why}");
    match &args.journal {
        Some(dir) if input.is_some() => {
            let dir = dir.display();
            note(format!("{what}; they wait in {dir} and go with the next `send --journal {dir}`"));
            Ok(Exit::Ok)
        }
        Some(_) => {
            Err(Failure::new(Exit::Io, format!("{what}; the input was not read to its end")))
        }
        None => Err(Failure::new(
            Exit::Io,
            format!("{what}; they are lost: check the address, or give --journal DIR to keep them"),
        )),
    }
}

pub(super) fn failure_of_start(error: &InitError) -> Failure {
    let exit = match error {
        InitError::Appender(_) | InitError::Invalid { .. } => Exit::Usage,
        _ => Exit::Io,
    };
    Failure::caused(exit, "cannot start", error)
}
