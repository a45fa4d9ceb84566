//! Brings a writer's frames, and the names of its files, to disk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Writer;
use super::unsynced::Unsynced;
use crate::mutex::lock;
use crate::os::fs;
use crate::{Error, Result, layout};

impl Writer {
    /// Syncs the frame that was written to the segment `index`, and all frames before it.
    pub(crate) fn sync_frame(&self, index: u32) -> Result<()> {
        self.sync()?;
        // Another thread's sync may have failed on this frame.
        if index < self.unsynced.abandoned.load(Ordering::Acquire) { Err(self.lost_sync()) } else { Ok(()) }
    }

    /// Syncs every appended frame. A sync that failed in the background is reported here, once.
    pub(crate) fn flush(&self) -> Result<()> {
        let reported = self.unsynced.reported.load(Ordering::Acquire);
        let synced = self.sync();
        let failed = self.unsynced.failed.load(Ordering::Acquire);
        self.unsynced.reported.fetch_max(failed, Ordering::AcqRel);
        synced.and_then(|()| if failed > reported { Err(self.lost_sync()) } else { Ok(()) })
    }

    /// Syncs every appended frame, except in segments whose earlier sync failed.
    pub(crate) fn sync(&self) -> Result<()> {
        let mine = self.unsynced.requested.fetch_add(1, Ordering::AcqRel) + 1;
        // One sync at a time: the kernel reports a failed sync to one caller only. The other callers must know of it before they
        // promise anything.
        let mut covered = lock(&self.unsynced.covered);
        if *covered >= mine {
            // A sync that began after this call has brought all earlier frames to disk.
            return Ok(());
        }
        let covers = self.unsynced.requested.load(Ordering::Acquire);
        self.sync_all()?;
        *covered = covers;
        Ok(())
    }

    fn sync_all(&self) -> Result<()> {
        // The files are synced even when this fails: after most failures of a directory the names are on disk.
        let names = self.sync_names();
        // Cleared first: an append during the sync sets it again.
        self.unsynced.dirty.store(false, Ordering::Release);
        let (file, path, index) = {
            let active = lock(&self.active);
            (Arc::clone(&active.segment.file), active.segment.path.clone(), active.segment.index)
        };
        let full = std::mem::take(&mut *lock(&self.unsynced.full));
        let earlier = full.iter().map(|segment| self.sync_segment(&segment.file, &segment.path, segment.index));
        let earlier = earlier.fold(Ok(()), Result::and);
        let last = self.sync_segment(&file, &path, index);
        names.and(earlier).and(last)
    }

    fn sync_names(&self) -> Result<()> {
        if !self.unsynced.names_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = self.spool.parent().map_or(Ok(()), layout::sync_names).and_then(|()| fs::sync_dir(&self.spool));
        if synced.is_err() {
            self.unsynced.names_dirty.store(true, Ordering::Release);
        }
        self.unsynced.names_failing.store(synced.is_err(), Ordering::Release);
        synced
    }

    fn sync_segment(&self, file: &File, path: &Path, index: u32) -> Result<()> {
        file.sync_data().map_err(|error| {
            let mut active = lock(&self.active);
            self.unsynced.abandoned.fetch_max(index + 1, Ordering::AcqRel);
            self.unsynced.failed.fetch_add(1, Ordering::AcqRel);
            if active.segment.index == index {
                // Leaves no room: the next append makes a new segment, or returns why it cannot.
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

    /// One round of the fsync thread. Returns whether there was something to sync.
    pub(crate) fn tick(&self) -> bool {
        if self.notice_removal() {
            return false;
        }
        let busy = self.unsynced.dirty.load(Ordering::Acquire);
        if busy {
            // First, because an append may be about to need it.
            self.prepare_spare();
            let failures = || {
                let Unsynced { names_failing, failed, .. } = &self.unsynced;
                (names_failing.load(Ordering::Acquire), failed.load(Ordering::Acquire))
            };
            let before = failures();
            // A directory whose syncs keep failing is one failure, not five a second.
            if let Err(error) = self.sync()
                && failures() != before
            {
                self.file.note_failure(&error.to_string());
            }
            self.file.save();
        }
        busy
    }
}
