//! From figures to settings: what was found, what follows from it, and what to change.

use std::fmt;

use serde_json::{Value, json};

use super::machine::FAR_NS;
use super::report::{bytes, rate};
use crate::engine::{RING_BYTES, RING_MEMORY_BYTES};
use crate::journal::JournalOptions;

/// With more threads that want to run, for each core, the figures are partly theirs.
const LOAD_MAX: f64 = 0.5;
/// A reading of the clock that takes longer is worth a word.
const CLOCK_NS_MAX: f64 = 20.0;
/// Round trips before and after that differ by more are those of two machines.
const CHANGE_MAX: f64 = 1.5;
/// A round trip between cores that share a cache.
const NEAR_NS: f64 = 110.0;
/// No two cores are so far apart: one of them worked for others.
const ELSEWHERE_NS: f64 = 2000.0;
/// A tail so many times its median is somebody else's work.
const TAIL_MAX: f64 = 20.0;
/// A destination slower than this part of the journal falls behind in a burst.
const BEHIND_MIN: f64 = 0.9;
/// How many default journals should fit on the disk.
const JOURNALS_MIN: f64 = 2.0;

/// One line of advice.
#[derive(Debug, PartialEq)]
pub(super) struct Advice {
    /// What was measured, with its numbers.
    pub(super) condition: String,
    /// What follows.
    pub(super) advice: String,
    /// The setting to change, where it is one of rollway.
    pub(super) setting: Option<&'static str>,
}

impl Advice {
    pub(super) fn to_json(&self) -> Value {
        let Advice { condition, advice, setting } = self;
        json!({ "condition": condition, "advice": advice, "setting": setting })
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.condition, self.advice)
    }
}

/// The advice that the figures give; a phase that was not measured gives none.
pub(super) fn of(figures: &Value) -> Vec<Advice> {
    let figures = Figures(figures);
    let rules = [
        Figures::load,
        Figures::clock,
        Figures::machine_changed,
        Figures::cores_far,
        Figures::single_core,
        Figures::rings_on_heap,
        Figures::few_rings,
        Figures::tail,
        Figures::ring_fills,
        Figures::text_behind,
        Figures::master_behind,
        Figures::disk_small,
    ];
    rules.into_iter().filter_map(|rule| rule(&figures)).collect()
}

struct Figures<'a>(&'a Value);

impl Figures<'_> {
    fn load(&self) -> Option<Advice> {
        let (load, cores) = (self.number("/machine/load")?, self.number("/machine/cores")?);
        if load <= LOAD_MAX * cores {
            return None;
        }
        advice(
            format!("the machine was busy before (load {load:.1} on {cores} cores)"),
            "other programs slow every figure down; measure again when they rest",
            None,
        )
    }

    fn clock(&self) -> Option<Advice> {
        let read_ns = self.number("/machine/clock/read_ns")?;
        let source = self.text("/machine/clock/source");
        if self.0.pointer("/machine/clock/counter_used")? == &Value::Bool(false) {
            return advice(
                format!(
                    "the processor's counter is not usable (the kernel keeps time by {source})"
                ),
                format!(
                    "each log call asks the system for the time, {read_ns:.0} ns instead of about 9; \
                     let the kernel use the counter (tsc on x86) if the machine or its host allows it"
                ),
                None,
            );
        }
        if read_ns <= CLOCK_NS_MAX {
            return None;
        }
        advice(
            format!("a reading of the processor's counter takes {read_ns:.0} ns"),
            "no log call with a time is faster; the host may trap the instruction",
            None,
        )
    }

    fn machine_changed(&self) -> Option<Advice> {
        let before = self.number("/machine/round_trip/before_ns")?;
        let after = self.number("/machine/round_trip/after_ns")?;
        if before.max(after) <= CHANGE_MAX * before.min(after) {
            return None;
        }
        advice(
            format!(
                "a round trip between two cores took {before:.0} ns before and {after:.0} ns after"
            ),
            "the machine changed while it was measured; measure again, on a quiet machine",
            None,
        )
    }

    fn cores_far(&self) -> Option<Advice> {
        // What disturbs a reading makes it slower: the lesser one tells the distance.
        let round_trip = self
            .number("/machine/round_trip/before_ns")?
            .min(self.number("/machine/round_trip/after_ns")?);
        if !(FAR_NS..ELSEWHERE_NS).contains(&round_trip) {
            return None;
        }
        advice(
            format!("two cores are far apart ({round_trip:.0} ns a round trip)"),
            format!(
                "what passes between a thread and the writer takes up to {:.1} times as long as \
                 between near cores, seen in p99 and in events a second; \
                 pin_writer(CPU) to a core that shares a cache with the threads that log",
                round_trip / NEAR_NS
            ),
            Some("pin_writer"),
        )
    }

    fn single_core(&self) -> Option<Advice> {
        if self.number("/machine/cores")? > 1.0 {
            return None;
        }
        advice(
            "there is one core",
            "the writer runs in place of the threads that log; never set wait(WaitStrategy::Spin), \
             and ring_bytes larger than the default carries longer bursts",
            Some("ring_bytes"),
        )
    }

    fn rings_on_heap(&self) -> Option<Advice> {
        if self.0.pointer("/call/durability")? == "L1" {
            return None;
        }
        advice(
            "rings lie on the heap, not on a memory file system",
            "a killed process loses what is in them; set rings_dir to a directory on tmpfs, and \
             require(Durability::L1) to be refused instead",
            Some("rings_dir"),
        )
    }

    fn few_rings(&self) -> Option<Advice> {
        let free = self.number("/machine/shm/free_bytes")?;
        if free >= RING_MEMORY_BYTES as f64 {
            return None;
        }
        let rings = (free / RING_BYTES as f64).floor();
        advice(
            format!("{} has {} free", self.text("/machine/shm/path"), bytes(free)),
            format!(
                "that is room for the rings of {rings} threads; the others share one ring and are \
                 slower: enlarge the mount (a container's --shm-size), set rings_dir to a larger \
                 tmpfs, or lower ring_bytes"
            ),
            Some("rings_dir"),
        )
    }

    fn tail(&self) -> Option<Advice> {
        let p50 = self.number("/call/mixed4/p50_ns")?;
        let p999 = self.number("/call/mixed4/p999_ns")?;
        if p999 <= TAIL_MAX * p50 {
            return None;
        }
        advice(
            format!("p99.9 of a log call is {:.0} times its median ({p999:.0} ns)", p999 / p50),
            "other work interrupts the threads: measure on a quiet machine, and keep a core free \
             for the writer with pin_writer(CPU)",
            Some("pin_writer"),
        )
    }

    fn ring_fills(&self) -> Option<Advice> {
        let call_ns = self.number("/call/mixed4/p50_ns")?;
        let journal = self.number("/file/journal/events_per_second")?;
        let record_bytes = self.number("/file/journal/record_bytes_per_event")?;
        let burst = 1e9 / call_ns;
        if journal >= BEHIND_MIN * burst {
            return None;
        }
        let ms = RING_BYTES as f64 / record_bytes / (burst - journal) * 1e3;
        advice(
            format!(
                "a thread logs up to {} events/s, and the journal takes {}",
                rate(burst),
                rate(journal)
            ),
            format!(
                "a thread at full speed fills its ring in {ms:.1} ms and waits then; for longer \
                 bursts raise ring_bytes, or choose overflow(OverflowPolicy::BlockFor(LIMIT)) to \
                 bound the wait and count what is dropped"
            ),
            Some("ring_bytes"),
        )
    }

    fn text_behind(&self) -> Option<Advice> {
        let text = self.number("/file/text/lines_per_second")?;
        self.behind("a text file", text, "lines/s")
    }

    fn master_behind(&self) -> Option<Advice> {
        let master = self.number("/tcp/events_per_second")?;
        self.behind("the master", master, "events/s")
    }

    /// A mandatory destination that takes less than the journal.
    fn behind(&self, who: &str, takes: f64, unit: &str) -> Option<Advice> {
        let journal = self.number("/file/journal/events_per_second")?;
        let record_bytes = self.number("/file/journal/record_bytes_per_event")?;
        if takes >= BEHIND_MIN * journal {
            return None;
        }
        let journal_bytes = JournalOptions::directory("").max_bytes as f64;
        let seconds = journal_bytes / record_bytes / (journal - takes);
        advice(
            format!("{who} takes {} {unit}, the journal {} events/s", rate(takes), rate(journal)),
            format!(
                "it may fall behind by {} events before calls wait, {seconds:.1} s at full speed; \
                 for longer bursts raise journal_max_bytes ({} by default)",
                rate(journal_bytes / record_bytes),
                bytes(journal_bytes)
            ),
            Some("journal_max_bytes"),
        )
    }

    fn disk_small(&self) -> Option<Advice> {
        let free = self.number("/file/disk/free_bytes")?;
        let journal_bytes = JournalOptions::directory("").max_bytes as f64;
        if free >= JOURNALS_MIN * journal_bytes {
            return None;
        }
        advice(
            format!("{} has {} free", self.text("/file/disk/dir"), bytes(free)),
            format!(
                "a journal grows to {} by default, and a full disk makes calls wait; \
                 lower journal_max_bytes, or move journal_dir",
                bytes(journal_bytes)
            ),
            Some("journal_max_bytes"),
        )
    }

    fn number(&self, place: &str) -> Option<f64> {
        self.0.pointer(place)?.as_f64()
    }

    fn text(&self, place: &str) -> &str {
        self.0.pointer(place).and_then(Value::as_str).unwrap_or("unknown")
    }
}

/// Always something: the shape that the rules want.
fn advice(
    condition: impl Into<String>,
    advice: impl Into<String>,
    setting: Option<&'static str>,
) -> Option<Advice> {
    Some(Advice { condition: condition.into(), advice: advice.into(), setting })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which nothing is to be changed.
    fn quiet() -> Value {
        json!({
            "machine": {
                "cores": 8, "load": 0.4,
                "clock": { "source": "tsc", "counter_used": true, "read_ns": 8.9 },
                "round_trip": {
                    "before_ns": 110.0, "after_ns": 112.0, "before": "near", "after": "near",
                },
                "shm": { "path": "/dev/shm", "free_bytes": 1_u64 << 34 },
            },
            "call": { "durability": "L1", "mixed4": { "p50_ns": 10.0, "p999_ns": 20.0 } },
            "file": {
                "disk": { "dir": "/data", "free_bytes": 1_u64 << 36 },
                "journal": { "events_per_second": 95e6, "record_bytes_per_event": 56.0 },
                "text": { "lines_per_second": 90e6 },
            },
            "tcp": { "events_per_second": 90e6 },
        })
    }

    /// The advice for a quiet machine of which one figure is another.
    fn changed(place: &str, to: impl Into<Value>) -> Vec<Advice> {
        let mut figures = quiet();
        *figures.pointer_mut(place).unwrap() = to.into();
        of(&figures)
    }

    #[test]
    fn a_machine_on_which_all_is_well_gets_no_advice() {
        assert_eq!(of(&quiet()), []);
        assert_eq!(of(&json!({})), []);
    }

    #[test]
    fn each_condition_gives_its_own_advice() {
        for (place, value, setting, word) in [
            ("/machine/load", json!(7.2), None, "load 7.2"),
            ("/machine/clock/counter_used", json!(false), None, "keeps time by tsc"),
            ("/machine/clock/read_ns", json!(31.0), None, "31 ns"),
            ("/machine/round_trip/after_ns", json!(240.0), None, "240 ns after"),
            ("/machine/cores", json!(1), Some("ring_bytes"), "one core"),
            ("/call/durability", json!("L0"), Some("rings_dir"), "on the heap"),
            ("/machine/shm/free_bytes", json!(64 << 20), Some("rings_dir"), "64.0 MiB"),
            ("/call/mixed4/p999_ns", json!(900.0), Some("pin_writer"), "90 times"),
            ("/file/text/lines_per_second", json!(15e6), Some("journal_max_bytes"), "15.0 M lines"),
            ("/tcp/events_per_second", json!(2e4), Some("journal_max_bytes"), "20 k events"),
            ("/file/disk/free_bytes", json!(1 << 30), Some("journal_max_bytes"), "1.0 GiB"),
        ] {
            let advice = changed(place, value);
            let [advice] = &advice[..] else { panic!("{place}: {advice:?}") };
            assert_eq!(advice.setting, setting, "{place}");
            let text = advice.to_string();
            assert!(text.contains(word), "{place}: {text}");
        }
    }

    #[test]
    fn cores_are_far_apart_when_both_round_trips_say_so_and_nobody_else_held_them() {
        let told = |ns: f64| {
            let mut figures = quiet();
            figures["machine"]["round_trip"]["before_ns"] = ns.into();
            figures["machine"]["round_trip"]["after_ns"] = (ns * 1.2).into();
            of(&figures)
        };
        let [advice] = &told(495.0)[..] else { panic!("{:?}", told(495.0)) };
        assert_eq!(advice.setting, Some("pin_writer"));
        assert!(advice.to_string().contains("4.5 times"), "{advice}");
        assert_eq!(told(240.0), []);
        assert_eq!(told(9000.0), []);
    }

    #[test]
    fn a_ring_that_a_thread_can_fill_is_told_with_the_time_it_takes() {
        let mut figures = quiet();
        figures["file"]["journal"]["events_per_second"] = 50e6.into();
        figures["file"]["text"]["lines_per_second"] = 50e6.into();
        let advice = of(&figures);
        let [advice] = &advice[..] else { panic!("{advice:?}") };
        // 1 MiB / 56 bytes / (100 - 50) M events/s
        assert!(advice.to_string().contains("fills its ring in 0.4 ms"), "{advice}");
        assert_eq!(advice.setting, Some("ring_bytes"));
    }

    #[test]
    fn every_setting_that_is_named_is_one_of_the_builder() {
        // Each is called: it compiles, or the advice is wrong.
        let _ = crate::builder()
            .pin_writer(0)
            .rings_dir("")
            .ring_bytes(RING_BYTES)
            .journal_dir("")
            .journal_max_bytes(1 << 30)
            .wait(crate::WaitStrategy::Spin)
            .require(crate::Durability::L1)
            .overflow(crate::OverflowPolicy::BlockFor(std::time::Duration::from_millis(1)));
    }
}
