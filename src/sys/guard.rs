//! What happens when somebody cuts a file that is mapped here: the touch of a lost page raises
//! `SIGBUS`, and this module's handler puts fresh memory in the place of the whole mapping.
//!
//! The handler does what a handler may: it reads and writes atomics and makes one system call. A
//! fault in no watched range goes to the handler that was there before, with its information and
//! context; where there was none, the default action is restored and ends the process.
//!
//! Whoever watches a range learns of the loss by [`Watch::is_hit`], and sooner by its *alarm*: a word
//! that becomes 0.
//!
//! Invariants, relied on by every `unsafe` block in this module:
//! 1. A slot whose `start` is above [`RESERVED`] describes a mapping of this process that lives until
//!    its [`Watch`] is dropped, and whose alarm is null or lives as long.
//! 2. A slot is written by whoever reserved it, before `start` says that it is in use, and by the
//!    handler: `state` and `alarm`'s word, both atomics.
//! 3. `PREVIOUS` is written before the handler is installed, once.
#![allow(unsafe_code, reason = "a signal handler")]

use std::io;
use std::ptr::NonNull;
// Not from `sync`: statics, which a signal handler reads.
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::per_process::PerProcess;

/// Ranges that can be watched at once: the rings of 256 MiB in the smallest size, and some more.
pub(crate) const RANGES_MAX: usize = (16 << 10) + 256;

/// [`Slot::start`] of a slot that nobody has.
const FREE: usize = 0;
/// [`Slot::start`] of a slot that is being filled in.
const RESERVED: usize = 1;

/// [`Slot::state`] of memory as it was mapped.
const WHOLE: u32 = 0;
/// [`Slot::state`] of memory that was replaced.
const REPLACED: u32 = u32::MAX;
/// [`Slot::state`] of memory that could not be replaced.
const FAILED: u32 = u32::MAX - 1;

static SLOTS: [Slot; RANGES_MAX] = [const { Slot::EMPTY }; RANGES_MAX];
/// Slots that were ever in use are below it.
static SLOTS_USED: AtomicUsize = AtomicUsize::new(0);
/// Ranges that were replaced, or are being replaced, since the start of the process.
static HITS: AtomicU64 = AtomicU64::new(0);
/// What the host did about `SIGBUS` before.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    /// One of the above, or the process whose handler replaces the memory.
    state: AtomicU32,
    alarm: AtomicPtr<AtomicU64>,
}

impl Slot {
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start from")]
    const EMPTY: Slot = Slot {
        start: AtomicUsize::new(FREE),
        end: AtomicUsize::new(0),
        state: AtomicU32::new(WHOLE),
        alarm: AtomicPtr::new(std::ptr::null_mut()),
    };

    fn contains(&self, address: usize) -> bool {
        // Acquire: pairs with the Release in `watch`; the rest of the slot is there.
        let start = self.start.load(Ordering::Acquire);
        let end = self.end.load(Ordering::Acquire);
        // Once more: the end may be that of the slot's next owner.
        start > RESERVED
            && (start..end).contains(&address)
            && self.start.load(Ordering::Acquire) == start
    }

    /// Puts fresh memory in the place of the range. `false` when the system has none.
    fn replace(&self) -> bool {
        let pid = std::process::id();
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            match state {
                REPLACED => return true,
                FAILED => return false,
                // Another thread was first: what it and others write since must stay.
                _ if state == pid => {
                    std::hint::spin_loop();
                    state = self.state.load(Ordering::Acquire);
                }
                // Nobody was, or a thread of the parent, which is not in this forked child.
                _ => {
                    let (ok, failed) = (Ordering::AcqRel, Ordering::Acquire);
                    match self.state.compare_exchange(state, pid, ok, failed) {
                        Ok(_) => break,
                        Err(found) => state = found,
                    }
                }
            }
        }
        // Before there are zeros: whoever reads some and then asks for the hits knows of this one.
        HITS.fetch_add(1, Ordering::SeqCst);
        let start = self.start.load(Ordering::Relaxed);
        let len = self.end.load(Ordering::Relaxed) - start;
        let place = std::ptr::with_exposed_provenance_mut(start);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the range is a mapping of ours (invariant 1) with a lost page; memory of zeros is
        // what its owners expect after a loss.
        let mapped =
            unsafe { mmap_anonymous(place, len, protection, MapFlags::PRIVATE | MapFlags::FIXED) };
        let state = if mapped.is_ok() { REPLACED } else { FAILED };
        self.state.store(state, Ordering::Release);
        self.sound();
        state == REPLACED
    }

    /// Sets the alarm's word to 0.
    fn sound(&self) {
        // SeqCst: whoever stores another value into the word looks at `is_hit` after it.
        fence(Ordering::SeqCst);
        if let Some(alarm) = NonNull::new(self.alarm.load(Ordering::Acquire)) {
            // SAFETY: it lives as long as the watch (invariant 1).
            unsafe { alarm.as_ref() }.store(0, Ordering::Relaxed);
        }
    }
}

/// A watched range; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Watch {
    slot: usize,
}

/// Watches `len` bytes from `start` on, which are a whole mapping of a file. Installs the handler if
/// this is the first one.
///
/// The caller drops the watch before the mapping.
///
/// # Errors
/// When [`RANGES_MAX`] ranges are watched, or the system refuses the handler.
pub(crate) fn watch(start: NonNull<u8>, len: usize) -> io::Result<Watch> {
    install()?;
    for (at, slot) in SLOTS.iter().enumerate() {
        let reserved = slot.start.load(Ordering::Relaxed) == FREE
            && slot
                .start
                .compare_exchange(FREE, RESERVED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !reserved {
            continue;
        }
        let start = start.as_ptr().expose_provenance();
        // Release: whoever sees this end sees that the slot was reserved.
        slot.end.store(start + len, Ordering::Release);
        slot.state.store(WHOLE, Ordering::Relaxed);
        slot.alarm.store(std::ptr::null_mut(), Ordering::Relaxed);
        SLOTS_USED.fetch_max(at + 1, Ordering::Relaxed);
        // Release: pairs with the Acquire in `contains`.
        slot.start.store(start, Ordering::Release);
        return Ok(Watch { slot: at });
    }
    let message = format!("{RANGES_MAX} mappings are guarded already; make fewer or larger rings");
    Err(io::Error::other(message))
}

/// Ranges of this process that were replaced so far. One load.
pub(crate) fn hits() -> u64 {
    // Acquire: pairs with the addition in `replace`; `is_hit` says `true` then.
    HITS.load(Ordering::Acquire)
}

impl Watch {
    /// Whether the memory was lost, and replaced by zeros.
    pub(crate) fn is_hit(&self) -> bool {
        // Acquire: pairs with the Release in `Slot::replace`.
        SLOTS[self.slot].state.load(Ordering::Acquire) != WHOLE
    }

    /// Sets `word` to 0 when the memory is lost.
    ///
    /// # Safety
    /// `word` lives longer than the watch.
    pub(crate) unsafe fn set_alarm(&self, word: NonNull<AtomicU64>) {
        let slot = &SLOTS[self.slot];
        slot.alarm.store(word.as_ptr(), Ordering::Release);
        if self.is_hit() {
            slot.sound();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        SLOTS[self.slot].start.store(FREE, Ordering::Release);
    }
}

/// Installs the handler, once.
fn install() -> io::Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    static INSTALLING: PerProcess<Mutex<()>> = PerProcess::new(Mutex::default);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    let _installing = INSTALLING.get().lock().unwrap_or_else(PoisonError::into_inner);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    // SAFETY: a `sigaction` of zeros is one: the default action, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let found = &raw mut action;
    // SAFETY: asks for what is in force, and `found` is a place for it.
    if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // In a child of a parent that was here at the fork it may be set: then it says what there was.
    let _ = PREVIOUS.set(action);
    // No other handler runs on this thread while memory is replaced: it might log. The stack is the
    // one that the handler before expects, which is called from ours.
    let kept = action.sa_flags & libc::SA_RESTART;
    // SAFETY: fills the mask of an action of ours.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    action.sa_flags = kept | libc::SA_SIGINFO | libc::SA_ONSTACK;
    action.sa_sigaction = on_fault as *const () as usize;
    // SAFETY: the handler does only what a handler may, and `PREVIOUS` is set (3).
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    INSTALLED.store(true, Ordering::Release);
    Ok(())
}

/// The handler.
extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the information of the signal, which stays while the handler runs.
    let known = unsafe { &*info };
    // Above 0 for a fault; 0 and below when somebody sent the signal.
    if known.si_code > 0 {
        // SAFETY: the information of a fault has an address.
        let address = unsafe { known.si_addr() } as usize;
        let used = SLOTS_USED.load(Ordering::Relaxed);
        let found = SLOTS.iter().take(used).find(|slot| slot.contains(address));
        if found.is_some_and(Slot::replace) {
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Does what would have been done without this module.
fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    type Informed = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
    let Some(previous) = PREVIOUS.get() else { return };
    // SAFETY: the kernel passes the information of the signal.
    let is_fault = unsafe { (*info).si_code } > 0;
    let mut default = *previous;
    default.sa_sigaction = libc::SIG_DFL;
    if previous.sa_flags & libc::SA_RESETHAND != 0 {
        // SAFETY: sets the default action, which the host wants from here on.
        unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
    }
    match previous.sa_sigaction {
        libc::SIG_IGN if !is_fault => {}
        // The kernel lets nobody ignore a fault.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: sets the default action. A fault comes again when this handler returns, and
            // ends the process with its own address and context.
            unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
            if !is_fault {
                // Somebody sent it: it would not come again.
                // SAFETY: the signal is held back until this handler returns.
                unsafe { libc::raise(signal) };
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the host installed it as a handler of this form.
            let handler: Informed = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: the host installed it as a handler of this form.
            let handler: extern "C" fn(i32) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::mapping::{Mapping, PAGE_BYTES};
    use super::*;

    #[test]
    fn a_cut_file_becomes_fresh_memory_and_sounds_the_alarm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut");
        let alarm = AtomicU64::new(7);
        let mapping = Mapping::create(&path, 4 * PAGE_BYTES).unwrap();
        let watch = watch(mapping.start(), mapping.len()).unwrap();
        // SAFETY: the word outlives the watch.
        unsafe { watch.set_alarm(NonNull::from(&alarm)) };
        let before = hits();
        // SAFETY: the byte is mapped and has no other user.
        unsafe { mapping.start().write(1) };
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(!watch.is_hit());
        // SAFETY: inside the mapping.
        let last = unsafe { mapping.start().add(4 * PAGE_BYTES - 1) };
        // SAFETY: mapped, and watched in case that the page is lost.
        unsafe { last.write_volatile(9) };
        // SAFETY: as above.
        assert_eq!(unsafe { last.read_volatile() }, 9);
        // SAFETY: as above.
        assert_eq!(unsafe { mapping.start().read_volatile() }, 0, "the whole mapping is fresh");
        assert!(watch.is_hit() && hits() > before);
        assert_eq!(alarm.load(Ordering::Relaxed), 0);
        drop(watch);
    }

    #[test]
    fn what_a_thread_of_the_parent_began_is_done_by_the_forked_child() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut");
        let mapping = Mapping::create(&path, PAGE_BYTES).unwrap();
        let watch = watch(mapping.start(), mapping.len()).unwrap();
        SLOTS[watch.slot].state.store(std::process::id() + 1, Ordering::Relaxed);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        // SAFETY: mapped, and watched in case that the page is lost.
        unsafe { mapping.start().write_volatile(9) };
        assert_eq!(SLOTS[watch.slot].state.load(Ordering::Relaxed), REPLACED);
        drop(watch);
    }

    #[test]
    fn threads_that_touch_a_lost_page_at_once_keep_what_they_write() {
        const THREADS: usize = 4;
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("cut");
            let mapping = Mapping::create(&path, PAGE_BYTES).unwrap();
            let watch = watch(mapping.start(), mapping.len()).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
            // SAFETY: the page has that many words, aligned, and all use them as atomics.
            let words = unsafe { mapping.start().cast::<[AtomicU64; THREADS]>().as_ref() };
            std::thread::scope(|scope| {
                for (at, word) in words.iter().enumerate() {
                    scope.spawn(move || word.store(at as u64 + 1, Ordering::Relaxed));
                }
            });
            assert_eq!([0, 1, 2, 3].map(|at| words[at].load(Ordering::Relaxed)), [1, 2, 3, 4]);
            drop(watch);
        }
    }
}
