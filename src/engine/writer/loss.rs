//! What is lost where somebody cuts or removes the files of rings: it is counted, and said in the log.

use std::time::{Duration, Instant};

use super::{DROPPED_BY, Writer};
use crate::engine::drops::Dropped;
use crate::engine::rings::RingState;
use crate::engine::selflog;
use crate::recover::ProcessFile;
use crate::ring::Consumer;
use crate::site::{Definition, Names};
use crate::sys::guard;

/// How often the writer looks whether the files of the rings are still there.
pub(super) const LOOK_FOR_FILES_EVERY: Duration = Duration::from_secs(1);
/// What it says when somebody cut the files of rings.
static LOST: Definition<'static> = Definition {
    template: "{} bytes of events are lost: the files of their rings were cut",
    names: Names::Listed(&["lost_bytes"]),
    file: file!(),
    line: line!(),
    ..DROPPED_BY
};

/// A ring whose memory is lost, and what was counted of it.
pub(super) struct LostRing {
    consumer: Consumer,
    counted_bytes: u64,
}

/// What the writer knows of files that were cut or removed.
pub(super) struct Loss {
    /// [`guard::hits`] when it was last looked at.
    pub(super) hits: u64,
    /// When the files were last looked for.
    pub(super) looked: Instant,
    /// The counts of dropped events when they were last seen; they are added to what is counted anew
    /// once the counters are lost.
    pub(super) counts: Dropped,
    pub(super) are_counts_lost: bool,
    /// Bytes that the log has been told of.
    pub(super) told_bytes: u64,
}

impl Writer {
    /// Parts with the rings whose memory was lost: their threads get others with their next call.
    pub(super) fn find_lost(&mut self) {
        self.loss.hits = guard::hits();
        let (lost, kept) = std::mem::take(&mut self.rings)
            .into_iter()
            .partition(|ring: &RingState| ring.shared.is_lost());
        self.rings = kept;
        for RingState { consumer, shared, thread, context, .. } in lost {
            shared.close();
            self.definitions.remove_thread(thread);
            self.definitions.remove_context(context);
            let id = shared.id();
            selflog::warn(&format!("somebody cut the file of ring {id}; what was unread is lost"));
            self.lost.push(LostRing { consumer, counted_bytes: 0 });
            self.shared.progress().lost_rings += 1;
        }
        if self.shared.drops.is_lost() && !self.loss.are_counts_lost {
            self.loss.are_counts_lost = true;
            self.shared.drops.restore(&self.loss.counts);
            self.shared.drops.set_reported(&self.reported);
        }
        self.look_for_files();
        self.settle_lost();
        self.tell_rings();
    }

    /// Counts what was unread in lost rings, and lets those go whose threads have left them.
    pub(super) fn settle_lost(&mut self) {
        if self.lost.is_empty() {
            return;
        }
        let mut more_bytes = 0;
        self.lost.retain_mut(|lost| {
            let (lost_bytes, is_over) = lost.consumer.lost_bytes();
            let lost_bytes = lost_bytes.max(lost.counted_bytes);
            more_bytes += lost_bytes - lost.counted_bytes;
            lost.counted_bytes = lost_bytes;
            if is_over {
                self.shared.forget_ring(lost.consumer.shared());
            }
            !is_over
        });
        self.shared.progress().lost_ring_bytes += more_bytes;
    }

    /// Says in the log itself what was lost.
    pub(super) fn report_lost(&mut self) {
        let lost_bytes = self.shared.progress().lost_ring_bytes;
        if lost_bytes > self.loss.told_bytes {
            let bytes = lost_bytes - self.loss.told_bytes;
            self.loss.told_bytes = lost_bytes;
            self.say(&LOST, (bytes, ()));
        }
    }

    /// Finds out whether the files of the rings, and what lies beside them, are still what they were:
    /// what was removed or overwritten raises no signal.
    pub(super) fn look_for_files(&mut self) {
        let home = &self.shared.home;
        if home.rings_dir().is_none() {
            return;
        }
        let is_beside = self.shared.sites.is_in_place()
            && home.is_lock_in_place()
            && self.process_file.as_ref().is_none_or(ProcessFile::is_in_place);
        if !is_beside && !home.is_lost() {
            home.lose();
            selflog::warn(
                "somebody removed or cut files beside the rings: events do not survive a kill any \
                 more until the next start",
            );
            self.tell_rings();
        }
        for ring in &self.rings {
            if ring.shared.is_file() && !ring.shared.is_closed() && !ring.consumer.is_intact() {
                let id = ring.id();
                selflog::warn(&format!(
                    "the file of ring {id} is not what it was; another is made"
                ));
                ring.shared.close();
            }
        }
    }
}
