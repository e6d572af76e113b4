//! rollway's master, fed by workers that log.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use ::rollway::Guard;

use super::{Collector, Sender};
use crate::Failure;
use crate::peers::worker;
use crate::process::Process;
use crate::receiver::Receiver;
use crate::workload::mixed4;

/// How long a worker may take to ship what it has.
const SHUTDOWN_MAX: Duration = Duration::from_secs(60);

pub fn version() -> Result<String, String> {
    Ok("rollway 0.1.0".to_owned())
}

pub struct Master(Receiver);

impl Collector for Master {
    type Sender = Worker;

    fn start(dir: &Path) -> Result<Master, Failure> {
        Receiver::start(dir).map(Master)
    }

    fn process(&self) -> &Process {
        &self.0.process
    }

    fn connect(&self, dir: &Path, number: u64) -> Result<Worker, Failure> {
        let worker = worker(dir, self.0.address()).service(format!("worker-{number}"));
        Ok(Worker(worker.start()?))
    }

    fn finish(self) -> Result<(), Failure> {
        self.0.finish()
    }
}

/// An engine of its own, with its own connection.
pub struct Worker(Guard);

impl Sender for Worker {
    fn send(self, numbers: Range<u64>) -> Result<(), Failure> {
        let logger = self.0.logger();
        for order in numbers {
            let (qty, px, sym) = mixed4(order);
            ::rollway::info!(
                logger: logger, "order {} filled qty {} px {} sym {}", order, qty, px, sym
            );
        }
        match self.0.shutdown(SHUTDOWN_MAX).left() {
            0 => Ok(()),
            left => Err(format!("{left} events were not shipped within {SHUTDOWN_MAX:?}").into()),
        }
    }
}
