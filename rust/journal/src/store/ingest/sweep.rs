//! Cleans up after the segments are read: closes calls of dead processes, and removes the files of dead writers.

use std::path::Path;

use super::merge::Merge;
use super::report::IngestReport;
use crate::os::{fs, gate};
use crate::spool::segment::{list, list_unfinished, unfinished_path};
use crate::spool::skipped::remove;
use crate::spool::writer_file::{WriterStatus, lock_path, observe};
use crate::state::CallEnd;
use crate::store::Store;
use crate::store::db::trees::{FAILURES_COUNTED, cursor_key, tail_seq};
use crate::store::records::transition::Change;
use crate::{Error, Millis, RecordId, Result};

/// The number of records closed in one transaction.
const BATCH: usize = 1000;

impl Store {
    pub(super) fn sweep(&self, spool: &Path, merge: &Merge, report: &mut IngestReport) -> Result<()> {
        for writer in self.writers_with_open_records()? {
            // This process holds the locks of the writers in `merge` that are dead, so only other writers are observed again.
            let alive =
                merge.is_alive(writer).map_or_else(|| Ok(observe(spool, writer)?.info.alive), Ok::<_, Error>)?;
            if !alive {
                report.abandoned += self.abandon(writer)?;
            }
        }
        let left = list(spool)?;
        let unfinished = list_unfinished(spool)?;
        for observed in merge.dead() {
            for (writer, index) in unfinished.iter().filter(|(owner, _)| *owner == observed.info.id) {
                report.skipped.extend(remove(&unfinished_path(spool, *writer, *index))?);
            }
            if observed.guard.is_some() && !left.iter().any(|(owner, _)| *owner == observed.info.id) {
                self.count_failures(observed)?;
                report.skipped.extend(remove(&lock_path(spool, observed.info.id))?);
            }
        }
        self.forget_cursors(&left, spool)
    }

    fn writers_with_open_records(&self) -> Result<Vec<RecordId>> {
        self.db().read(|txn, trees| {
            let mut writers = Vec::new();
            let mut after = vec![0];
            while let Some((key, _)) = trees.open.get_greater_than_or_equal_to(txn, &after)? {
                let Some(writer) = key.first_chunk::<16>() else {
                    return Err(Error::Corrupt("a key of the store is too short".into()));
                };
                writers.push(RecordId(*writer));
                after = [&writer[..], &[0xff; 9]].concat();
            }
            Ok(writers)
        })
    }

    /// Closes the calls that a dead process left open.
    fn abandon(&self, writer: RecordId) -> Result<u64> {
        let mut total = 0;
        loop {
            let closed = self.db().write(|txn, trees| {
                let open = trees.open.prefix_iter(txn, &writer.0)?.take(BATCH);
                let seqs = open.map(|entry| tail_seq(entry?.0)).collect::<Result<Vec<_>>>()?;
                let mut change = Change::begin(txn, trees, Millis::now())?;
                for seq in &seqs {
                    change.update(*seq, |row| row.ended = CallEnd::Abandoned)?;
                }
                change.finish()?;
                Ok(seqs.len())
            })?;
            total += closed as u64;
            if closed < BATCH {
                return Ok(total);
            }
        }
    }

    /// Adds a dead writer's failures to the counters, once, before its file is removed.
    fn count_failures(&self, observed: &WriterStatus) -> Result<()> {
        let key = cursor_key(observed.info.id, FAILURES_COUNTED);
        if observed.info.failures == 0 || self.db().read(|txn, trees| Ok(trees.cursors.get(txn, &key)?.is_some()))? {
            return Ok(());
        }
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            change.counts.failures += observed.info.failures;
            trees.meta.put(change.txn, b"last failure", observed.info.last_failure.as_bytes())?;
            trees.cursors.put(change.txn, &key, &[])?;
            change.finish()
        })
    }

    /// Removes the cursors of segments and writers that are gone.
    pub(super) fn forget_cursors(&self, left: &[(RecordId, u32)], spool: &Path) -> Result<()> {
        let stale = self.db().read(|txn, trees| {
            let mut stale = Vec::new();
            for entry in trees.cursors.iter(txn)? {
                let (key, _) = entry?;
                let (Some(writer), Some(index)) = (key.first_chunk::<16>(), key.last_chunk::<4>()) else { continue };
                let (writer, index) = (RecordId(*writer), u32::from_be_bytes(*index));
                let kept = if index == FAILURES_COUNTED {
                    gate::is_there(&lock_path(spool, writer))?
                } else {
                    left.contains(&(writer, index))
                };
                if !kept {
                    stale.push(key.to_vec());
                }
            }
            Ok(stale)
        })?;
        if stale.is_empty() {
            return Ok(());
        }
        // When a power cut undoes the removal of a segment, its cursor must still be there, or it would be ingested again.
        fs::sync_dir(spool)?;
        self.db().write(|txn, trees| {
            for key in &stale {
                trees.cursors.delete(txn, key)?;
            }
            Ok(())
        })
    }
}
