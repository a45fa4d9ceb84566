//! Bringing to disk what a writer has appended.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Segment, Writer, held};
use crate::os::fs;
use crate::{Error, Result, layout};

/// What is on disk, and what is not.
pub(super) struct Syncs {
    /// Full segments whose last frames may not be on disk yet.
    full: Mutex<Vec<Segment>>,
    pub(super) dirty: AtomicBool,
    /// Whether a segment's name may not be on disk yet.
    names_dirty: AtomicBool,
    /// Whether the last sync of names failed.
    names_failing: AtomicBool,
    /// Syncs asked for, and how many of these the last sync that succeeded has covered; held while syncing.
    wanted: AtomicU64,
    covered: Mutex<u64>,
    /// A sync of the segment before this index failed. What it should have brought to disk may never get there, and no later
    /// sync of that file would say so: nothing more is written to it, and nothing in it is promised.
    given_up: AtomicU32,
    /// Syncs that failed, and how many of them a flush has reported.
    failed: AtomicU64,
    reported: AtomicU64,
}

impl Syncs {
    /// Of a writer that was just made: its first segment has yet to be synced.
    pub(super) fn new() -> Self {
        Self {
            full: Mutex::default(),
            dirty: AtomicBool::new(true),
            names_dirty: AtomicBool::new(true),
            names_failing: AtomicBool::new(false),
            wanted: AtomicU64::new(0),
            covered: Mutex::new(0),
            given_up: AtomicU32::new(0),
            failed: AtomicU64::new(0),
            reported: AtomicU64::new(0),
        }
    }
}

impl Writer {
    /// A segment is full: the next sync brings its end to disk.
    pub(super) fn note_full(&self, full: Segment) {
        if full.index >= self.syncs.given_up.load(Ordering::Acquire) {
            held(&self.syncs.full).push(full);
        }
        self.syncs.names_dirty.store(true, Ordering::Release);
    }

    /// Brings the frame that was written to this segment to disk, and all before it.
    pub(crate) fn sync_frame(&self, index: u32) -> Result<()> {
        self.sync()?;
        // Another thread's sync may have failed on this frame.
        if index < self.syncs.given_up.load(Ordering::Acquire) { Err(self.lost_sync()) } else { Ok(()) }
    }

    /// Brings everything appended so far to disk. A sync that failed in the background is reported here, once.
    pub(crate) fn flush(&self) -> Result<()> {
        let reported = self.syncs.reported.load(Ordering::Acquire);
        let synced = self.sync();
        let failed = self.syncs.failed.load(Ordering::Acquire);
        self.syncs.reported.fetch_max(failed, Ordering::AcqRel);
        synced.and_then(|()| if failed > reported { Err(self.lost_sync()) } else { Ok(()) })
    }

    /// Forces what was appended so far to disk, as far as no earlier sync of it failed.
    pub(crate) fn sync(&self) -> Result<()> {
        let mine = self.syncs.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        // One at a time: a sync that fails tells one caller alone, and the others must learn it before they promise anything.
        let mut covered = held(&self.syncs.covered);
        if *covered >= mine {
            // A sync that began after this call has brought everything of before it to disk.
            return Ok(());
        }
        let covers = self.syncs.wanted.load(Ordering::Acquire);
        self.sync_all()?;
        *covered = covers;
        Ok(())
    }

    fn sync_all(&self) -> Result<()> {
        // Where it fails, what the files hold is synced all the same: after most failures of a directory the names are there.
        let names = self.sync_names();
        // Cleared first: an append that comes during the sync makes it dirty again.
        self.syncs.dirty.store(false, Ordering::Release);
        let (file, path, index) = {
            let active = held(&self.active);
            (Arc::clone(&active.segment.file), active.segment.path.clone(), active.segment.index)
        };
        let full = std::mem::take(&mut *held(&self.syncs.full));
        let earlier = full.iter().map(|segment| self.sync_segment(&segment.file, &segment.path, segment.index));
        let earlier = earlier.fold(Ok(()), Result::and);
        let last = self.sync_segment(&file, &path, index);
        names.and(earlier).and(last)
    }

    fn sync_names(&self) -> Result<()> {
        if !self.syncs.names_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = self.spool.parent().map_or(Ok(()), layout::sync_names).and_then(|()| fs::sync_dir(&self.spool));
        if synced.is_err() {
            self.syncs.names_dirty.store(true, Ordering::Release);
        }
        self.syncs.names_failing.store(synced.is_err(), Ordering::Release);
        synced
    }

    fn sync_segment(&self, file: &File, path: &Path, index: u32) -> Result<()> {
        file.sync_data().map_err(|error| {
            let mut active = held(&self.active);
            self.syncs.given_up.fetch_max(index + 1, Ordering::AcqRel);
            self.syncs.failed.fetch_add(1, Ordering::AcqRel);
            if active.segment.index == index {
                // No room left: the next append makes a new segment, or says that it can't.
                active.segment.size = active.offset;
            }
            Error::io("cannot sync", path)(error)
        })
    }

    fn lost_sync(&self) -> Error {
        let cause = std::io::Error::other(
            "an earlier sync failed; events before it are readable, but may not survive a power cut",
        );
        Error::io("cannot sync", &self.spool)(cause)
    }

    /// One round of the sync thread. Returns whether there was something to do.
    pub(crate) fn tick(&self) -> bool {
        if self.notice_removal() {
            return false;
        }
        let busy = self.syncs.dirty.load(Ordering::Acquire);
        if busy {
            // First, because a caller may be about to need it.
            self.prepare_spare();
            let failures =
                || (self.syncs.names_failing.load(Ordering::Acquire), self.syncs.failed.load(Ordering::Acquire));
            let known = failures();
            // A directory that goes on failing is one failure, not five a second.
            if let Err(error) = self.sync()
                && failures() != known
            {
                self.lock.note_failure(&error.to_string());
            }
            self.lock.save();
        }
        busy
    }
}
