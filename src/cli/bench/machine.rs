//! What the machine is: processor, clock, memory for rings, disk.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::probe::Probe;
use crate::clock::{self, Rate};

/// Where rings lie by default.
pub(super) const SHM: &str = "/dev/shm";
/// Cores whose round trip is longer share no cache.
pub(super) const FAR_NS: f64 = 250.0;
const CLOCK_READS: u32 = 100_000;
/// Two readings of the clock that follow one another, for its steps.
const CLOCK_PAIRS: usize = 20_000;

/// All that is known before anything is measured, and the clock.
pub(super) fn describe() -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let mut lines = cpu.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let has = |flag| flags.split_whitespace().any(|known| known == flag);
    let clock_source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let clock_source = std::fs::read_to_string(clock_source).unwrap_or_default();
    let is_invariant = has("constant_tsc") && has("nonstop_tsc") || cfg!(target_arch = "aarch64");
    json!({
        "cpu": field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "load": load(),
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "clock": {
            "source": match clock_source.trim() { "" => "unknown", name => name },
            "counter_used": clock::is_counter(),
            "counter_invariant": is_invariant,
            "system_read_ns": system_read_ns(),
            "step_ns": step_ns(),
        },
        "shm": shm(),
    })
}

/// Adds what the clock costs and how far the cores are apart, before and after all else.
pub(super) fn add_probes(figures: &mut Value, before: Probe, after: Probe) {
    let machine = &mut figures["machine"];
    // What disturbs a reading makes it slower.
    machine["clock"]["read_ns"] = before.clock_ns.min(after.clock_ns).into();
    let [first, last] = [before, after].map(|probe| probe.round_trip_ns);
    let state = |ns| if ns > FAR_NS { "far" } else { "near" };
    machine["round_trip"] = match first > 0.0 {
        true => json!({
            "before_ns": first, "after_ns": last, "before": state(first), "after": state(last),
        }),
        false => Value::Null,
    };
}

/// The file system below `dir`, and its room.
pub(super) fn disk(dir: &Path) -> Value {
    let (file_system, device) = mount_of(dir).unwrap_or_default();
    json!({
        "dir": dir.display().to_string(), "file_system": file_system, "device": device,
        "free_bytes": free_bytes(dir).ok(),
    })
}

/// What a user may still write there.
pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let room = rustix::fs::statvfs(dir)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// How many threads of all programs wanted a core, over the last minute.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn shm() -> Value {
    match rustix::fs::statvfs(SHM) {
        Ok(room) => json!({
            "path": SHM,
            "bytes": room.f_blocks.saturating_mul(room.f_frsize),
            "free_bytes": room.f_bavail.saturating_mul(room.f_frsize),
        }),
        Err(_) => Value::Null,
    }
}

/// Type and device of the mount that `dir` is on.
fn mount_of(dir: &Path) -> Option<(String, String)> {
    let dir = dir.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    nearest_mount(&mounts, &dir)
}

/// The entry with the longest place that `dir` is below; of several the last one, which hides the
/// others.
fn nearest_mount(mounts: &str, dir: &Path) -> Option<(String, String)> {
    let entries = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        // What is no letter for the table stands there as `\040` and the like.
        let place = place.split(' ').nth(4)?.replace("\\040", " ");
        let mut kind = kind.split(' ');
        let found = (kind.next()?.to_owned(), kind.next()?.to_owned());
        dir.starts_with(&place).then_some((place.len(), found))
    });
    entries.max_by_key(|(length, _)| *length).map(|(_, found)| found)
}

/// What a reading takes where the counter does not serve.
fn system_read_ns() -> f64 {
    let start = Instant::now();
    for _ in 0..CLOCK_READS {
        black_box(Instant::now());
    }
    start.elapsed().as_nanos() as f64 / f64::from(CLOCK_READS)
}

/// The greatest step that divides all differences of successive readings.
fn step_ns() -> f64 {
    let mut last = clock::ticks();
    let steps = (0..CLOCK_PAIRS).map(|_| {
        let now = clock::ticks();
        let step = now.saturating_sub(last);
        last = now;
        step
    });
    steps.fold(0, greatest_common_divisor) as f64 * Rate::measure().nanos_per_tick()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_clock_divide_its_differences() {
        assert_eq!([20, 60, 0, 100].into_iter().fold(0, greatest_common_divisor), 20);
        assert_eq!([20, 61].into_iter().fold(0, greatest_common_divisor), 1);
    }

    #[test]
    fn a_directory_is_on_the_mount_nearest_to_it() {
        let mounts = "21 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n\
                      30 21 0:26 / /data rw - xfs /dev/vdb rw\n\
                      31 30 0:27 / /data/log\\040files rw - tmpfs none rw\n\
                      a line that means nothing\n";
        let kind = |dir: &str| nearest_mount(mounts, Path::new(dir)).unwrap().0;
        assert_eq!(
            ["/data/log files/x", "/data/log", "/database"].map(kind),
            ["tmpfs", "xfs", "ext4"]
        );
        assert_eq!(nearest_mount("", Path::new("/data")), None);
    }

    #[test]
    fn a_machine_whose_cores_moved_apart_is_told_before_and_after() {
        let mut figures = json!({ "machine": { "clock": {} } });
        let probe = |clock_ns, round_trip_ns| Probe { clock_ns, round_trip_ns };
        add_probes(&mut figures, probe(9.5, 110.0), probe(8.9, 520.0));
        assert_eq!(figures["machine"]["clock"]["read_ns"], 8.9);
        assert_eq!(figures["machine"]["round_trip"]["before"], "near");
        assert_eq!(figures["machine"]["round_trip"]["after"], "far");

        add_probes(&mut figures, probe(9.5, 0.0), probe(8.9, 0.0));
        assert!(figures["machine"]["round_trip"].is_null());
    }
}
