//! Signals that ask for something: SIGHUP and SIGUSR1, heard by whoever listens.
//!
//! The handler notes the signal and wakes the listener, with atomics and one system call; then the
//! handler that was there before runs. When nobody listens any more, that one is put back, unless
//! somebody has installed another meanwhile: that one may call ours, which then does nothing but call
//! the one before.
//!
//! Invariants, relied on by every `unsafe` block in this module:
//! 1. `PREVIOUS` of a signal is written before our handler is installed for it, once: what was there
//!    before it for the first time.
//! 2. The handler reads and writes atomics, makes one system call, and calls what the host installed.
#![allow(unsafe_code, reason = "a signal handler")]

use std::io;
// Not from `sync`: statics, which a signal handler reads.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::thread::futex;

/// A signal that somebody may listen for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Reopen,
}

/// The signals, in the order of [`Asked`].
const SIGNALS: [libc::c_int; 2] = [libc::SIGHUP, libc::SIGUSR1];

/// Signals that came and were not taken.
static CAME: [AtomicBool; SIGNALS.len()] = [const { AtomicBool::new(false) }; SIGNALS.len()];
/// Changes with each signal, and each [`wake`].
static CHANGES: AtomicU32 = AtomicU32::new(0);
/// What the host did about each.
static PREVIOUS: [OnceLock<libc::sigaction>; SIGNALS.len()] =
    [const { OnceLock::new() }; SIGNALS.len()];

/// What a listener has seen of [`CHANGES`].
#[derive(Clone, Copy)]
pub(crate) struct Seen(u32);

/// Begins to listen. One at a time listens, and calls [`ignore`] in the end.
///
/// # Errors
/// The system's.
pub(crate) fn listen() -> io::Result<Seen> {
    // Behind what there is: the first wait returns at once, with what came before anybody listened.
    let seen = Seen(CHANGES.load(Ordering::SeqCst).wrapping_sub(1));
    for (at, signal) in SIGNALS.into_iter().enumerate() {
        let found = action_of(signal)?;
        // In a forked child it is there already.
        if found.sa_sigaction == on_signal as *const () as usize {
            continue;
        }
        let _ = PREVIOUS[at].set(found);
        let mut action = found;
        action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO | libc::SA_ONSTACK;
        action.sa_sigaction = on_signal as *const () as usize;
        set_action(signal, &action)?;
    }
    Ok(seen)
}

/// Puts back what was there before, where nobody else has put something else there.
pub(crate) fn ignore() {
    for (at, signal) in SIGNALS.into_iter().enumerate() {
        let is_ours = action_of(signal)
            .is_ok_and(|found| found.sa_sigaction == on_signal as *const () as usize);
        if let Some(previous) = PREVIOUS[at].get().filter(|_| is_ours) {
            // It was in force once: the system takes it.
            let _ = set_action(signal, previous);
        }
        CAME[at].store(false, Ordering::Relaxed);
    }
}

impl Seen {
    /// What came since the last call. Waits for a signal or a [`wake`] if there was none: one that
    /// comes between two calls has the next one return at once.
    pub(crate) fn wait(&mut self) -> Vec<Asked> {
        // Returns at once when something has changed since; early returns do no harm.
        let _ = futex::wait(&CHANGES, futex::Flags::PRIVATE, self.0, None);
        // Before the signals are taken: what comes later is another change.
        self.0 = CHANGES.load(Ordering::SeqCst);
        taken()
    }
}

/// Has [`Seen::wait`] return.
pub(crate) fn wake() {
    CHANGES.fetch_add(1, Ordering::SeqCst);
    let _ = futex::wake(&CHANGES, futex::Flags::PRIVATE, u32::MAX >> 1);
}

fn taken() -> Vec<Asked> {
    let all = [Asked::Reload, Asked::Reopen].into_iter().zip(&CAME);
    all.filter(|(_, came)| came.swap(false, Ordering::SeqCst)).map(|(asked, _)| asked).collect()
}

fn action_of(signal: libc::c_int) -> io::Result<libc::sigaction> {
    // SAFETY: a `sigaction` of zeros is one: the default action, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks for what is in force; there is a place for it.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } {
        0 => Ok(action),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_action(signal: libc::c_int, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: it is what the host had, or our handler, which does only what one may (2).
    match unsafe { libc::sigaction(signal, &raw const *action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The handler.
extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    type Informed = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let Some(at) = SIGNALS.iter().position(|known| *known == signal) else { return };
    CAME[at].store(true, Ordering::SeqCst);
    wake();
    let Some(previous) = PREVIOUS[at].get() else { return };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {}
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the host installed it as a handler of this form.
            let handler: Informed = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: the host installed it as a handler of this form.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
