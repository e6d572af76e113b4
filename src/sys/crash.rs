//! Crash points: the places between two steps of a protocol where a fault bench ends the process.
//!
//! Without the feature `crash-points` nothing of it is compiled. With it, the variable
//! `ROLLWAY_CRASH_AT` names a point, as `journal.commit` or `journal.commit:3`, and the process
//! kills itself, as by `kill -9`, when it comes there for the first or the third time.
//! `ROLLWAY_CRASH_SWAP` names a point whose two neighbouring steps change places, to see a bench
//! fail. `ROLLWAY_CRASH_TRACE` names a file that gets a line for each point that is passed, and
//! `ROLLWAY_BOOT_ID` is the identity of a boot, to see what a start does after a restart of the
//! machine.

/// Declares the points with their names.
macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place between two steps.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[cfg_attr(
            not(feature = "master"),
            allow(dead_code, reason = "without a master its points are not reached")
        )]
        pub(crate) enum CrashPoint {
            $($(#[$doc])* $point,)*
        }

        /// The names of all points.
        #[cfg(feature = "crash-points")]
        pub const NAMES: &[&str] = &[$($name,)*];
    };
}

points! {
    /// The archive of a block is written, its header is not.
    JournalBody = "journal.body",
    /// The block is committed, the journal's end does not say so yet.
    JournalCommit = "journal.commit",
    /// The journal has the block, the rings' heads have not moved.
    WriterHead = "writer.head",
    /// The file of a segment is made, its space is not reserved.
    SegmentCreated = "segment.created",
    /// The space is reserved, nothing is written.
    SegmentReserved = "segment.reserved",
    /// The segment has its head, the writer has not turned to it.
    SegmentBegun = "segment.begun",
    /// The end of the journal says that the block exists, the marks do not.
    JournalEnd = "journal.end",
    /// A full segment is cut to its end, the next one is not there.
    SegmentClosed = "segment.closed",
    /// The oldest segment is forgotten, its file is still there.
    SegmentForgotten = "segment.forgotten",
    /// The file of the oldest segment is gone.
    SegmentRemoved = "segment.removed",
    /// What a dead owner reserved is given back, the new owner has no segment yet.
    SegmentShrunk = "segment.shrunk",
    /// Segments are synced, the names of their files are not.
    JournalSynced = "journal.synced",
    /// Segments and names are synced, nobody knows of it.
    DirectorySynced = "journal.directory",
    /// The file of a ring, or of the site table, is made; it has no space yet.
    RingFile = "ring.file",
    /// The file of a ring has its space, but no header.
    RingSpace = "ring.space",
    /// The new content of a small file is written beside it, and not synced.
    ReplaceWrite = "replace.write",
    /// It is synced, and does not have the name yet.
    ReplaceSync = "replace.sync",
    /// It has the name; the directory is not synced.
    ReplaceRename = "replace.rename",
    /// The directory of the rings is made and locked; the manifest does not name it.
    HomeDir = "home.dir",
    /// The manifest names the directory of the rings; nothing lies in it but the lock.
    HomeManifest = "home.manifest",
    /// At the end everything was delivered and the manifest says so; the rings are still there.
    HomeLeft = "home.left",
    /// A block of recovered records is in the journal, their rings' heads have not moved.
    RecoverAppend = "recover.append",
    /// The heads have moved behind one block; more may follow, and the rings are still there.
    RecoverHead = "recover.head",
    /// The journal has everything, and its manifest still names the rings.
    RecoverDone = "recover.done",
    /// The manifest does not name the rings any more; they are still there.
    RecoverManifest = "recover.manifest",
    /// A file of a drained directory of rings is removed, others are not.
    RecoverFile = "recover.file",
    /// The directory of the rings is empty, but for its lock.
    RecoverEmpty = "recover.empty",
    /// The text of a batch is in its file, the slot does not say so.
    FileText = "file.text",
    /// A file is full and its slot is stored, nothing of it is synced.
    FileFullSlot = "file.full_slot",
    /// A full file is synced, it has its old name.
    FileSynced = "file.synced",
    /// A full file has its number, its directory is not synced.
    FileRenamed = "file.renamed",
    /// The new file is there, its directory is not synced.
    FileCreated = "file.created",
    /// The directory with the new file is synced, the slot is not that of the new file.
    FileDirectory = "file.directory",
    /// The slot is that of the new file, files beyond the bound are still there.
    FileNewSlot = "file.new_slot",
    /// A rolled file is compressed beside itself, nothing of that is synced.
    PackWritten = "pack.written",
    /// The compressed file is synced, it does not have its name yet.
    PackSynced = "pack.synced",
    /// It has its name, the directory is not synced.
    PackRenamed = "pack.renamed",
    /// The directory is synced, the plain file is still there.
    PackDirectory = "pack.directory",
    /// A dead letter is in its journal, the slot stands in front of its event.
    DeadLetter = "outlet.dead_letter",
    /// The cursor names the master that takes over, nothing was sent to it.
    ForwarderTakeOver = "forwarder.take_over",
    /// An appender has some of what a composite let pass, the composite does not know it.
    HoldDelivered = "hold.delivered",
    /// What a composite held is to be handed on and its file says so, nothing of it was.
    HoldReleased = "hold.released",
    /// The file of a composite says that everything decided is delivered.
    HoldStored = "hold.stored",
    /// A frame is sent, nothing was heard of it.
    ForwarderSent = "forwarder.sent",
    /// An acknowledgement has come, its blocks still count as in flight.
    ForwarderAck = "forwarder.ack",
    /// The outlet has settled, the cursor does not say so yet.
    ForwarderSettled = "forwarder.settled",
    /// The cursor says so.
    ForwarderStored = "forwarder.stored",
    /// The master's journal has a block, the worker is not to hear of it yet.
    MasterStored = "master.stored",
    /// A mark may be acknowledged, nothing of it is on its way.
    MasterOwed = "master.owed",
    /// An acknowledgement lies in the outbox of its connection.
    MasterAcknowledged = "master.acknowledged",
    /// The kernel has an acknowledgement.
    MasterAckSent = "master.ack_sent",
    /// The election is won, its term is not stored.
    ElectionLocked = "election.locked",
    /// The term is stored, the cluster's journal is not open.
    ElectionTerm = "election.term",
    /// The cluster's journal is open, no appender is.
    ElectionJournal = "election.journal",
    /// The appenders run, no member's journal was read.
    ElectionOutlets = "election.outlets",
    /// A member's block is in the cluster's journal, the next one was not looked at.
    ClusterBlock = "cluster.block",
    /// What a member wrote was delivered, its cursor does not say so.
    ClusterDelivered = "cluster.delivered",
    /// A member's cursor says what was delivered.
    ClusterCursor = "cluster.cursor",
    /// A dead member's rings are in its journal.
    AdoptDrained = "adopt.drained",
    /// A dead member's events are delivered, its directory is there.
    AdoptDelivered = "adopt.delivered",
    /// Some of a dead member's files are removed.
    AdoptRemoving = "adopt.removing",
    /// All of a dead member's files are removed but its lock.
    AdoptRemoved = "adopt.removed",
    /// The head of a ring stands behind what the journal had of it; no recovered block is there.
    RecoverKnown = "drain.known",
}

/// Ends the process here if the environment says so.
#[inline(always)]
pub(crate) fn reached(point: CrashPoint) {
    #[cfg(feature = "crash-points")]
    armed::reached(NAMES[point as usize]);
    #[cfg(not(feature = "crash-points"))]
    let _ = point;
}

/// Whether the steps before and behind this point shall change places.
#[inline(always)]
pub(crate) fn is_swapped(point: CrashPoint) -> bool {
    #[cfg(feature = "crash-points")]
    return armed::is_swapped(NAMES[point as usize]);
    #[cfg(not(feature = "crash-points"))]
    {
        let _ = point;
        false
    }
}

/// The identity that stands in for that of this boot.
pub(crate) fn boot_id() -> Option<String> {
    #[cfg(feature = "crash-points")]
    return std::env::var("ROLLWAY_BOOT_ID").ok();
    #[cfg(not(feature = "crash-points"))]
    None
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::fs::File;
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// The point of this process and how often it may still be passed.
    static ARMED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let wanted = std::env::var("ROLLWAY_CRASH_AT").ok()?;
        let (name, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    });
    static SWAPPED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("ROLLWAY_CRASH_SWAP").ok());
    static TRACE: LazyLock<Option<File>> = LazyLock::new(|| {
        let path = std::env::var_os("ROLLWAY_CRASH_TRACE")?;
        File::options().append(true).create(true).open(path).ok()
    });

    pub(super) fn reached(name: &str) {
        if let Some(mut trace) = TRACE.as_ref() {
            // A bench that misses the line says that the point is never reached.
            let _ = trace.write_all(format!("{name}\n").as_bytes());
        }
        if let Some((wanted, left)) = &*ARMED
            && wanted == name
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // It does not return from a kill of itself; should it be forbidden, abort does as well.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort();
        }
    }

    pub(super) fn is_swapped(name: &str) -> bool {
        SWAPPED.as_deref() == Some(name)
    }
}
