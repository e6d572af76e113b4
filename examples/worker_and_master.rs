//! A worker that ships its events to a master. Both live in this process here; in earnest the
//! master is `rollway master`, and the worker any program.

use std::time::Duration;

use rollway::appender::{Console, Forwarder};
use rollway::journal::JournalOptions;
use rollway::layout::Pattern;
use rollway::master::Master;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layout = Pattern::parse("%d{ISO8601} %-5p %H %P %c %m%k%n")?;
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::memory())
        .appender("console", Console::stdout().layout(layout))
        .start()?;

    let guard = rollway::builder()
        .service("worker")
        .appender("master", Forwarder::new(master.local_addr().to_string()))
        .init()?;
    for order in 0..3 {
        rollway::info!(order; "shipped");
    }
    let worker = guard.shutdown(Duration::from_secs(5));
    let master = master.shutdown(Duration::from_secs(5));
    eprintln!(
        "the worker sent {}, the master delivered {}",
        worker.delivered(),
        master.delivered()
    );
    Ok(())
}
