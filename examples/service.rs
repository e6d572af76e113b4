//! A service with several threads, a journal directory, and a text file that has each event once,
//! even when the service is killed and started again.
//!
//! `cargo run --example service -- DIR`; without DIR it uses a temporary directory.

use std::time::Duration;

use rollway::Level;
use rollway::appender::File;
use rollway::layout::Pattern;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("rollway-service-{}", std::process::id())),
        Into::into,
    );
    let layout = Pattern::parse("%d{ISO8601} %-5p [%t] %c %X{order} %m%k%n")?;
    let guard = rollway::builder()
        .service("shop")
        .level(Level::DEBUG)
        .journal_dir(dir.join("journal"))
        .appender("file", File::new(dir.join("shop.log")).layout(layout))
        .init()?;

    let workers = (0..4).map(|worker| {
        std::thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
            rollway::prepare_thread();
            for order in 0..1000_u32 {
                let _order = rollway::mdc("order", order);
                rollway::debug!(target: "shop::till", worker, items = order % 7; "order taken");
                rollway::info!("order {order} filled by worker {worker}");
            }
        })
    });
    for worker in workers.collect::<Result<Vec<_>, _>>()? {
        worker.join().map_err(|_| "a worker panicked")?;
    }

    let report = guard.shutdown(Duration::from_secs(10));
    println!("delivered {}, left {}, in {}", report.delivered(), report.left(), dir.display());
    Ok(())
}
