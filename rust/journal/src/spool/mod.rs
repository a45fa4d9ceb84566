//! The spool: the segments that a journal's processes write, in front of the store.
//!
//! Each process has one writer a journal. Appending takes no lock that another process or the ingester could hold, syncs nothing and
//! allocates nothing that lasts; a timer thread brings what was written to disk every [`SYNC_EVERY`].

mod fsync_thread;
pub(crate) mod lock;
pub(crate) mod reader;
pub(crate) mod segment;
mod writer;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use crate::frame::{Draft, Event, Head};
use crate::os::fork;
use crate::{RecordId, Result, layout};
use writer::Writer;

/// How long a power cut can reach back under [`Durability::Process`].
pub const SYNC_EVERY: Duration = Duration::from_millis(200);

/// A draft that grew beyond this for one large event is given back.
const KEEP_DRAFT: usize = 1 << 20;

thread_local! {
    static DRAFT: Cell<Draft> = const { Cell::new(Draft::new()) };
}

/// What an append has promised when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The event survives the death of this process; a power cut loses at most the last [`SYNC_EVERY`].
    #[default]
    Process,
    /// The event survives a power cut.
    Power,
}

/// A handle for appending to a journal. Cheap to make: all handles of a process and journal share one writer.
#[derive(Clone, Copy)]
pub struct Spool {
    shared: &'static Shared,
    durability: Durability,
}

/// One per process and journal, for the life of the process: a fork may happen at any instruction, and nothing a child
/// needs may then sit behind a lock that another thread of its parent held.
pub(crate) struct Shared {
    path: PathBuf,
    writer: AtomicPtr<Writer>,
    failures: AtomicU64,
    next: AtomicPtr<Shared>,
}

static ALL: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

impl Spool {
    /// A handle for the journal in `path`. Nothing is created before the first append.
    pub fn open(path: &Path, durability: Durability) -> Result<Self> {
        let path = std::path::absolute(path).map_err(crate::Error::io("cannot resolve", path))?;
        let shared = Shared::all().find(|shared| shared.path == path).unwrap_or_else(|| Shared::add(path));
        Ok(Self { shared, durability })
    }

    /// Records one event.
    pub fn append(&self, event: &Event<'_>) -> Result<()> {
        let mut draft = DRAFT.take();
        event.draft(&mut draft);
        let written = self.write(&mut draft);
        if draft.capacity() <= KEEP_DRAFT {
            DRAFT.set(draft);
        }
        written
    }

    /// Records one event that stands in its draft already.
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
            fsync_thread::wake();
        }
        match self.durability {
            Durability::Process => Ok(()),
            Durability::Power => writer.sync_frame(segment),
        }
    }

    /// Forces everything this process appended to disk. When a sync has failed since the last flush, in the background or in this
    /// one, this says so: what it should have brought to disk is readable, and safe once it was ingested.
    pub fn flush(&self) -> Result<()> {
        self.shared.current().map_or(Ok(()), Writer::flush)
    }

    /// Counts an event that could not be recorded, where readers of the journal find it.
    pub fn note_failure(&self, reason: &str) {
        match self.shared.writer() {
            Ok(writer) => writer.lock.note_failure(reason),
            // Without a writer there is no file to count in; the number stays in this process.
            Err(_) => _ = self.shared.failures.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Events of this process that could not be recorded.
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed) + self.shared.current().map_or(0, |writer| writer.lock.failures())
    }

    /// This process's writer, which is made when there is none yet.
    pub fn writer_id(&self) -> Result<RecordId> {
        Ok(self.shared.writer()?.id)
    }
}

impl Shared {
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        let mut at = ALL.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: every pointer in the list comes from Box::leak in `add` and is never freed.
            let shared = unsafe { at.as_ref() }?;
            at = shared.next.load(Ordering::Acquire);
            Some(shared)
        })
    }

    fn add(path: PathBuf) -> &'static Self {
        let shared = Box::leak(Box::new(Self {
            path,
            writer: AtomicPtr::default(),
            failures: AtomicU64::new(0),
            next: AtomicPtr::default(),
        }));
        let mut head = ALL.load(Ordering::Acquire);
        loop {
            shared.next.store(head, Ordering::Relaxed);
            match ALL.compare_exchange(head, shared, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return shared,
                Err(newer) => head = newer,
            }
        }
    }

    /// The writer of this very process, if it has one that can still be used.
    pub(crate) fn current(&self) -> Option<&'static Writer> {
        // SAFETY: a published writer is never freed (see `make`).
        let writer = unsafe { self.writer.load(Ordering::Acquire).as_ref() }?;
        (writer.generation == fork::generation() && !writer.is_gone()).then_some(writer)
    }

    fn writer(&self) -> Result<&'static Writer> {
        self.current().map_or_else(|| self.make(), Ok)
    }

    #[cold]
    fn make(&self) -> Result<&'static Writer> {
        let old = self.writer.load(Ordering::Acquire);
        let spool = layout::prepare(&self.path)?;
        let made = Box::new(Writer::create(&spool)?);
        let made = Box::into_raw(made);
        // The old writer, inherited through a fork or of a removed journal, stays allocated: other threads may hold it,
        // and its files are either closed already or harmless.
        if self.writer.compare_exchange(old, made, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            fsync_thread::wake();
            // SAFETY: published just now, and published writers are never freed.
            return Ok(unsafe { &*made });
        }
        // SAFETY: this pointer came from into_raw above and was not published.
        let lost = unsafe { Box::from_raw(made) };
        lost.discard();
        drop(lost);
        self.writer()
    }
}
