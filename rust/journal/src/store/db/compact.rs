//! Compaction: returns the space of removed data to the file system.
//!
//! LMDB's file never shrinks. So the store is copied without its free pages into a new one beside it, which replaces it by one
//! rename. Appending continues meanwhile, because the spool is separate. Writers to the store wait, and then find the new one. A crash
//! leaves either store whole.

use std::fs::File;
use std::path::Path;

use heed::{CompactionOption, Env, WithoutTls};

use super::env::open_copied_env;
use super::files::{self, remove};
use super::full_disk;
use super::memory::MapTrimmer;
use super::trees::Trees;
use super::verify::{Fault, clear_unused};
use crate::os::{disk, fs, gate};
use crate::store::Store;
use crate::store::forget::is_unfinished;
use crate::store::records::quota::PruneCounts;
use crate::{Error, RecordId, Result, layout};

const UNFINISHED: &str = "lmdb.compact-";
/// Bytes of the files beside the copy, and of the pages that its verification needs.
const COPY_OVERHEAD: u64 = 256 << 10;
const SUPERSEDED: &str = "lmdb.old-";

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
        let report = self.compact_held()?;
        self.finish_forgetting()?;
        Ok(report)
    }

    /// Like [`Self::compact`], by a copy. The caller holds the ingest lock.
    pub(crate) fn compact_held(&self) -> Result<CompactReport> {
        clear(self.path())?;
        let before = self.db().sizes()?.0;
        let pruned = self.enforce_quota()?;
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

/// Copies the newest commit into an empty file, without free pages.
pub(super) fn copy_data(env: &Env<WithoutTls>, file: &File) -> Result<()> {
    let mut file = file.try_clone().map_err(heed::Error::Io)?;
    Ok(env.copy_to_file(&mut file, CompactionOption::Enabled)?)
}

/// Removes old bytes from the pages of a copy, and syncs it.
pub(super) fn finish_copy(file: &File, store: &Path) -> Result<()> {
    let cleared = clear_unused(file).map_err(Error::io("cannot write", store))?;
    cleared.map_err(|Fault { page, reason }| Error::Damaged { path: store.to_path_buf(), page, reason })?;
    file.sync_all().map_err(Error::io("cannot sync", store))
}

fn lengths(env: &Env<WithoutTls>) -> Result<Vec<u64>> {
    let txn = env.read_txn()?;
    let trees = Trees::open(env, &txn)?.all();
    trees.into_iter().map(|(_, tree)| Ok(tree.len(&txn)?)).collect()
}

/// Whether a compaction left files behind that a later one must remove: on some systems, open files cannot be.
pub(crate) fn has_leftovers(journal: &Path) -> Result<bool> {
    if layout::list_lmdb(journal)?.len() > 1 {
        return Ok(true);
    }
    for entry in std::fs::read_dir(journal).map_err(Error::io("cannot list", journal))? {
        let name = entry.map_err(Error::io("cannot list", journal))?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(UNFINISHED) || name.starts_with(SUPERSEDED) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the leftovers of compactions: unfinished copies, and stores that have a successor, the oldest first. The caller holds the
/// ingest lock, so no compaction runs.
fn clear(journal: &Path) -> Result<()> {
    let mut stores = layout::list_lmdb(journal)?;
    stores.pop();
    for number in stores {
        // Renamed first: a process that opens the store finds all of it or none of it.
        let old = journal.join(format!("{SUPERSEDED}{}", RecordId::new().hex()));
        if std::fs::rename(layout::lmdb(journal, number), old).is_err() {
            // Some systems do not rename open files. The next compaction tries again.
            break;
        }
    }
    for entry in std::fs::read_dir(journal).map_err(Error::io("cannot list", journal))? {
        let entry = entry.map_err(Error::io("cannot list", journal))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let suffix = name.strip_prefix(UNFINISHED).or_else(|| name.strip_prefix(SUPERSEDED));
        let is_own = suffix.is_some_and(|suffix| RecordId::from_hex(suffix).is_some());
        if is_own && gate::check_directory(&entry.path()).is_ok() {
            // Some systems do not remove open files. The next compaction tries again.
            remove(&entry.path());
        }
    }
    Ok(())
}
