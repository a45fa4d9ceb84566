//! Watches a journal for the changes of other processes.
//!
//! A recording process saves its writer file after each sync that wrote events, at most [`crate::SYNC_EVERY`] after an event. The
//! watch is on that file and not on the segments, so it adds nothing to the cost of an append. A process that stores request ids
//! touches the file `doorbell`.

use std::path::{Path, PathBuf};

use crate::os::gate::Purpose;
use crate::{Result, layout};

mod changes;
#[cfg(target_os = "linux")]
mod notified;
mod polled;

pub use changes::Changes;

/// Watches one journal. Where the system notifies of no changes, or has no more resources for that, each poll lists the spool.
pub struct Watch {
    #[cfg(target_os = "linux")]
    notified: Option<notified::Watch>,
    polled: Option<polled::Watch>,
    journal: PathBuf,
    spool: PathBuf,
}

impl Watch {
    /// Starts to watch the journal in `path`, which must exist.
    pub fn new(path: &Path) -> Result<Self> {
        let spool = layout::prepare(path, Purpose::Look)?;
        let mut watch = Self {
            #[cfg(target_os = "linux")]
            notified: notified::Watch::new(path, &spool).ok(),
            polled: None,
            journal: path.to_path_buf(),
            spool,
        };
        if watch.descriptor().is_none() {
            watch.list()?;
        }
        Ok(watch)
    }

    /// A file descriptor that becomes readable when [`Watch::poll`] has changes to return. `None` without one: the caller then polls
    /// about once a second. [`Watch::poll`] may close the descriptor, and then this is `None`.
    pub fn descriptor(&self) -> Option<i32> {
        #[cfg(target_os = "linux")]
        return self.notified.as_ref().map(notified::Watch::descriptor);
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// The changes since the last poll. Never waits.
    pub fn poll(&mut self) -> Result<Changes> {
        #[cfg(target_os = "linux")]
        if let Some(notified) = &mut self.notified {
            if let Some(changes) = notified.poll() {
                return Ok(changes);
            }
            // Changes may have been missed already.
            self.notified = None;
            self.list()?;
            return Ok(Changes { events: true, doorbell: true });
        }
        self.list()
    }

    fn list(&mut self) -> Result<Changes> {
        self.polled.get_or_insert_default().poll(&self.journal, &self.spool)
    }
}
