//! A bounded table from small numbers to bytes that any thread can add to, and that can be read
//! back after the process's death.
//!
//! An entry is written once and stays. Its bytes lie in a heap that only grows; its slot is one
//! word that says where. The mapping, little-endian:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic `"rolltabl"` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | number of slots |
//! | 16 | 8 | bytes of the heap |
//! | 24 | 4 | CRC-32C of the 24 bytes above |
//! | 128 | 8 | bytes of the heap given out |
//! | 4096 | 8 each | slots: 0, or the length in the low and 1 + offset / 8 in the high 32 bits |
//! | next multiple of 4096 | | heap; entries begin at multiples of 8 |
//!
//! A large table costs address space, not memory: slots and heap are populated from the front,
//! [ahead](SharedTable::grow_ahead) of their use.
//!
//! Invariants, relied on by every `unsafe` block in this module:
//! 1. Only the first `populated` bytes of slots and heap are touched; both only grow.
//! 2. A range of the heap belongs to the call that drew it, until its slot's word is stored.
//! 3. Behind a slot's word lie bytes of the populated heap that do not change any more.
#![allow(unsafe_code, reason = "memory shared by threads, and with whoever recovers it")]

use std::io;
use std::path::Path;
use std::ptr::NonNull;
// Not from `sync`: these words lie in memory that begins as zeros and outlives the process, which
// loom's do not.
use std::sync::atomic::{AtomicU64, Ordering};

use super::dead::{DeadFile, half_word_at, word_at};
use super::mapping::{Mapping, PAGE_BYTES};

/// The most slots a table can have.
pub(crate) const SLOTS_MAX: u32 = 1 << 20;
/// The longest heap, 1 GiB.
pub(crate) const HEAP_BYTES_MAX: usize = 1 << 30;
/// Bytes of slots, and of heap, that [`SharedTable::grow_ahead`] keeps ready: 1,024 slots …
const SLOT_BYTES_AHEAD: u64 = 8 << 10;
/// … and 128 KiB of entries.
const HEAP_BYTES_AHEAD: u64 = 128 << 10;

const MAGIC: [u8; 8] = *b"rolltabl";
const VERSION: u32 = 1;
const CRC_AT: usize = 24;
const DRAWN_AT: usize = 128;
const SLOTS_AT: usize = PAGE_BYTES;
const SLOT_BYTES: usize = size_of::<AtomicU64>();

/// A table from slots to bytes. Shared by reference; every method is lock-free except
/// [`SharedTable::grow_ahead`], which may block on the file system.
#[derive(Debug)]
pub(crate) struct SharedTable {
    memory: Mapping,
    slots: Region,
    heap: Region,
    /// Bytes of slots up to the greatest slot asked for, whether or not there was room.
    slots_wanted: AtomicU64,
}

/// A part of the mapping that is populated from its front.
#[derive(Debug)]
struct Region {
    offset: usize,
    bytes: u64,
    populated: AtomicU64,
}

impl SharedTable {
    /// Makes an empty table of `slots` slots and `heap_bytes` bytes of entries, in a new file or,
    /// without `path`, in private memory.
    ///
    /// # Errors
    /// Sizes of 0 or beyond [`SLOTS_MAX`] and [`HEAP_BYTES_MAX`]; and the system's, among them a
    /// full file system. No file is left behind then.
    pub(crate) fn create(
        path: Option<&Path>,
        slots: u32,
        heap_bytes: usize,
    ) -> io::Result<SharedTable> {
        check_sizes(slots, heap_bytes as u64)
            .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        let heap_offset = heap_offset(slots);
        let len = heap_offset + heap_bytes;
        let memory = match path {
            Some(path) => Mapping::create_sparse(path, len)?,
            None => Mapping::anonymous(len)?,
        };
        let region = |offset, bytes| Region { offset, bytes, populated: AtomicU64::new(0) };
        let table = SharedTable {
            memory,
            slots: region(SLOTS_AT, u64::from(slots) * SLOT_BYTES as u64),
            heap: region(heap_offset, heap_bytes as u64),
            slots_wanted: AtomicU64::new(0),
        };
        let populated = table.memory.populate(0..PAGE_BYTES).and_then(|()| table.grow_ahead());
        if let Err(error) = populated {
            if let Some(path) = path {
                // If it cannot be removed either, the reason is still the one to tell.
                let _ = std::fs::remove_file(path);
            }
            return Err(error);
        }
        table.write_header(slots, heap_bytes as u64);
        Ok(table)
    }

    /// See [`Mapping::guard`]. A table that is lost is an empty one, which can be filled again; bytes
    /// that [`SharedTable::get`] gave out before are zeros then.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn guard(&mut self) -> io::Result<()> {
        self.memory.guard()
    }

    /// Whether whoever comes after this process's death finds the table.
    pub(crate) fn is_in_place(&self) -> bool {
        !self.memory.is_lost() && self.memory.is_in_place()
    }

    fn write_header(&self, slots: u32, heap_bytes: u64) {
        let mut header = [0; CRC_AT + 4];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&slots.to_le_bytes());
        header[16..24].copy_from_slice(&heap_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&header[..CRC_AT]);
        header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        let source = NonNull::from(&header).cast();
        // SAFETY: the first page is populated, and nobody else knows of the mapping yet.
        unsafe { self.memory.start().copy_from_nonoverlapping(source, header.len()) };
    }

    /// Gives `slot` its bytes. `false` when there is no room for them: the slot does not exist, or
    /// is not populated yet, or the heap is used up as far as it is populated.
    ///
    /// The first definition stands; another of the same slot changes nothing and yields `true`.
    /// Lock-free; touches populated memory only.
    pub(crate) fn define(&self, slot: u32, bytes: &[u8]) -> bool {
        let wanted = (u64::from(slot) + 1) * SLOT_BYTES as u64;
        self.slots_wanted.fetch_max(wanted, Ordering::Relaxed);
        let Some(word) = self.word(slot) else { return false };
        // Relaxed: only whether it is defined matters here.
        if word.load(Ordering::Relaxed) != 0 {
            return true;
        }
        let Some(offset) = self.draw(bytes.len()) else { return false };
        // SAFETY: `draw` gave out an offset inside the heap.
        let start = unsafe { self.memory.start().add(self.heap.offset + offset as usize) };
        let source = NonNull::from(bytes).cast();
        // SAFETY: the range is populated and ours (invariants 1, 2).
        unsafe { start.copy_from_nonoverlapping(source, bytes.len()) };
        let value = (offset / 8 + 1) << 32 | bytes.len() as u64;
        // Release: pairs with the Acquire in `get`. If another definition was first, it stands and
        // our range stays unused.
        let _ = word.compare_exchange(0, value, Ordering::Release, Ordering::Relaxed);
        true
    }

    /// The bytes of `slot`; `None` while it has none. Wait-free.
    pub(crate) fn get(&self, slot: u32) -> Option<&[u8]> {
        // Acquire: pairs with the Release in `define`.
        let word = self.word(slot)?.load(Ordering::Acquire);
        let (offset, len) = entry(word)?;
        // SAFETY: a defined slot points into the heap (invariant 3).
        let start = unsafe { self.memory.start().add(self.heap.offset + offset as usize) };
        // SAFETY: its bytes are populated and do not change any more (3).
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
    }

    /// Populates memory ahead of what is in use, so that [`SharedTable::define`] finds room. To be
    /// called from time to time, off the log call's way.
    ///
    /// # Errors
    /// The system's, among them a full file system. What is populated stays usable.
    pub(crate) fn grow_ahead(&self) -> io::Result<()> {
        let slots = self.slots_wanted.load(Ordering::Relaxed);
        self.slots.grow(&self.memory, slots.saturating_add(SLOT_BYTES_AHEAD))?;
        let drawn = match self.heap.populated.load(Ordering::Acquire) {
            0 => 0,
            _ => self.drawn().load(Ordering::Relaxed),
        };
        self.heap.grow(&self.memory, drawn.saturating_add(HEAP_BYTES_AHEAD))
    }

    /// Draws `len` bytes of populated heap: their offset in it.
    fn draw(&self, len: usize) -> Option<u64> {
        let populated = self.heap.populated.load(Ordering::Acquire);
        let fits = |drawn: u64| {
            let end = drawn.checked_add((len as u64).checked_next_multiple_of(8)?)?;
            (end <= populated).then_some(end)
        };
        // Relaxed: the counter alone gives out ranges; what is written to them is published by
        // their slots.
        self.drawn().fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()
    }

    fn drawn(&self) -> &AtomicU64 {
        // SAFETY: the first page is populated from the start.
        let word = unsafe { self.memory.start().add(DRAWN_AT) };
        // SAFETY: the word is aligned, lives as long as `self`, and is only used as an atomic.
        unsafe { word.cast().as_ref() }
    }

    /// The word of a populated slot.
    fn word(&self, slot: u32) -> Option<&AtomicU64> {
        let offset = u64::from(slot) * SLOT_BYTES as u64;
        // Acquire: pairs with the Release in `Region::grow`; the page is there.
        let populated = self.slots.populated.load(Ordering::Acquire);
        if offset + SLOT_BYTES as u64 > populated {
            return None;
        }
        // SAFETY: the slot is inside the mapping, which was just checked.
        let word = unsafe { self.memory.start().add(self.slots.offset + offset as usize) };
        // SAFETY: the word is populated (invariant 1), aligned, and only used as an atomic.
        Some(unsafe { word.cast().as_ref() })
    }
}

impl Region {
    /// Populates the first `wanted` bytes, or all there are.
    fn grow(&self, memory: &Mapping, wanted: u64) -> io::Result<()> {
        let wanted = wanted.next_multiple_of(PAGE_BYTES as u64).min(self.bytes);
        let populated = self.populated.load(Ordering::Relaxed);
        if wanted > populated {
            memory.populate(self.offset + populated as usize..self.offset + wanted as usize)?;
            // Release: pairs with the Acquire loads of whoever touches the pages. The greatest
            // stands if two threads grow at once.
            self.populated.fetch_max(wanted, Ordering::Release);
        }
        Ok(())
    }
}

/// Reads the table of a dead process: its defined slots in order, each with its bytes.
///
/// Trusts nothing. Links are not followed. Copies no more than the heap's size in all.
///
/// # Errors
/// The system's; and `InvalidData`, saying what is wrong, when the file is not a whole table.
pub(crate) fn read_dead(path: &Path) -> io::Result<Vec<(u32, Vec<u8>)>> {
    let mut file = DeadFile::open(path)?;
    let header = file.read(0, PAGE_BYTES)?;
    if header[..8] != MAGIC {
        return Err(file.damaged("it does not begin as a table does"));
    }
    let version = half_word_at(&header, 8);
    if version != VERSION {
        let what = format!("its version is {version}, only {VERSION} can be read");
        return Err(file.damaged(&what));
    }
    if half_word_at(&header, CRC_AT) != crc32c::crc32c(&header[..CRC_AT]) {
        return Err(file.damaged("the checksum of its header is wrong"));
    }
    let (slots, heap_bytes) = (half_word_at(&header, 12), word_at(&header, 16));
    check_sizes(slots, heap_bytes).map_err(|what| file.damaged(&what))?;
    let heap_offset = heap_offset(slots) as u64;
    if file.len() != heap_offset + heap_bytes {
        let what = format!("{} bytes are not {slots} slots and {heap_bytes} bytes", file.len());
        return Err(file.damaged(&what));
    }

    let words = file.read(SLOTS_AT as u64, slots as usize * SLOT_BYTES)?;
    let mut entries = Vec::new();
    let mut copied_bytes = 0;
    for slot in 0..slots {
        let Some((offset, len)) = entry(word_at(&words, slot as usize * SLOT_BYTES)) else {
            continue;
        };
        copied_bytes += len as u64;
        if offset + len as u64 > heap_bytes || copied_bytes > heap_bytes {
            let what = format!("slot {slot} has {len} bytes at {offset} of {heap_bytes}");
            return Err(file.damaged(&what));
        }
        entries.push((slot, file.read(heap_offset + offset, len)?));
    }
    Ok(entries)
}

/// Offset in the heap and length of what a slot's word points to; `None` if it is undefined.
fn entry(word: u64) -> Option<(u64, usize)> {
    let offset = (word >> 32).checked_sub(1)? * 8;
    Some((offset, (word & u64::from(u32::MAX)) as usize))
}

fn heap_offset(slots: u32) -> usize {
    (SLOTS_AT + slots as usize * SLOT_BYTES).next_multiple_of(PAGE_BYTES)
}

/// Says what is wrong with a table's sizes.
fn check_sizes(slots: u32, heap_bytes: u64) -> Result<(), String> {
    if (1..=SLOTS_MAX).contains(&slots) && (1..=HEAP_BYTES_MAX as u64).contains(&heap_bytes) {
        return Ok(());
    }
    Err(format!(
        "a table of {slots} slots and {heap_bytes} bytes; choose from 1 to {SLOTS_MAX} slots and \
         from 1 to {HEAP_BYTES_MAX} bytes"
    ))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_its_first_definition() {
        let table = SharedTable::create(None, 10, 4096).unwrap();
        assert_eq!(table.get(3), None);
        assert!(table.define(3, b"three"));
        assert!(table.define(3, b"another"));
        assert!(table.define(4, b""));
        assert_eq!((table.get(3), table.get(4)), (Some(&b"three"[..]), Some(&b""[..])));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let table = SharedTable::create(None, 2, 16).unwrap();
        assert!(!table.define(2, b""));
        assert!(!table.define(u32::MAX, b""));
        assert!(!table.define(0, &[1; 17]));
        assert!(table.define(0, &[1; 9]));
        assert!(!table.define(1, &[1; 1]));
        assert_eq!((table.get(0), table.get(1)), (Some(&[1; 9][..]), None));
    }

    #[test]
    fn a_sparse_table_grows_ahead_of_its_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let table = SharedTable::create(Some(&path), SLOTS_MAX, HEAP_BYTES_MAX).unwrap();
        assert!(!table.define(5000, b"far"), "its slot is not there yet");
        table.grow_ahead().unwrap();
        assert!(table.define(5000, b"far"));
        let entry = vec![7; 100 << 10];
        assert!(table.define(0, &entry));
        assert!(!table.define(1, &entry), "the heap is used up");
        table.grow_ahead().unwrap();
        assert!(table.define(1, &entry));
        drop(table);
        let entries = [(0, entry.clone()), (1, entry), (5000, b"far".to_vec())];
        assert_eq!(read_dead(&path).unwrap(), entries);
    }

    #[test]
    fn threads_that_define_at_once_agree() {
        let table = SharedTable::create(None, 1000, 64 << 10).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let table = &table;
                scope.spawn(move || {
                    for slot in 0..1000 {
                        assert!(table.define(slot, &[thread; 5]));
                        let seen = table.get(slot).unwrap();
                        assert!(seen.len() == 5 && seen.iter().all(|byte| *byte == seen[0]));
                    }
                });
            }
        });
    }

    #[test]
    fn sizes_out_of_bounds_are_refused_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        assert!(SharedTable::create(Some(&path), 0, 1).is_err());
        assert!(SharedTable::create(Some(&path), 1, HEAP_BYTES_MAX + 1).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let table = SharedTable::create(Some(&path), 5, 100).unwrap();
        assert!(table.define(1, b"one") && table.define(2, b"two"));
        drop(table);
        let (whole, entries) = (std::fs::read(&path).unwrap(), read_dead(&path).unwrap());
        assert_eq!(entries, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
        for at in 0..256 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            match read_dead(&path) {
                Ok(read) => assert!(at >= CRC_AT + 4 && read == entries, "byte {at}"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}"),
            }
        }
        for at in SLOTS_AT..SLOTS_AT + 5 * SLOT_BYTES {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            let read_bytes = read_dead(&path)
                .map_or(0, |entries| entries.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
            assert!(read_bytes <= 100, "byte {at}");
        }
        for len in [0, 1, PAGE_BYTES - 1, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(read_dead(&path).is_err(), "cut at {len}");
        }
    }
}
