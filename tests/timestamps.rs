//! When an event gets its time: in the call, once for a batch, or at the drain.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::journal::Position;
use rollway::{Timestamp, info};

/// The times and first values of the events, in the order of their delivery.
type Times = Arc<Mutex<Vec<(i64, String)>>>;

struct Recorder {
    times: Times,
    settled: Position,
}

struct Recording(Times);

impl Open for Recording {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Recorder { times: Arc::clone(&self.0), settled: place.begin })))
    }
}

impl Appender for Recorder {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            self.times.lock().unwrap().push((event.time_ns, message));
        });
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

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

#[test]
fn the_events_of_a_batch_have_one_time_and_the_order_of_their_calls() {
    // The batch is a matter of the process's logger; there is one in this program.
    let times = Times::default();
    let guard = rollway::builder().appender("times", Recording(times.clone())).init().unwrap();
    {
        let _batch = rollway::batch();
        info!("batch 0");
        std::thread::sleep(Duration::from_millis(2));
        {
            let _inner = rollway::batch();
            info!("batch 1");
        }
        info!("batch {}", 2);
        // So long that the ring goes on to its next lap, through the cold path, more than once.
        for n in 3..30_000 {
            if n % 10_000 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            info!("batch {}", n);
        }
    }
    info!("after {}", 1);
    std::thread::sleep(Duration::from_millis(2));
    info!("after {}", 2);
    guard.flush().unwrap();

    let times = times.lock().unwrap();
    let (batch, after) = times.split_at(30_000);
    for (n, (time, message)) in batch.iter().enumerate() {
        assert_eq!(*message, format!("batch {n}"));
        // Each block turns ticks into time by its own anchors. They agree to a fraction of what
        // passed since the batch began.
        assert!(time.abs_diff(batch[0].0) < 500_000, "{message}: {time}");
    }
    let after: Vec<_> = after.iter().map(|(time, message)| (*time, &**message)).collect();
    assert!(matches!(after[..], [(first, "after 1"), (second, "after 2")]
        if batch[0].0 < first && first < second));
}

#[test]
fn events_stamped_at_the_drain_have_the_time_when_they_were_taken_and_keep_their_order() {
    let times = Times::default();
    let guard = rollway::builder()
        .timestamp(Timestamp::Drain)
        .linger(Duration::from_millis(1))
        .appender("times", Recording(times.clone()))
        .start()
        .unwrap();
    let logger = guard.logger();
    let mut bounds = Vec::new();
    for block in 0..3 {
        let before = now_ns();
        for n in 0..100 {
            info!(logger: logger, "{block} {n}");
        }
        guard.flush().unwrap();
        bounds.push((before, now_ns()));
        std::thread::sleep(Duration::from_millis(2));
    }
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 300);
    for (at, (time, message)) in times.iter().enumerate() {
        let (block, n) = (at / 100, at % 100);
        assert_eq!(*message, format!("{block} {n}"));
        // The system's clock may be read a moment before or after the counter.
        let (before, after) = bounds[block];
        let slack = 1_000_000;
        assert!(before - slack <= *time && *time <= after + slack, "{message}: {time}");
    }
}
