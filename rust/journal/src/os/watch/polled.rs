//! The watch of other systems, and of a Linux without a free inotify: it compares the times of files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use crate::os::watch::changes::{Changes, DOORBELL, WRITER};
use crate::{Error, Result};

#[derive(Default)]
pub(super) struct Watch {
    writers: BTreeMap<OsString, Option<SystemTime>>,
    doorbell: Option<SystemTime>,
    /// Changes with each new file: another process may ingest the events of a short one, and remove its file, between two polls.
    spool: Option<SystemTime>,
}

impl Watch {
    pub(super) fn poll(&mut self, journal: &Path, spool: &Path) -> Result<Changes> {
        let modified = |path: &Path| std::fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok();
        let (doorbell, directory) = (modified(&journal.join(DOORBELL)), modified(spool));
        let mut writers = BTreeMap::new();
        for entry in std::fs::read_dir(spool).map_err(Error::io("cannot list", spool))? {
            let entry = entry.map_err(Error::io("cannot list", spool))?;
            if entry.file_name().to_string_lossy().ends_with(WRITER) {
                writers.insert(entry.file_name(), entry.metadata().and_then(|meta| meta.modified()).ok());
            }
        }
        let events = directory != self.spool || writers != self.writers;
        let changes = Changes { events, doorbell: doorbell != self.doorbell };
        *self = Self { writers, doorbell, spool: directory };
        Ok(changes)
    }
}
