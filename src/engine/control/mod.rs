//! The control socket: what `docs/control.md` tells of.
//!
//! One thread serves all clients of one engine or master, with poll(2) and sockets that do not wait.
//! Nothing that a client does or leaves undone reaches a log call.

mod commands;
mod server;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};

pub(crate) use commands::{Controlled, Refusal};
use server::Server;

use crate::journal::file_name;
use crate::sys::file::{create_private_dir, parent};

/// The name of the socket in a journal directory.
pub(crate) const FILE: &str = "control";
/// Bytes of a socket's path, by the system.
pub(crate) const PATH_BYTES_MAX: usize = 107;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// Between two looks whether the thread has ended.
const LOOK: Duration = Duration::from_millis(1);

/// Where a running process can be asked and told things: see
/// [`Builder::control`](crate::Builder::control).
///
/// # Examples
/// ```no_run
/// use rollway::Control;
///
/// let guard = rollway::builder().control(Control::at("/run/shop/control")).init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    path: Option<PathBuf>,
}

impl Control {
    /// A socket at this path, without which the process does not start. [`Control::default`] has it
    /// in the journal directory or, without one, below `$XDG_RUNTIME_DIR/rollway`; where none can
    /// be opened there, that is a warning on the self-log.
    pub fn at(path: impl Into<PathBuf>) -> Control {
        Control { path: Some(path.into()) }
    }

    /// Whether somebody has said where it is.
    pub(crate) fn is_named(&self) -> bool {
        self.path.is_some()
    }

    /// Where the socket is.
    fn place(&self, service: &str, journal_dir: Option<&Path>) -> io::Result<PathBuf> {
        match (&self.path, journal_dir) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(dir)) => Ok(dir.join(FILE)),
            (None, None) => {
                let Some(dir) = runtime_dir() else {
                    let what =
                        "there is neither a journal directory nor XDG_RUNTIME_DIR; name a path";
                    return Err(io::Error::new(io::ErrorKind::NotFound, what));
                };
                create_private_dir(&dir)?;
                Ok(dir.join(format!("{}.{}", file_name(service), std::process::id())))
            }
        }
    }
}

/// Where the sockets of this user's processes are that have no journal directory.
pub(crate) fn runtime_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty())?;
    Some(PathBuf::from(dir).join("rollway"))
}

/// The running socket.
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// Closed to end the thread.
    wake: UnixStream,
    thread: JoinHandle<()>,
}

impl ControlSocket {
    /// Opens the socket, and serves it as long as `controlled` lives.
    ///
    /// # Errors
    /// Its path, and why it cannot be opened.
    pub(crate) fn open(
        control: &Control,
        service: &str,
        journal_dir: Option<&Path>,
        controlled: Weak<dyn Controlled>,
    ) -> Result<ControlSocket, (PathBuf, io::Error)> {
        let path = control
            .place(service, journal_dir)
            .map_err(|error| (control.path.clone().unwrap_or_else(|| FILE.into()), error))?;
        let opened = bind(&path).and_then(|listener| {
            let (wake, ended) = UnixStream::pair()?;
            let server = Server::new(listener, ended, service, controlled);
            let thread = std::thread::Builder::new().name("rollway-control".to_owned());
            let thread = thread.spawn(move || {
                super::call::enter_own_thread();
                server.run();
            })?;
            Ok((wake, thread))
        });
        match opened {
            Ok((wake, thread)) => Ok(ControlSocket { path, wake, thread }),
            Err(error) => Err((path, error)),
        }
    }

    /// Takes the socket away and ends the thread. A command that is carried out is waited for until
    /// `deadline`.
    pub(crate) fn end(self, deadline: Instant) {
        // Who looks for it finds nothing; nobody else has the place while this process has it.
        let _ = std::fs::remove_file(&self.path);
        drop(self.wake);
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        if self.thread.is_finished() {
            // A panic was reported by the panic hook.
            let _ = self.thread.join();
        }
    }
}

/// Listens at `path`, in the place of a socket that a dead process left.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let bytes = path.as_os_str().len();
    if bytes > PATH_BYTES_MAX {
        let what =
            format!("a socket's path has at most {PATH_BYTES_MAX} bytes, and this one {bytes}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    create_private_dir(parent(path))?;
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another file is there"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before there is a file: nobody else ever finds it open to him.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(OwnedFd::from(socket).into())
}
