//! Figures of a running process, as the kernel has them, and of a row of measurements.

use std::fs;
use std::io::{self, ErrorKind};

/// What a process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Footprint {
    /// Memory that is resident, in KiB.
    pub(crate) rss_kib: u64,
    /// File descriptors.
    pub(crate) fds: u64,
    pub(crate) threads: u64,
    /// What its threads have worked so far, in clock ticks of a hundredth of a second.
    pub(crate) cpu_ticks: u64,
}

impl Footprint {
    /// Of a process that runs.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn of(pid: u32) -> io::Result<Footprint> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        };
        // One that has ended and is not waited for has no memory any more.
        let (Some(rss_kib), Some(threads)) = (field("VmRSS:"), field("Threads:")) else {
            return Err(io::Error::new(ErrorKind::NotFound, format!("process {pid} has ended")));
        };
        let fds = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
        // Behind the name, which may have blanks: fields 14 and 15 of the line.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let cpu_ticks = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Footprint { rss_kib, fds, threads, cpu_ticks })
    }
}

/// The part of `values` at `permille` of a thousand when they are sorted; 0 of none.
pub(crate) fn quantile(values: &mut [u64], permille: usize) -> u64 {
    if values.is_empty() {
        return 0;
    }
    let at = (values.len() * permille / 1000).min(values.len() - 1);
    *values.select_nth_unstable(at).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_memory_and_descriptors_and_one_that_ended_is_told() {
        let before = Footprint::of(std::process::id()).unwrap();
        let _open = fs::File::open("/dev/null").unwrap();
        let after = Footprint::of(std::process::id()).unwrap();
        assert!(before.rss_kib > 0 && after.fds > 0, "{before:?}, {after:?}");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(Footprint::of(pid).is_err());
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<u64> = (0..1000).rev().collect();
        assert_eq!(quantile(&mut values, 999), 999);
        assert_eq!(quantile(&mut values, 500), 500);
        assert_eq!(quantile(&mut [7], 999), 7);
        assert_eq!(quantile(&mut [], 999), 0);
    }
}
