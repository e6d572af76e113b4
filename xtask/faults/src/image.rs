//! What a disk may have after the power failed at some step of a trace.
//!
//! Of a file everything is there that a sync covered. Of what came after it any set of 4 KiB pages may
//! be there, each as some write left it, and the length may be any that the file had. The names of a
//! directory are there up to a step, which is at least that of its last sync; those of two directories
//! have nothing to do with each other, and the sync of a file does not bring its name.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::random::Random;
use crate::trace::{Change, Step};

const PAGE_BYTES: u64 = 4096;

/// How much of what was not synced is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsynced {
    All,
    Nothing,
    Some,
}

/// A disk that is rebuilt from a trace.
#[derive(Default)]
pub(crate) struct Disk {
    files: Vec<Inode>,
    dirs: BTreeMap<String, Directory>,
}

/// The files of a directory by their names.
#[derive(Default)]
struct Directory {
    now: BTreeMap<String, usize>,
    /// Those before each change since the last sync.
    earlier: Vec<BTreeMap<String, usize>>,
}

/// A file under whatever name.
#[derive(Default)]
struct Inode {
    synced: Content,
    /// Since the last sync: the content behind each change.
    pending: Vec<Pending>,
    now: Content,
    /// Its number on the disk of the trace, where the program has asked for it.
    recorded: Option<u64>,
}

/// Device and inode of the files of an image, by their inodes on the disk of the trace.
pub(crate) type Inodes = HashMap<u64, (u64, u64)>;

#[derive(Default, Clone)]
struct Content {
    length: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// A change that no sync covered.
struct Pending {
    /// The line of the trace on which it ended.
    ended: usize,
    length: u64,
    pages: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    /// Does what a step did.
    pub(crate) fn apply(&mut self, step: &Step) {
        match &step.change {
            Change::MakeDir { name } => drop(self.dirs.entry(name.clone()).or_default()),
            Change::Create { name, truncate } => {
                if self.find(name).is_none() {
                    self.files.push(Inode::default());
                    self.set(name, Some(self.files.len() - 1));
                } else if *truncate {
                    self.change(name, step.ended, |content| content.set_length(0));
                }
            }
            Change::Write { name, at, bytes } => self.change(name, step.ended, |content| {
                let at = at.unwrap_or(content.length);
                content.write(at, bytes)
            }),
            Change::SetLength { name, bytes } => {
                self.change(name, step.ended, |content| content.set_length(*bytes));
            }
            Change::Extend { name, bytes } => self
                .change(name, step.ended, |content| content.set_length(content.length.max(*bytes))),
            Change::Rename { from, to } => self.rename(from, to),
            Change::Unlink { name } => self.set(name, None),
            Change::Sync { name } => self.sync(name, step.begun),
            Change::Learn { name, inode } => {
                if let Some(at) = self.find(name) {
                    self.files[at].recorded = Some(*inode);
                }
            }
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let (dir, base) = split(name);
        self.dirs.get(dir)?.now.get(base).copied()
    }

    /// Gives a name to a file, or takes it away.
    fn set(&mut self, name: &str, inode: Option<usize>) {
        let (dir, base) = split(name);
        let dir = self.dirs.entry(dir.to_owned()).or_default();
        dir.earlier.push(dir.now.clone());
        match inode {
            Some(inode) => dir.now.insert(base.to_owned(), inode),
            None => dir.now.remove(base),
        };
    }

    fn rename(&mut self, from: &str, to: &str) {
        let inode = self.find(from);
        self.set(from, None);
        self.set(to, inode);
        if split(from).0 == split(to).0 {
            // Both are one change.
            let dir = self.dirs.entry(split(from).0.to_owned()).or_default();
            dir.earlier.pop();
        }
    }

    fn change(
        &mut self,
        name: &str,
        ended: usize,
        change: impl FnOnce(&mut Content) -> Vec<(u64, Vec<u8>)>,
    ) {
        if let Some(inode) = self.find(name) {
            let inode = &mut self.files[inode];
            let pages = change(&mut inode.now);
            inode.pending.push(Pending { ended, length: inode.now.length, pages });
        }
    }

    fn sync(&mut self, name: &str, begun: usize) {
        let Some(inode) = self.find(name) else {
            if let Some(dir) = self.dirs.get_mut(name) {
                dir.earlier.clear();
            }
            return;
        };
        let inode = &mut self.files[inode];
        let covered = inode.pending.partition_point(|pending| pending.ended < begun);
        for pending in inode.pending.drain(..covered) {
            inode.synced.take(pending.length, pending.pages);
        }
    }

    /// Writes what may be left after a power failure now into `dir`, which is empty. Returns the inodes
    /// of the files.
    pub(crate) fn write_image(
        &self,
        dir: &Path,
        unsynced: Unsynced,
        random: &mut Random,
    ) -> io::Result<Inodes> {
        let mut inodes = Inodes::new();
        for (name, directory) in &self.dirs {
            let dir = dir.join(name);
            fs::create_dir_all(&dir)?;
            for (name, inode) in directory.after_failure(unsynced, random) {
                let inode = &self.files[*inode];
                let made = inode.after_failure(unsynced, random).write_to(&dir.join(name))?;
                if let Some(recorded) = inode.recorded {
                    inodes.insert(recorded, (made.dev(), made.ino()));
                }
            }
        }
        Ok(inodes)
    }
}

impl Directory {
    fn after_failure(&self, unsynced: Unsynced, random: &mut Random) -> &BTreeMap<String, usize> {
        let at = match unsynced {
            Unsynced::All => self.earlier.len(),
            Unsynced::Nothing => 0,
            Unsynced::Some => random.below(self.earlier.len() as u64 + 1) as usize,
        };
        self.earlier.get(at).unwrap_or(&self.now)
    }
}

/// The directory of a name, and the rest.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

impl Inode {
    fn after_failure(&self, unsynced: Unsynced, random: &mut Random) -> Content {
        match unsynced {
            Unsynced::All => self.now.clone(),
            Unsynced::Nothing => self.synced.clone(),
            Unsynced::Some => {
                let mut content = self.synced.clone();
                // Mostly there, half of it, or mostly not.
                let odds = 1 + random.below(3);
                for pending in &self.pending {
                    for (page, bytes) in &pending.pages {
                        if random.below(4) < odds {
                            content.pages.insert(*page, bytes.clone());
                        }
                    }
                    if random.below(4) < odds {
                        content.length = pending.length;
                    }
                }
                content
            }
        }
    }
}

impl Content {
    /// Writes, and returns the pages as they are now.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let (mut at, mut rest, mut changed) = (at, bytes, Vec::new());
        while !rest.is_empty() {
            let (number, from) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let count = rest.len().min(PAGE_BYTES as usize - from);
            let page = self.pages.entry(number).or_insert_with(|| vec![0; PAGE_BYTES as usize]);
            page[from..from + count].copy_from_slice(&rest[..count]);
            changed.push((number, page.clone()));
            (at, rest) = (at + count as u64, &rest[count..]);
        }
        self.length = self.length.max(at);
        changed
    }

    /// Cuts or extends with zeroes, and returns the page at the cut.
    fn set_length(&mut self, length: u64) -> Vec<(u64, Vec<u8>)> {
        let mut changed = Vec::new();
        if length < self.length {
            let last = length / PAGE_BYTES;
            self.pages.retain(|number, _| *number <= last);
            if let Some(page) = self.pages.get_mut(&last) {
                page[(length % PAGE_BYTES) as usize..].fill(0);
                changed.push((last, page.clone()));
            }
        }
        self.length = length;
        changed
    }

    fn take(&mut self, length: u64, pages: Vec<(u64, Vec<u8>)>) {
        if length < self.length {
            self.pages.retain(|number, _| number * PAGE_BYTES < length);
        }
        self.length = length;
        self.pages.extend(pages);
    }

    fn write_to(&self, path: &Path) -> io::Result<fs::Metadata> {
        let file = fs::File::create(path)?;
        for (number, page) in &self.pages {
            let at = number * PAGE_BYTES;
            let count = self.length.saturating_sub(at).min(PAGE_BYTES) as usize;
            file.write_all_at(&page[..count], at)?;
        }
        file.set_len(self.length)?;
        file.metadata()
    }
}

/// Lets the cursor know the text files by their inodes in the image: a disk that comes back has the
/// old ones. A file that is not there has one that no file has.
pub(crate) fn adopt_inodes(cursor: &Path, inodes: &Inodes) -> io::Result<()> {
    /// See the table of the cursor slot in docs/format.md.
    const SLOT_BYTES: usize = 128;
    let Ok(mut bytes) = fs::read(cursor) else { return Ok(()) };
    for slot in bytes.chunks_exact_mut(SLOT_BYTES) {
        let is_whole = slot[4..8] == crc32c::crc32c(&slot[8..]).to_le_bytes();
        let recorded = slot[40..48].try_into().map_or(0, u64::from_le_bytes);
        if is_whole && recorded != 0 {
            let (device, inode) = inodes.get(&recorded).copied().unwrap_or((0, u64::MAX));
            slot[32..40].copy_from_slice(&device.to_le_bytes());
            slot[40..48].copy_from_slice(&inode.to_le_bytes());
            let checksum = crc32c::crc32c(&slot[8..]).to_le_bytes();
            slot[4..8].copy_from_slice(&checksum);
        }
    }
    fs::write(cursor, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(steps: &[Change], unsynced: Unsynced, seed: u64) -> tempfile::TempDir {
        let mut disk = Disk::default();
        for (at, change) in steps.iter().enumerate() {
            disk.apply(&Step { begun: at, ended: at, change: change.clone() });
        }
        let dir = tempfile::tempdir().unwrap();
        disk.write_image(dir.path(), unsynced, &mut Random::new(seed)).unwrap();
        dir
    }

    fn create(name: &str) -> Change {
        Change::Create { name: name.to_owned(), truncate: false }
    }

    fn write(name: &str, bytes: &[u8]) -> Change {
        Change::Write { name: name.to_owned(), at: None, bytes: bytes.to_vec() }
    }

    fn sync(name: &str) -> Change {
        Change::Sync { name: name.to_owned() }
    }

    #[test]
    fn what_was_synced_is_there_and_what_was_not_may_be() {
        let (first, second) = (vec![1; 6000], vec![2; 6000]);
        let steps = [create("f"), sync(""), write("f", &first), sync("f"), write("f", &second)];
        let read =
            |unsynced, seed| fs::read(image(&steps, unsynced, seed).path().join("f")).unwrap();
        assert_eq!(read(Unsynced::Nothing, 1), first);
        assert_eq!(read(Unsynced::All, 1), [first.clone(), second].concat());
        let torn: Vec<_> = (0..50).map(|seed| read(Unsynced::Some, seed)).collect();
        assert!(torn.iter().all(|bytes| bytes[..6000] == first));
        // A page was lost between two that are there.
        assert!(torn.iter().any(|bytes| bytes.len() == 12_000 && bytes[8192..] == [0; 3808]));
        assert!(torn.iter().any(|bytes| bytes.len() == 6000));
    }

    #[test]
    fn a_sync_covers_only_what_ended_before_it_began() {
        let mut disk = Disk::default();
        let step = |begun, ended, change| Step { begun, ended, change };
        disk.apply(&step(0, 0, create("f")));
        disk.apply(&step(1, 1, sync("")));
        disk.apply(&step(2, 4, write("f", b"late")));
        disk.apply(&step(3, 5, sync("f")));
        let dir = tempfile::tempdir().unwrap();
        disk.write_image(dir.path(), Unsynced::Nothing, &mut Random::new(1)).unwrap();
        assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"");
    }

    #[test]
    fn a_cursor_knows_a_file_by_its_inode_in_the_image_whatever_its_name_is_now() {
        let rename = Change::Rename { from: "f".to_owned(), to: "f.1".to_owned() };
        let learn = Change::Learn { name: "f".to_owned(), inode: 77 };
        let mut disk = Disk::default();
        for (at, change) in
            [create("f"), learn, rename, create("f"), sync("")].into_iter().enumerate()
        {
            disk.apply(&Step { begun: at, ended: at, change });
        }
        let dir = tempfile::tempdir().unwrap();
        let inodes = disk.write_image(dir.path(), Unsynced::All, &mut Random::new(1)).unwrap();
        let slot = |inode: u64| {
            let mut slot = [0; 128];
            slot[40..48].copy_from_slice(&inode.to_le_bytes());
            let checksum = crc32c::crc32c(&slot[8..]).to_le_bytes();
            slot[4..8].copy_from_slice(&checksum);
            slot
        };
        let cursor = dir.path().join("cursor");
        fs::write(&cursor, [slot(77), slot(99)].concat()).unwrap();
        adopt_inodes(&cursor, &inodes).unwrap();
        let bytes = fs::read(&cursor).unwrap();
        let found = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(found(40), fs::metadata(dir.path().join("f.1")).unwrap().ino());
        assert_eq!(found(128 + 40), u64::MAX);
    }

    #[test]
    fn a_sync_of_another_directory_or_of_the_file_brings_no_name() {
        let make = |name: &str| Change::MakeDir { name: name.to_owned() };
        let mut steps = vec![make("a"), make("b"), create("a/f"), write("a/f", b"x"), sync("a/f")];
        steps.push(sync("b"));
        assert!(!image(&steps, Unsynced::Nothing, 1).path().join("a/f").exists());
        steps.push(sync("a"));
        let dir = image(&steps, Unsynced::Nothing, 1);
        assert_eq!(fs::read(dir.path().join("a/f")).unwrap(), b"x");
    }

    #[test]
    fn a_name_is_sure_after_a_sync_of_its_directory() {
        let rename = Change::Rename { from: "new".to_owned(), to: "old".to_owned() };
        let mut steps =
            vec![create("old"), create("new"), sync(""), write("new", b"x"), sync("new"), rename];
        let dir = image(&steps, Unsynced::Nothing, 1);
        assert!(dir.path().join("new").exists());
        steps.push(sync(""));
        let dir = image(&steps, Unsynced::Nothing, 1);
        assert!(!dir.path().join("new").exists());
        assert_eq!(fs::read(dir.path().join("old")).unwrap(), b"x");
    }
}
