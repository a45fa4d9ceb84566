//! The journals that this process records to, and its writer for each.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::writer::Writer;
use super::{early_failures, fsync_thread};
use crate::os::fork;
use crate::os::gate::Purpose;
use crate::{Error, Result, layout};

/// One per process and journal, for the life of the process. A fork may happen at any instruction. A child must not need a lock that
/// another thread of its parent may hold, so the list and the writer are atomic pointers.
pub(super) struct SharedSpool {
    path: PathBuf,
    writer: AtomicPtr<Writer>,
    /// The failures before there was a writer; null without any.
    early: AtomicPtr<EarlyFailures>,
    next: AtomicPtr<SharedSpool>,
}

/// Failures of a process that had no writer yet.
struct EarlyFailures {
    /// A forked child must not count the failures of its parent again.
    generation: u64,
    /// Failures that are in no file. The next failure or the writer file takes them over.
    number: AtomicU64,
    /// Failures that the journal's file has.
    counted: AtomicU64,
    last_reason: Mutex<Vec<u8>>,
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
            early: AtomicPtr::default(),
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

    /// Counts a failure of this process, which has no writer.
    pub(super) fn note_early_failure(&self, reason: &str) {
        let early = self.early().unwrap_or_else(|| self.add_early());
        // Without the lock the reason of an older failure stays.
        if let Ok(mut last) = early.last_reason.try_lock() {
            last.clear();
            last.extend_from_slice(reason.as_bytes());
        }
        early.number.fetch_add(1, Ordering::Relaxed);
        match self.current() {
            // Another thread has made it meanwhile.
            Some(writer) => self.hand_over(writer),
            None => self.count(early),
        }
    }

    /// Counts failures in the journal's file, so that other processes find them after the end of this process.
    fn count(&self, early: &EarlyFailures) {
        let number = early.number.swap(0, Ordering::Relaxed);
        if number == 0 || self.path.as_os_str().is_empty() {
            early.number.fetch_add(number, Ordering::Relaxed);
            return;
        }
        let reason = early.last_reason.try_lock().map(|last| String::from_utf8_lossy(&last).into_owned());
        let counted = early_failures::add(&self.path, number, &reason.unwrap_or_default());
        let place = if counted.is_ok() { &early.counted } else { &early.number };
        place.fetch_add(number, Ordering::Relaxed);
    }

    /// The failures that no writer file has counted.
    pub(super) fn early_failures(&self) -> u64 {
        self.early().map_or(0, |early| early.number.load(Ordering::Relaxed) + early.counted.load(Ordering::Relaxed))
    }

    fn hand_over(&self, writer: &Writer) {
        let Some(early) = self.early() else { return };
        let number = early.number.swap(0, Ordering::Relaxed);
        if number > 0 {
            let reason = early.last_reason.try_lock().map(|last| String::from_utf8_lossy(&last).into_owned());
            writer.file.note_failures(number, &reason.unwrap_or_default());
        }
    }

    fn early(&self) -> Option<&'static EarlyFailures> {
        // SAFETY: a published object is never freed (see `add_early`).
        let early = unsafe { self.early.load(Ordering::Acquire).as_ref() }?;
        (early.generation == fork::generation()).then_some(early)
    }

    fn add_early(&self) -> &'static EarlyFailures {
        let old = self.early.load(Ordering::Acquire);
        let new = EarlyFailures {
            generation: fork::generation(),
            number: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            last_reason: Mutex::default(),
        };
        let new = Box::into_raw(Box::new(new));
        if self.early.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: this pointer came from into_raw above and was not published.
            drop(unsafe { Box::from_raw(new) });
        }
        // SAFETY: some thread of this process has published an object, and published objects are never freed.
        unsafe { &*self.early.load(Ordering::Acquire) }
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
            let writer = unsafe { &*new };
            self.hand_over(writer);
            return Ok(writer);
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
