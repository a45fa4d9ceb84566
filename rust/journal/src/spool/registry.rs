//! The journals that this process records to, and its writer for each.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::fsync_thread;
use super::writer::Writer;
use crate::os::fork;
use crate::os::gate::Purpose;
use crate::{Error, Result, layout};

/// One per process and journal, for the life of the process. A fork may happen at any instruction. A child must not need a lock that
/// another thread of its parent may hold, so the list and the writer are atomic pointers.
pub(super) struct SharedSpool {
    path: PathBuf,
    writer: AtomicPtr<Writer>,
    /// Events that failed before there was a writer.
    pub(super) failures: AtomicU64,
    next: AtomicPtr<SharedSpool>,
}

static ALL: AtomicPtr<SharedSpool> = AtomicPtr::new(std::ptr::null_mut());

impl SharedSpool {
    /// The entry of the journal in `path`, added when it is new.
    pub(super) fn of(path: &Path) -> &'static Self {
        Self::all().find(|shared| shared.path == path).unwrap_or_else(|| Self::add(path.to_path_buf()))
    }

    fn all() -> impl Iterator<Item = &'static Self> {
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

    /// The writer that this process made, if it can still be used.
    pub(super) fn current(&self) -> Option<&'static Writer> {
        // SAFETY: a published writer is never freed (see `make`).
        let writer = unsafe { self.writer.load(Ordering::Acquire).as_ref() }?;
        (writer.generation == fork::generation() && !writer.is_gone()).then_some(writer)
    }

    /// The writer of this process, new when there is none.
    pub(super) fn writer(&self) -> Result<&'static Writer> {
        self.current().map_or_else(|| self.make(), Ok)
    }

    #[cold]
    fn make(&self) -> Result<&'static Writer> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::NoPath);
        }
        let old = self.writer.load(Ordering::Acquire);
        let spool = layout::prepare(&self.path, Purpose::Use)?;
        let new = Box::into_raw(Box::new(Writer::create(&spool)?));
        // The old writer was inherited through a fork, or belongs to a removed journal. It stays allocated: other threads may hold
        // it, and its files are either closed already or harmless.
        if self.writer.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            start_fsync_thread();
            // SAFETY: published just now, and published writers are never freed.
            return Ok(unsafe { &*new });
        }
        // SAFETY: this pointer came from into_raw above and was not published.
        let lost = unsafe { Box::from_raw(new) };
        lost.discard();
        drop(lost);
        self.writer()
    }
}

/// Makes sure that a thread of this process syncs every writer.
pub(super) fn start_fsync_thread() {
    fsync_thread::start(sync_writers, leave);
}

fn sync_writers() {
    for writer in SharedSpool::all().filter_map(SharedSpool::current) {
        writer.tick();
    }
}

/// At a normal exit the unused part of each segment is freed, so that many short processes leave little behind.
extern "C" fn leave() {
    for writer in SharedSpool::all().filter_map(SharedSpool::current) {
        #[cfg(unix)]
        writer.trim();
        writer.file.save();
    }
}
