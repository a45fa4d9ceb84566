//! Compaction: returns the space of removed data to the file system.
//!
//! LMDB's file never shrinks. So the store is copied without its free pages into a new one beside it, which replaces it by one
//! rename. Appending continues meanwhile, because the spool is separate. Writers to the store wait, and then find the new one. A crash
//! leaves either store whole.

use std::path::Path;

use heed::{CompactionOption, Env, WithoutTls};

use super::copy::{UNFINISHED, clear, finish_copy};
use super::files::{self, remove};
use super::full_disk;
use super::memory::MapTrimmer;
use super::opening::open_copied_env;
use super::trees::Trees;
use crate::os::{disk, fs};
use crate::store::Store;
use crate::store::digests::remove_unused_names;
use crate::store::forget::is_unfinished;
use crate::store::records::quota::PruneCounts;
use crate::{Error, RecordId, Result, layout};

/// Bytes of the files beside the copy, and of the pages that its verification needs.
const COPY_OVERHEAD: u64 = 256 << 10;

/// The result of a compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Bytes of the data file before.
    pub before: u64,
    /// Bytes of the data file after.
    pub after: u64,
    /// The records that the quota pruned first.
    pub pruned: PruneCounts,
    /// The disk had no room for the copy, so the free pages were returned inside the file.
    pub in_place: bool,
}

impl Store {
    /// Rewrites the store without its free pages. Without disk space for the copy, returns the free pages inside the file. Waits for a
    /// running ingest, and keeps others waiting.
    pub fn compact(&self) -> Result<CompactReport> {
        let _lock = self.hold_ingest()?;
        // A removal of content that was interrupted ends here, because the compaction is its last step.
        self.erase_frames()?;
        // Free pages may hold its content, and a copy leaves them out.
        if !self.db().read(is_unfinished)? && !self.has_room_for_copy()? {
            let before = self.db().sizes()?.0;
            let pruned = self.enforce_quota()?;
            self.db().age_free_pages()?;
            self.db().return_free_pages()?;
            // The copy may fit into the returned space. Elsewhere the copy reports the full disk.
            if cfg!(target_os = "linux") && !self.has_room_for_copy()? {
                return Ok(CompactReport { before, after: self.db().sizes()?.0, pruned, in_place: true });
            }
            let mut report = self.compact_held()?;
            report.before = before;
            report.pruned.add(pruned);
            return Ok(report);
        }
        self.make_room_for_copy()?;
        let report = self.compact_held()?;
        self.finish_forgetting()?;
        Ok(report)
    }

    /// Like [`Self::compact`], by a copy. The caller holds the ingest lock.
    pub(crate) fn compact_held(&self) -> Result<CompactReport> {
        clear(self.path())?;
        let before = self.db().sizes()?.0;
        let pruned = self.enforce_quota()?;
        if self.db().read(is_unfinished)? {
            self.db().in_room(|| self.db().write(remove_unused_names))?;
        }
        let copy = self.path().join(format!("{UNFINISHED}{}", RecordId::new().hex()));
        let replaced = self.db().hold_writers(|env, number| {
            copy_into(env, &self.db().trimmer, &copy)?;
            let next = layout::lmdb(self.path(), number + 1);
            std::fs::rename(&copy, &next).map_err(Error::io("cannot create", &next))?;
            fs::sync_dir(self.path())
        });
        if let Err(error) = replaced.map_err(|error| full_disk::named(error, self.path())) {
            remove(&copy);
            return Err(error);
        }
        clear(self.path())?;
        Ok(CompactReport { before, after: self.db().sizes()?.0, pruned, in_place: false })
    }

    /// Returns the free pages inside the file, if the disk has no room for a copy. The caller holds the ingest lock.
    pub(crate) fn make_room_for_copy(&self) -> Result<()> {
        if self.has_room_for_copy()? {
            return Ok(());
        }
        self.db().age_free_pages()?;
        self.db().return_free_pages().map(drop)
    }

    fn has_room_for_copy(&self) -> Result<bool> {
        let used = self.db().sizes()?.1;
        Ok(disk::available(self.path()).is_none_or(|available| available > used + COPY_OVERHEAD))
    }
}

/// Copies the environment, checks that the copy is complete, and syncs it.
fn copy_into(env: &Env<WithoutTls>, trimmer: &MapTrimmer, target: &Path) -> Result<()> {
    fs::make_inner_dir(target)?;
    let mut file = files::create_data(target)?;
    let txn = env.read_txn()?;
    let trees = Trees::open(env, &txn)?;
    // Through this descriptor, because the crash tests log no writes of a duplicate.
    trimmer.release_during(&txn, &trees, || env.copy_to_file(&mut file, CompactionOption::Enabled))?;
    drop(txn);
    finish_copy(&file, target)?;
    let copy = open_copied_env(target)?;
    if lengths(&copy)? != lengths(env)? {
        return Err(Error::Internal("the compacted copy holds less than the store; the store was not changed"));
    }
    fs::sync_dir(target)
}

fn lengths(env: &Env<WithoutTls>) -> Result<Vec<u64>> {
    let txn = env.read_txn()?;
    let trees = Trees::open(env, &txn)?.all();
    trees.into_iter().map(|(_, tree)| Ok(tree.len(&txn)?)).collect()
}
