//! Systems on which no journal is shared with a group.

use std::path::Path;

use crate::{Error, Result};

pub(crate) fn check_group(journal: &Path, _: Option<u32>) -> Result<()> {
    Err(Error::Refused {
        path: journal.to_path_buf(),
        reason: "cannot be shared with a group on this system".into(),
        remedy: "record and send as one user; Linux has shared journals".into(),
    })
}

#[allow(clippy::unnecessary_wraps)] // has the signature of Linux
pub(crate) fn check(_: &Path, _: Option<u32>) -> Result<()> {
    Ok(())
}

pub(crate) fn may_set(group: Option<u32>) -> bool {
    group.is_none()
}

#[allow(clippy::unnecessary_wraps)] // has the signature of Linux
pub(crate) fn change_directories(_: &Path, _: Option<u32>) -> Result<u64> {
    Ok(0)
}

#[allow(clippy::unnecessary_wraps)] // has the signature of Linux
pub(crate) fn change_files(_: &Path, _: Option<u32>) -> Result<u64> {
    Ok(0)
}
