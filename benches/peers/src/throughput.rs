//! How many events a second arrive in the file?
//!
//! The clock runs from the first call until the file is complete. Only what arrived counts.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::Failure;
use crate::job::{Job, Metric, Outcome, counted};
use crate::peers::Peer;

/// Measures a peer in this process.
pub fn measure<P: Peer>(job: &Job) -> Result<Outcome, Failure> {
    let peer = P::start(&job.dir)?;
    let (threads, each) = (job.threads as u64, job.events / job.threads as u64);
    let barrier = Barrier::new(job.threads);
    let produce = |thread: u64| {
        peer.prepare_thread();
        barrier.wait();
        let start = Instant::now();
        job.case.log(&peer, thread * each..(thread + 1) * each);
        start
    };
    let start = thread::scope(|scope| {
        let producers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || produce(thread))).collect();
        let starts = producers.into_iter().map(|producer| producer.join());
        starts.collect::<Result<Vec<Instant>, _>>()
    });
    let start = start.map_err(|_| "a producer panicked")?;
    let start = start.into_iter().min().ok_or("there is no producer")?;
    peer.finish()?;

    let counted = counted::<P>(job)?;
    let seconds = (counted.complete - start).as_secs_f64();
    Ok(Outcome(vec![
        Metric::rate(counted.events, seconds),
        Metric::lost(each * threads, counted.events),
    ]))
}
