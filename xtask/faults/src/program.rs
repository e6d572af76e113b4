//! A program under test: the bench's own binary in another part.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::case::Failure;

/// What a program may take that is expected to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a program.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// A running program. It is killed when it is dropped.
pub(crate) struct Program {
    child: Child,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts the part `name` with its plan.
    pub(crate) fn start(
        name: &str,
        plan: &str,
        environment: &[(&str, &str)],
    ) -> io::Result<Program> {
        let mut command = Program::command(name, plan)?;
        Program::spawn(command.envs(environment.iter().copied()))
    }

    /// The same behind other words: a program, with its arguments, that ends by running this one.
    pub(crate) fn start_behind(words: &[OsString], name: &str, plan: &str) -> io::Result<Program> {
        let own = Program::command(name, plan)?;
        let [first, more @ ..] = words else { return Program::start(name, plan, &[]) };
        let mut command = Command::new(first);
        Program::spawn(command.args(more).arg(own.get_program()).args(own.get_args()))
    }

    /// The command line of a part, for a bench that runs it below another program.
    pub(crate) fn command(name: &str, plan: impl AsRef<OsStr>) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).arg(plan);
        Ok(command)
    }

    /// Starts a command with its output caught. What it prints must fit into a pipe.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Program> {
        let pipes = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Program { child: pipes.spawn()? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends a signal, unless it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.is_running()?
            && let Some(pid) = Pid::from_raw(self.child.id() as i32)
        {
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Kills it, as by `kill -9`, and waits for its end.
    pub(crate) fn kill(mut self) -> io::Result<Ended> {
        self.child.kill()?;
        self.end()
    }

    /// Waits for its end, at most [`PATIENCE`].
    pub(crate) fn wait(self) -> Result<Ended, Failure> {
        self.wait_for(PATIENCE)
    }

    /// Waits for its end. One that does not come is a failure, and the program is killed.
    pub(crate) fn wait_for(mut self, patience: Duration) -> Result<Ended, Failure> {
        let deadline = Instant::now() + patience;
        while self.is_running()? {
            if Instant::now() > deadline {
                let ended = self.kill()?;
                let told = ended.stderr;
                return Err(format!("the program did not end within {patience:?}: {told}").into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(self.end()?)
    }

    /// Waits until `reached`, as long as the program runs, at most [`PATIENCE`].
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        reached: impl FnMut() -> io::Result<bool>,
    ) -> Result<(), Failure> {
        self.wait_until_within(PATIENCE, what, reached)
    }

    /// The same with another limit.
    pub(crate) fn wait_until_within(
        &mut self,
        limit: Duration,
        what: &str,
        mut reached: impl FnMut() -> io::Result<bool>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        while !reached()? {
            if !self.is_running()? {
                let (out, err) = self.output()?;
                return Err(format!("{what}: the program ended before: {out}{err}").into());
            }
            if Instant::now() > deadline {
                return Err(format!("{what}: not within {limit:?}").into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<Ended> {
        let status = self.child.wait()?;
        let (stdout, stderr) = self.output()?;
        Ok(Ended { status, stdout, stderr })
    }

    fn output(&mut self) -> io::Result<(String, String)> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        self.child.stdout.take().map(|mut pipe| pipe.read_to_end(&mut out)).transpose()?;
        self.child.stderr.take().map(|mut pipe| pipe.read_to_end(&mut err)).transpose()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((text(out), text(err)))
    }
}

impl Ended {
    /// The report of a program that ended well, or why there is none.
    pub(crate) fn report(&self) -> Result<serde_json::Value, Failure> {
        if !self.status.success() {
            return Err(format!("the program ended with {}: {}", self.status, self.stderr).into());
        }
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).map_err(|error| format!("no report: {error}: {line}").into())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended; nobody waits for it otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
