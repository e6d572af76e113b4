//! The machine and the sources that the figures belong to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Facts by name; what the system does not tell is left out.
pub(super) fn facts(root: &Path) -> BTreeMap<&'static str, String> {
    let dir = std::env::var_os("ROLLWAY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let facts = [
        ("processor", cpu_field("model name")),
        ("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string())),
        ("hypervisor", cpu_field("flags").map(|flags| told_hypervisor(&flags))),
        ("memory", memory()),
        ("kernel", trimmed(fs::read_to_string("/proc/sys/kernel/osrelease").ok())),
        ("clock source", clock_source()),
        ("file system", file_system(root, &dir)),
        ("compiler", said(root, "rustc", &["--version"])),
        ("commit", said(root, "git", &["describe", "--always", "--dirty"])),
        ("date", said(root, "date", &["-u", "+%Y-%m-%d"])),
    ];
    facts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

fn cpu_field(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn told_hypervisor(flags: &str) -> String {
    let is_guest = flags.split_whitespace().any(|flag| flag == "hypervisor");
    if is_guest { "yes, a virtual machine" } else { "no" }.to_owned()
}

fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = kib.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(format!("{:.1} GiB", kib / f64::from(1 << 20)))
}

fn clock_source() -> Option<String> {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    trimmed(fs::read_to_string(path).ok())
}

/// Type and device of what the benches write to: the last line of a table.
fn file_system(root: &Path, dir: &Path) -> Option<String> {
    let table = said(root, "df", &["--output=fstype,source", &dir.to_string_lossy()])?;
    Some(table.lines().last()?.split_whitespace().collect::<Vec<_>>().join(" on "))
}

/// What a program prints; nothing where it is missing or fails.
fn said(root: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
    trimmed(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
