//! Which thread runs where.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Reserves the first CPU of this process for a producer: this thread, and all that it starts from
/// now on, keep to the others. `None` if there is only one.
pub fn reserve_cpu() -> Result<Option<usize>, Failure> {
    let mut others = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| others.is_set(*cpu));
    let Some(first) = first.filter(|_| others.count() > 1) else { return Ok(None) };
    others.unset(first);
    sched_setaffinity(None, &others)?;
    Ok(Some(first))
}

/// Keeps this thread on one CPU.
pub fn pin(cpu: usize) -> Result<(), Failure> {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
        .then_some(())
        .ok_or_else(|| format!("cannot pin the producer to CPU {cpu}").into())
}
