//! Copies of the environment: of its newest commit, without free pages. And the files that an unfinished replacement leaves behind.

use std::fs::File;
use std::path::Path;

use heed::{CompactionOption, Env, WithoutTls};

use super::files::remove;
use super::verify::{Fault, clear_unused};
use crate::os::gate;
use crate::{Error, RecordId, Result, layout};

/// Begins the name of a copy that is not yet the store.
pub(super) const UNFINISHED: &str = "lmdb.compact-";
/// Begins the name of a store that has a successor.
const SUPERSEDED: &str = "lmdb.old-";

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
pub(super) fn clear(journal: &Path) -> Result<()> {
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
        if is_own && gate::check_inner_directory(&entry.path()).is_ok() {
            // Some systems do not remove open files. The next compaction tries again.
            remove(&entry.path());
        }
    }
    Ok(())
}
