//! The calling thread's producer for the process's default logger.
//!
//! The slot holds a page and never nothing: without a ring, that of a stand-in which refuses every
//! record. While [`with`] runs, the slot holds another stand-in, so that a signal handler, a
//! `Display` or an allocator that logs inside a log call finds a producer which answers
//! [`Refresh::Nested`](super::Refresh::Nested), and never the half-written record. The slot has no
//! destructor and needs no registration, which keeps the hot path at a load and two stores; a
//! second thread-local, touched only where a ring is installed, retires the producer when the
//! thread ends. Log calls from later destructors find the stand-in again.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

use super::Producer;
use super::memory::{NONE, Page, TAKEN};

/// A page that all threads read and none writes: its limit is 0, so that no record is reserved in
/// it, and nothing else writes to a page that is not live.
struct Refusing(Page);

// SAFETY: as the type says, its cells are never written.
unsafe impl Sync for Refusing {}

static WITHOUT_RING: Refusing = Refusing(Page::refusing(NONE));
static IN_USE: Refusing = Refusing(Page::refusing(TAKEN));

thread_local! {
    /// The page of this thread's producer, or of a stand-in.
    static SLOT: Cell<NonNull<Page>> = const { Cell::new(without_ring()) };
    static RETIREMENT: Retirement = const { Retirement };
}

const fn without_ring() -> NonNull<Page> {
    // SAFETY: a static does not lie at address 0.
    unsafe { NonNull::new_unchecked((&raw const WITHOUT_RING.0).cast_mut()) }
}

const fn in_use() -> NonNull<Page> {
    // SAFETY: a static does not lie at address 0.
    unsafe { NonNull::new_unchecked((&raw const IN_USE.0).cast_mut()) }
}

/// Calls `f` with the thread's producer: the installed one, or a stand-in that refuses every
/// record and says why when asked to [refresh](Producer::refresh).
///
/// During the call the thread has no other way to its producer: a nested call gets a stand-in, and
/// nothing can be installed or removed. Unwinding out of `f` is fine.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(&mut Producer) -> R) -> R {
    // Not inside `LocalKey::with`, which is not always inlined.
    let producer = Producer::of_page(SLOT.replace(in_use()));
    let mut taken = Taken { producer: ManuallyDrop::new(producer) };
    // A signal handler may look at the slot from here on: the compiler must not think that nobody
    // does, and leave the store out.
    compiler_fence(Ordering::SeqCst);
    f(&mut taken.producer)
}

/// Puts a producer back into its slot.
struct Taken {
    producer: ManuallyDrop<Producer>,
}

impl Drop for Taken {
    #[inline(always)]
    fn drop(&mut self) {
        // As in `with`.
        compiler_fence(Ordering::SeqCst);
        SLOT.set(self.producer.page_pointer());
    }
}

/// Makes `producer` the thread's own until the thread ends; the one it replaces retires.
///
/// # Errors
/// The producer itself, inside [`with`], and when the thread is ending.
pub(crate) fn try_install(producer: Producer) -> Result<(), Producer> {
    let ending = RETIREMENT.try_with(|_| ()).is_err();
    if ending || SLOT.get() == in_use() {
        return Err(producer);
    }
    let producer = ManuallyDrop::new(producer);
    drop(Producer::of_page(SLOT.replace(producer.page_pointer())));
    Ok(())
}

/// Takes the thread's producer away; `None` without one, and inside [`with`].
pub(crate) fn remove() -> Option<Producer> {
    let page = SLOT.get();
    if page == in_use() || page == without_ring() {
        return None;
    }
    SLOT.set(without_ring());
    Some(Producer::of_page(page))
}

/// Retires the thread's producer when the thread ends.
struct Retirement;

impl Drop for Retirement {
    fn drop(&mut self) {
        drop(remove());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Consumer, Refresh, RingOptions, create};
    use super::*;

    fn ring() -> (Producer, Consumer) {
        create(RingOptions { capacity_bytes: 16 << 10, id: 1, path: None }).unwrap().split()
    }

    fn log(byte: u8) -> Result<(), Refresh> {
        with(|producer| {
            if producer.reserve(8).is_none() {
                match producer.refresh(8) {
                    Refresh::Ready | Refresh::CrossedHalf => {}
                    refused => return Err(refused),
                }
            }
            producer.reserve(8).unwrap().fill(byte);
            producer.commit();
            Ok(())
        })
    }

    #[test]
    fn a_thread_without_a_ring_is_told_so() {
        assert_eq!(log(1), Err(Refresh::NoRing));
        assert!(remove().is_none());
    }

    #[test]
    fn an_installed_ring_takes_records_until_it_is_removed() {
        let (producer, mut consumer) = ring();
        try_install(producer).unwrap();
        log(7).unwrap();
        assert_eq!(consumer.pending().runs[0], [7; 8]);
        assert!(!consumer.is_retired());
        remove().unwrap().retire();
        assert!(consumer.is_retired());
        assert_eq!(log(7), Err(Refresh::NoRing));
    }

    #[test]
    fn a_nested_call_leaves_the_record_in_progress_alone() {
        let (producer, mut consumer) = ring();
        try_install(producer).unwrap();
        log(1).unwrap();
        with(|producer| {
            let record = producer.reserve(8).unwrap();
            record.fill(2);
            assert_eq!(log(9), Err(Refresh::Nested));
            assert!(remove().is_none());
            let (other, _consumer) = ring();
            assert!(try_install(other).is_err());
            producer.commit();
        });
        log(3).unwrap();
        let expected: Vec<u8> = [1, 2, 3].iter().flat_map(|&byte| [byte; 8]).collect();
        assert_eq!(consumer.pending().runs[0], expected);
        drop(remove());
    }

    #[test]
    fn unwinding_gives_the_producer_back() {
        let (producer, _consumer) = ring();
        try_install(producer).unwrap();
        let unwound =
            std::panic::catch_unwind(|| with(|_| std::panic::resume_unwind(Box::new(()))));
        assert!(unwound.is_err());
        log(1).unwrap();
        drop(remove());
    }

    #[test]
    fn a_second_ring_retires_the_first() {
        let ((first, first_consumer), (second, _second_consumer)) = (ring(), ring());
        try_install(first).unwrap();
        try_install(second).unwrap();
        assert!(first_consumer.is_retired());
        drop(remove());
    }

    #[test]
    fn a_thread_that_ends_retires_its_ring_and_later_destructors_find_none() {
        use std::sync::mpsc::{Sender, channel};
        struct Late(Sender<(Result<(), Refresh>, bool)>);
        impl Drop for Late {
            fn drop(&mut self) {
                let (producer, _consumer) = ring();
                let refused = try_install(producer).is_err();
                self.0.send((log(9), refused)).unwrap();
            }
        }
        thread_local!(static LATE: Cell<Option<Late>> = const { Cell::new(None) });

        let (producer, mut consumer) = ring();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            // Destructors run in the order of registration on some systems and against it on
            // others; installing in between puts one behind the ring's in both cases.
            let early = Late(sender.clone());
            LATE.set(Some(Late(sender)));
            try_install(producer).unwrap();
            log(5).unwrap();
            std::mem::forget(early);
        })
        .join()
        .unwrap();
        let (late_log, refused) = receiver.recv().unwrap();
        assert!(consumer.is_retired());
        let pending = consumer.pending();
        match late_log {
            Ok(()) => assert_eq!(pending.to, 16, "the destructor ran before the ring's"),
            Err(error) => {
                assert_eq!((error, refused), (Refresh::NoRing, true));
                assert_eq!(pending.runs[0], [5; 8]);
            }
        }
    }
}
