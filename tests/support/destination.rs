//! Destinations that keep what they get in memory, and do so when the test lets them.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::journal::Position;

/// The messages that a [`Collector`] has got.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<String>>>);

impl Collected {
    pub fn messages(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// What a [`Collector`] waits for before each batch.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everything through from now on.
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The test's own handle beside the appender's: whoever fails must not leave it waiting.
        if Arc::strong_count(&self.0) <= 2 {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_all();
        }
    }
}

/// Keeps messages in memory.
#[derive(Clone, Default)]
pub struct Collector {
    collected: Collected,
    gate: Option<Gate>,
    pause: Duration,
    optional: bool,
    settled: Position,
}

impl Collector {
    pub fn new() -> (Collector, Collected) {
        let collector = Collector::default();
        let collected = collector.collected.clone();
        (collector, collected)
    }

    /// Keeps what it gets there.
    pub fn keeping(self, collected: &Collected) -> Collector {
        Collector { collected: collected.clone(), ..self }
    }

    /// Takes nothing until the gate is open.
    pub fn behind(self, gate: &Gate) -> Collector {
        Collector { gate: Some(gate.clone()), ..self }
    }

    /// Takes this long for each batch.
    pub fn slow(self, pause: Duration) -> Collector {
        Collector { pause, ..self }
    }

    pub fn optional(self) -> Collector {
        Collector { optional: true, ..self }
    }
}

impl Open for Collector {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Collector { settled: place.begin, ..self.clone() })))
    }

    fn is_mandatory(&self) -> bool {
        !self.optional
    }
}

impl Appender for Collector {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        std::thread::sleep(self.pause);
        let mut messages = Vec::new();
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            messages.push(message);
        });
        self.collected.0.lock().unwrap().extend(messages);
        self.settled = batch.next();
        Ok(())
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}
