//! The ingester: it moves frames from segments into LMDB by synchronous group commits.
//!
//! One transaction stores the records of a segment and the offset up to which the segment was read. An event that is stored already is
//! skipped. So an interrupted ingest can be repeated. The process that holds `ingest.lock` is the only ingester.

pub(crate) mod apply;
mod bases;
mod chunk;
pub(crate) mod cursors;
mod incoming;
mod index;
mod merge;
mod pipeline;
mod report;
mod room;
mod sweep;

use std::fs::TryLockError;
use std::path::Path;
use std::thread::Builder;

use crate::os::fork::{self, CloseOnFork};
use crate::os::fs;
use crate::os::gate::Access;
use crate::spool::early_failures;
use crate::spool::reader::{Reader, Step};
use crate::spool::segment::{list, segment_path};
use crate::spool::skipped::{SkippedFile, remove};
use crate::store::Store;
use crate::{Error, Result, WriterInfo, layout};
use chunk::FinishedSegment;
pub use incoming::Incoming;
use merge::Merge;
pub use report::IngestReport;
use room::Room;

impl Store {
    /// Moves the events of the spool into the store. With `wait`, waits for an ingester that is already running.
    pub fn ingest(&self, wait: bool) -> Result<IngestReport> {
        self.ingest_up_to(wait, usize::MAX)
    }

    /// Like [`Self::ingest`], up to the first event of more than `largest` bytes: an ingest takes twice the memory of an event.
    pub fn ingest_up_to(&self, wait: bool, largest: usize) -> Result<IngestReport> {
        let mut report = IngestReport::default();
        let spool = layout::spool(self.path());
        if !layout::has_spool(self.path())? {
            return Ok(IngestReport { ran: true, ..report });
        }
        if self.db().is_read_only() {
            return Ok(report);
        }
        let lock_path = layout::ingest_lock(self.path());
        let lock = fs::open_lock(&lock_path)?;
        if wait {
            lock.lock().map_err(Error::io("cannot lock", &lock_path))?;
        } else {
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(report),
                Err(TryLockError::Error(error)) => return Err(Error::io("cannot lock", &lock_path)(error)),
            }
        }
        report.ran = true;
        self.ingest_held_up_to(&spool, &mut report, largest)?;
        Ok(report)
    }

    /// Waits until no other process ingests or compacts, and keeps others from it while the result lives.
    pub(crate) fn hold_ingest(&self) -> Result<CloseOnFork> {
        self.db().require_writable()?;
        let path = layout::ingest_lock(self.path());
        let lock = fs::open_lock(&path)?;
        lock.lock().map_err(Error::io("cannot lock", &path))?;
        Ok(lock)
    }

    /// Like [`Self::ingest`]. The caller holds the ingest lock.
    pub(crate) fn ingest_held(&self, spool: &Path, report: &mut IngestReport) -> Result<()> {
        self.ingest_held_up_to(spool, report, usize::MAX)
    }

    fn ingest_held_up_to(&self, spool: &Path, report: &mut IngestReport, largest: usize) -> Result<()> {
        // A dead reader's slot keeps every page freed since from reuse.
        self.db().clear_stale_readers()?;
        early_failures::hand_over(self.path(), spool)?;
        let mut merge = Merge::open(self, spool, largest)?;
        let stored = std::thread::scope(|scope| {
            let mut removals = Vec::new();
            let stored = pipeline::run(
                &mut merge,
                || Ok(()),
                |group| {
                    self.store_group(group, report, |finished, room, report| {
                        if finished.is_empty() {
                            return Ok(());
                        }
                        if room == Room::Short {
                            report.add_removed(remove_segments(finished)?);
                            return Ok(());
                        }
                        let _guard = fork::enter()?;
                        // Some file systems take milliseconds to free the blocks of a segment, and the next commit should not wait.
                        // Without a thread, the next ingest removes the segments.
                        if let Ok(removal) = Builder::new().spawn_scoped(scope, || remove_segments(finished)) {
                            removals.push(removal);
                        }
                        Ok(())
                    })
                },
            );
            for removal in removals {
                let removed =
                    removal.join().map_err(|_| Error::Internal("the thread that removes segments panicked"))?;
                report.add_removed(removed?);
            }
            stored
        });
        self.stored_as_far_as_possible(stored, report)?;
        report.skipped.append(&mut merge.skipped);
        if report.forgotten > 0 {
            self.erase_frames()?;
        }
        // The end of a call whose process is dead may be behind the large event.
        if !merge.has_stopped {
            self.sweep(spool, &merge, report)?;
        }
        report.pruned.add(self.enforce_quota()?);
        self.db().return_free_pages_if_short()?;
        Ok(())
    }

    /// Makes room after a full disk has ended the storing.
    fn stored_as_far_as_possible(&self, stored: Result<()>, report: &mut IngestReport) -> Result<()> {
        if stored.as_ref().is_err_and(Error::is_full_disk) {
            // Content beyond the quota goes also when no new content fits.
            report.pruned.add(self.enforce_quota()?);
            self.db().return_free_pages_if_short()?;
        }
        stored
    }

    /// Whether this user can only read the journal. Then nothing is ingested.
    pub fn is_read_only(&self) -> bool {
        self.db().is_read_only()
    }

    /// Events in the spool that are behind the cursors of the store: the next ingest moves them.
    pub fn waiting_events(&self) -> Result<u64> {
        let spool = layout::spool(self.path());
        if !layout::has_spool(self.path())? {
            return Ok(0);
        }
        let mut events = 0;
        for (writer, index) in list(&spool)? {
            let offset = self.db().read(|txn, trees| cursors::offset(txn, trees, writer, index))?;
            // `check` reports a file that cannot be read.
            let Ok(mut reader) = Reader::open(&segment_path(&spool, writer, index), offset, Access::Read) else {
                continue;
            };
            loop {
                match reader.next()? {
                    Step::Frame(_) => events += 1,
                    Step::Skipped(_) => {}
                    Step::End | Step::Torn(_) => break,
                }
            }
        }
        Ok(events)
    }

    /// Every writer that has a file in the spool, living or dead.
    pub fn writers(&self) -> Result<Vec<WriterInfo>> {
        let spool = layout::spool(self.path());
        if !layout::has_spool(self.path())? {
            return Ok(Vec::new());
        }
        let writers = crate::spool::segment::list_writers(&spool)?;
        writers.into_iter().map(|id| Ok(crate::spool::writer_file::observe(&spool, id)?.info)).collect()
    }
}

/// Removes segments whose frames are durable in the store, and returns how many, and which could not be removed. When a power cut undoes a removal, the segment's cursor
/// is still there: see [`Store::forget_cursors`].
fn remove_segments(segments: Vec<FinishedSegment>) -> Result<(u64, Vec<SkippedFile>)> {
    let (mut count, mut kept) = (0, Vec::new());
    for FinishedSegment { path, damaged } in segments {
        // A damaged segment may hold bytes that no reader understood, so it is renamed and not deleted.
        let skipped = if damaged {
            let renamed = std::fs::rename(&path, path.with_extension("damaged"));
            let renamed = renamed.map_err(Error::io("cannot rename", &path));
            renamed.err().map(|error| SkippedFile::from_error(&path, error)).transpose()?
        } else {
            remove(&path)?
        };
        count += u64::from(skipped.is_none());
        kept.extend(skipped);
    }
    Ok((count, kept))
}
