//! Shares a journal with a group, and makes a shared journal private again.
//!
//! The owner of the directory or root does this, because only the owner of a file or root changes its group and mode. Each file is
//! opened first, and no link is followed. So root changes no file that a member has put in the place of another.

use std::path::Path;

use crate::layout;
use crate::marker::Marker;
use crate::os::gate::{Access, Purpose};
use crate::os::{fs, network_fs, ownership};
use crate::{Error, Result};

/// The result of sharing a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareReport {
    /// The group that the journal was shared with before.
    pub previous: Option<u32>,
    /// Files and directories that got another group, mode or owner.
    pub changed: u64,
}

/// Shares the journal in `path` with a group, by its number; `None` makes it private. A missing journal is made and shared. A
/// journal with wrong groups or modes is repaired.
///
/// # Errors
///
/// [`Error::Refused`]: this user may not change the group of a file. Then nothing was changed. [`Error::NotFound`]: there is no journal to
/// make private.
pub fn share(path: &Path, group: Option<u32>) -> Result<ShareReport> {
    network_fs::refuse(path)?;
    ownership::check_group(path, group)?;
    let found = if group.is_some() {
        layout::prepare(path, Purpose::Look).map(drop)
    } else {
        layout::verify(path, Purpose::Look)
    };
    match found {
        // Such as of a directory with the wrong mode, which is repaired here.
        Ok(()) | Err(Error::Refused { .. }) => {}
        Err(error) => return Err(error),
    }
    let journal = path.canonicalize().map_err(Error::io("cannot open", path))?;
    // Of any owner: only the id and the format are used.
    let old = layout::read_marker(&journal, Access::ReadAny)?;
    ownership::check(&journal, group)?;
    // No store is replaced meanwhile. The lock of a journal without a store would be a sign that the store was lost.
    let lock_path = layout::ingest_lock(&journal);
    let lock = if lock_path.exists() { fs::open_lock(&lock_path).ok() } else { None };
    if let Some(lock) = &lock {
        lock.lock().map_err(Error::io("cannot lock", &lock_path))?;
    }
    let mut changed = ownership::change_directories(&journal, group)?;
    // Also without a new group: its owner counts, too.
    layout::write_marker(&journal, &Marker::new(old.id, group))?;
    // A file that is made from now on has the right group and mode. Files that were made meanwhile are changed by the next round.
    loop {
        match ownership::change_files(&journal, group)? {
            0 => return Ok(ShareReport { previous: old.group, changed }),
            number => changed += number,
        }
    }
}

/// Shares a copy of a journal with the group of the journal. A user who cannot do so keeps the copy private.
pub(crate) fn share_copy(journal: &Path, copy: &Path) -> Result<()> {
    let group = layout::read_marker(journal, Access::ReadAny)?.group;
    if group.is_none() || !ownership::may_set(group) {
        return Ok(());
    }
    share(copy, group).map(drop)
}
