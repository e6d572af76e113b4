//! What does a call cost its thread?
//!
//! Twenty calls are timed as one, because the clock ticks in steps of about a call's length. Then the
//! producer spins for [`PAUSE_NS`], and after each [`SERIES`] bursts for [`REST_NS`]: at about
//! 250,000 events a second every peer's consumer keeps up, and 100 events fit into every queue.

use std::hint::spin_loop;
use std::thread;

use hdrhistogram::Histogram;
use rollway::clock::{Rate, ticks};

use crate::Failure;
use crate::job::{Job, Metric, Outcome, counted};
use crate::peers::Peer;
use crate::pin;
use crate::workload::Case;

/// Calls timed as one.
pub const BURST: u64 = 20;
/// Between two bursts.
const PAUSE_NS: f64 = 10_000.0;
/// Bursts between two rests.
const SERIES: u64 = 5;
/// Between two series.
const REST_NS: f64 = 300_000.0;
/// Bursts before the first that counts.
const WARM_UP_BURSTS: u64 = 1_000;
/// The longest burst that is told from longer ones, in nanoseconds.
const BURST_NS_MAX: u64 = 10_000_000_000;

/// Measures a peer in this process.
pub fn measure<P: Peer>(job: &Job) -> Result<Outcome, Failure> {
    let cpu = pin::reserve_cpu()?;
    let rate = Rate::measure();
    let peer = P::start(&job.dir)?;
    let bursts = job.events / BURST;
    let producer = || {
        cpu.map(pin::pin).transpose()?;
        peer.prepare_thread();
        produce(&peer, job.case, bursts, rate.nanos_per_tick())
    };
    let burst_ns = thread::scope(|scope| scope.spawn(producer).join());
    let burst_ns = burst_ns.map_err(|_| "the producer panicked")??;
    peer.finish()?;

    let expected = (bursts + WARM_UP_BURSTS) * BURST;
    let delivered = counted::<P>(job)?.events;
    let percentile = |metric, quantile| {
        let value = burst_ns.value_at_quantile(quantile) as f64 / BURST as f64;
        Metric { metric, unit: "ns", value }
    };
    Ok(Outcome(vec![
        percentile("p50", 0.5),
        percentile("p99", 0.99),
        percentile("p99.9", 0.999),
        Metric::lost(expected, delivered),
    ]))
}

/// Logs, and returns what each burst took, in nanoseconds.
fn produce<P: Peer>(
    peer: &P,
    case: Case,
    bursts: u64,
    nanos_per_tick: f64,
) -> Result<Histogram<u64>, Failure> {
    let spin = |nanos: f64| {
        let start = ticks();
        while (ticks().wrapping_sub(start) as f64) * nanos_per_tick < nanos {
            spin_loop();
        }
    };
    let mut burst_ns = Histogram::new_with_max(BURST_NS_MAX, 3)?;
    for burst in 0..WARM_UP_BURSTS + bursts {
        let numbers = burst * BURST..(burst + 1) * BURST;
        let start = ticks();
        case.log(peer, numbers);
        let took = ticks().wrapping_sub(start) as f64 * nanos_per_tick;
        if burst >= WARM_UP_BURSTS {
            burst_ns.saturating_record(took as u64);
        }
        spin(if burst % SERIES == SERIES - 1 { REST_NS } else { PAUSE_NS });
    }
    Ok(burst_ns)
}
