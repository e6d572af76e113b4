//! Child processes with an end.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::Failure;

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// A child that is killed when it is dropped.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> io::Result<Process> {
        command.spawn().map(Process)
    }

    /// Starts this program again.
    pub fn spawn_self(configure: impl FnOnce(&mut Command)) -> io::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        configure(&mut command);
        Process::spawn(&mut command)
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<(), Failure> {
        Ok(kill_process(Pid::from_child(&self.0), Signal::TERM)?)
    }

    /// Waits for its end, at most for `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Failure> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        Err(format!("timed out after {} s", limit.as_secs_f64()).into())
    }

    /// User and system time of all its threads so far, in seconds. Resolution: 10 ms.
    pub fn cpu_seconds(&self) -> Result<f64, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The name, in parentheses, may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) else {
            return Err("/proc tells no times".into());
        };
        Ok((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes the kernel kill this process when its parent ends.
pub fn die_with_parent() -> Result<(), Failure> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Becomes another program that dies with its parent. Returns only if it cannot.
pub fn become_program(program_and_args: &[String]) -> Failure {
    if let Err(error) = die_with_parent() {
        return error;
    }
    match program_and_args {
        [program, args @ ..] => Command::new(program).args(args).exec().into(),
        [] => "become: which program?".into(),
    }
}
