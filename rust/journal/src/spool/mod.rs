//! The spool: the segments that a journal's processes write, in front of the store.
//!
//! Each process has one writer per journal. An append takes no lock that another process or the ingester could hold, and it neither
//! syncs nor keeps memory. A timer thread syncs the appended frames every [`SYNC_EVERY`].

pub(crate) mod early_failures;
pub(crate) mod eraser;
mod fsync_thread;
pub(crate) mod reader;
mod registry;
pub(crate) mod segment;
pub(crate) mod skipped;
pub(crate) mod survey;
mod writer;
pub(crate) mod writer_file;

use std::cell::Cell;
use std::path::Path;

use crate::frame::{Draft, Event, Head};
use crate::{Error, RecordId, Result};
pub use fsync_thread::SYNC_EVERY;
use registry::{SharedSpool, start_fsync_thread};
use writer::Writer;

/// A draft that grew beyond this for one large event is freed.
const KEEP_DRAFT: usize = 1 << 20;

thread_local! {
    static DRAFT: Cell<Draft> = const { Cell::new(Draft::new()) };
}

/// The promise of an append that returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The event survives the death of this process. A power cut loses at most the last [`SYNC_EVERY`].
    #[default]
    Process,
    /// The event survives a power cut.
    Power,
}

/// A handle for appending to a journal. It is cheap to make: all handles of a process and journal share one writer.
#[derive(Clone, Copy)]
pub struct Spool {
    shared: &'static SharedSpool,
    durability: Durability,
}

impl Spool {
    /// A handle for the journal in `path`. The first append creates the journal.
    pub fn open(path: &Path, durability: Durability) -> Result<Self> {
        let path = std::path::absolute(path).map_err(Error::io("cannot resolve", path))?;
        Ok(Self { shared: SharedSpool::of(&path), durability })
    }

    /// A handle without a journal, for a program whose journal has no path. Each append fails, and failures are counted.
    pub fn nowhere(durability: Durability) -> Self {
        Self { shared: SharedSpool::of(Path::new("")), durability }
    }

    /// Whether this handle writes to the journal of another, with at least its promise.
    pub fn keeps_all_of(&self, other: &Self) -> bool {
        let promises = self.durability == Durability::Power || other.durability == Durability::Process;
        promises && std::ptr::eq(self.shared, other.shared)
    }

    /// Appends one event.
    pub fn append(&self, event: &Event<'_>) -> Result<()> {
        let mut draft = DRAFT.take();
        event.draft(&mut draft);
        let written = self.write(&mut draft);
        if draft.capacity() <= KEEP_DRAFT {
            DRAFT.set(draft);
        }
        written
    }

    /// Appends one event whose labels and body are in `draft` already.
    pub fn append_draft(&self, head: &Head, draft: &mut Draft) -> Result<()> {
        draft.finish(head);
        self.write(draft)
    }

    fn write(&self, draft: &mut Draft) -> Result<()> {
        let mut writer = self.shared.writer()?;
        let segment = match writer.append(draft) {
            Err(_) if writer.notice_removal() => {
                writer = self.shared.writer()?;
                writer.append(draft)?
            }
            written => written?,
        };
        if !fsync_thread::is_running() {
            start_fsync_thread();
        }
        match self.durability {
            Durability::Process => Ok(()),
            Durability::Power => writer.sync_frame(segment),
        }
    }

    /// Syncs everything this process appended. Fails when a sync has failed since the last flush, in the background or in this call.
    /// The events of a failed sync can be read, and survive a power cut once they are ingested.
    pub fn flush(&self) -> Result<()> {
        self.shared.current().map_or(Ok(()), Writer::flush)
    }

    /// Counts an event that could not be recorded, in a file that readers of the journal find.
    pub fn note_failure(&self, reason: &str) {
        match self.shared.writer() {
            Ok(writer) => writer.file.note_failure(reason),
            Err(_) => self.shared.note_early_failure(reason),
        }
    }

    /// How many events of this process could not be recorded.
    pub fn failures(&self) -> u64 {
        self.shared.early_failures() + self.shared.current().map_or(0, |writer| writer.file.failures())
    }

    /// The id of this process's writer, which is made when there is none yet.
    pub fn writer_id(&self) -> Result<RecordId> {
        Ok(self.shared.writer()?.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::FrameKind;

    /// Set in a process that runs one test alone, because the other tests start the thread as well.
    const ALONE: &str = "PLSYNC_TEST_ALONE";

    #[test]
    fn a_thread_that_could_not_be_started_is_started_with_a_later_event() {
        if std::env::var_os(ALONE).is_none() {
            let name = "spool::tests::a_thread_that_could_not_be_started_is_started_with_a_later_event";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
            assert!(
                output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
                "{output:?}"
            );
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("journal"), Durability::Process).unwrap();
        let id = RecordId::new();
        let event = Event { head: Head::new(FrameKind::Raw, id), labels: &[], body: b"event" };
        spool.append(&event).unwrap();
        fsync_thread::forget();
        spool.append(&event).unwrap();
        assert!(fsync_thread::is_running());
    }
}
