//! The ingester: moves frames from segments into LMDB by synchronous group commits.
//!
//! How far each segment was read is stored in the same transaction as the records it gave, and a record that is already there is
//! left alone; so whatever is interrupted is simply done again. One ingester runs at a time, whoever holds `ingest.lock`.

mod apply;
mod chunk;
mod index;
mod merge;
mod pipeline;
mod sweep;

use std::fs::TryLockError;
use std::thread::Builder;

use crate::os::{fork, fs};
use crate::spool::reader::Damage;
use crate::store::Store;
use crate::{Error, Result, WriterInfo, layout};
use chunk::Finished;
use merge::Merge;

/// What an ingest did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// False when another process was ingesting and this one did not wait.
    pub ran: bool,
    /// Events stored.
    pub frames: u64,
    /// New records among them.
    pub records: u64,
    /// Events that were there already, or came after a call had ended.
    pub duplicates: u64,
    /// Calls closed because their process is gone.
    pub abandoned: u64,
    /// Segments read to their end and removed.
    pub segments_removed: u64,
    /// Bytes that were no frame.
    pub damage: Vec<Damage>,
}

impl Store {
    /// Brings into the store whatever the spool holds. With `wait`, waits for an ingester that is already running.
    pub fn ingest(&self, wait: bool) -> Result<IngestReport> {
        let mut report = IngestReport::default();
        let spool = layout::spool(self.path());
        if !spool.is_dir() {
            return Ok(IngestReport { ran: true, ..report });
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
        // As long as they count, no page that changed since is used again.
        self.db().clear_stale_readers()?;
        let mut merge = Merge::open(self, &spool)?;
        std::thread::scope(|scope| {
            let mut removals = Vec::new();
            let stored = pipeline::run(&mut merge, |group| {
                self.apply(group, &mut report)?;
                let finished: Vec<_> = group.iter_mut().flat_map(|chunk| std::mem::take(&mut chunk.finished)).collect();
                if !finished.is_empty() {
                    let _guard = fork::enter()?;
                    // Some file systems take milliseconds to free so many blocks. The next commit need not wait for that.
                    // Where the system has no thread to give, the next ingest finds them read to their ends.
                    if let Ok(removal) = Builder::new().spawn_scoped(scope, || put_away(finished)) {
                        removals.push(removal);
                    }
                }
                Ok(())
            });
            for removal in removals {
                let removed = removal.join().map_err(|_| Error::Corrupt("removing segments failed".into()))?;
                report.segments_removed += removed?;
            }
            stored
        })?;
        self.sweep(&spool, &merge, &mut report)?;
        self.enforce_quota()?;
        Ok(report)
    }

    /// Every writer that has a file in the spool, the dead ones too.
    pub fn writers(&self) -> Result<Vec<WriterInfo>> {
        let spool = layout::spool(self.path());
        if !spool.is_dir() {
            return Ok(Vec::new());
        }
        let writers = crate::spool::segment::list_writers(&spool)?;
        writers.into_iter().map(|id| Ok(crate::spool::lock::observe(&spool, id)?.info)).collect()
    }
}

/// Removes segments whose frames are durable in the store. Should one's name come back after a power cut, the cursor that says how far
/// it was read is still there: see [`Store::forget_cursors`].
fn put_away(segments: Vec<Finished>) -> Result<u64> {
    let count = segments.len() as u64;
    for Finished { path, damaged } in segments {
        // A damaged segment may hold bytes that no reader understood: it is set aside, not deleted.
        let removed =
            if damaged { std::fs::rename(&path, path.with_extension("damaged")) } else { std::fs::remove_file(&path) };
        removed.map_err(Error::io("cannot remove", &path))?;
    }
    Ok(count)
}
