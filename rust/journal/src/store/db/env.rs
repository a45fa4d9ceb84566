//! The LMDB environment: its transactions, each of which is synced. It grows when it is full, and is opened again after a compaction or a fork.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use heed::{Env, MdbError, RoTxn, RwTxn, WithoutTls};

use super::full_disk;
use super::memory::MapTrimmer;
use super::opening::{self, LIMITS, Limits, Opened};
use super::trees::Trees;
use crate::os::gate::{self, Access};
use crate::os::{fork, fs as os_fs};
use crate::{Error, Result, layout};

/// How often the journal's directory is listed in search of its store.
const MAX_LISTINGS: u32 = 1000;

pub(crate) struct Db {
    journal: PathBuf,
    limits: Limits,
    /// Whether this user cannot write to the journal. A forked child may have become another user.
    is_read_only: AtomicBool,
    /// Locked for writing only to resize the map or to replace an environment inherited through a fork. Neither may happen while a
    /// transaction of this process runs.
    opened: RwLock<Option<Opened>>,
    pub(crate) trimmer: MapTrimmer,
}

impl Db {
    pub(crate) fn open(journal: &Path) -> Result<Self> {
        Self::open_with(journal, LIMITS)
    }

    fn open_with(journal: &Path, limits: Limits) -> Result<Self> {
        let _guard = fork::enter()?;
        let (opened, trimmer) = (RwLock::new(None), MapTrimmer::new());
        let is_read_only = AtomicBool::new(false);
        let db = Self { journal: journal.to_path_buf(), limits, is_read_only, opened, trimmer };
        db.reopen().map_err(|error| full_disk::named(error, journal))?;
        Ok(db)
    }

    /// Runs `work` in a read transaction. It may run more than once.
    pub(crate) fn read<T>(&self, mut work: impl FnMut(&RoTxn, &Trees) -> Result<T>) -> Result<T> {
        self.with(|opened| {
            self.guarded(opened, || {
                let txn = opened.env.read_txn()?;
                let value = work(&txn, &opened.trees)?;
                self.trimmer.release_if_due(&txn, &opened.trees);
                Ok(Some(value))
            })
        })
    }

    /// Runs work that reads the store. A process that only reads is in no table of readers, so writers could reuse the pages that it
    /// reads. A commit waits for the work: see [`opening::open_read_only`].
    pub(super) fn guarded<T>(&self, opened: &Opened, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.is_read_only() { opened.stamp.shared(work) } else { work() }
    }

    /// Whether this user cannot write to the journal.
    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Acquire)
    }

    /// An error for a journal that this user cannot write to.
    pub(crate) fn require_writable(&self) -> Result<()> {
        if self.is_read_only() { Err(Error::ReadOnly(self.journal.clone())) } else { Ok(()) }
    }

    /// Runs `work` in a write transaction and commits it, durably. It may run more than once, each time from the same state.
    pub(crate) fn write<T>(&self, mut work: impl FnMut(&mut RwTxn, &Trees) -> Result<T>) -> Result<T> {
        self.require_writable()?;
        self.with(|opened| {
            let mut txn = opened.env.write_txn()?;
            // A compaction may have replaced the store while this transaction waited to start. Now it cannot.
            if !self.is_current(opened)? {
                return Ok(None);
            }
            let value = work(&mut txn, &opened.trees)?;
            self.trimmer.release_if_due(&txn, &opened.trees);
            opened.stamp.commit(|| {
                txn.commit()?;
                opened.reserve.renew(&opened.path(&self.journal), opened.env.real_disk_size()?);
                Ok(())
            })?;
            Ok(Some(value))
        })
    }

    /// Runs `work` with the store's number while no process can write to the store. Writes nothing itself.
    pub(crate) fn hold_writers<T>(&self, mut work: impl FnMut(&Env<WithoutTls>, u32) -> Result<T>) -> Result<T> {
        self.require_writable()?;
        self.with(|opened| {
            let txn = opened.env.write_txn()?;
            if !self.is_current(opened)? {
                return Ok(None);
            }
            let value = work(&opened.env, opened.number)?;
            txn.abort();
            Ok(Some(value))
        })
    }

    /// The journal's directory.
    pub(super) fn journal(&self) -> &Path {
        &self.journal
    }

    /// Whether this is the newest store of the journal. Compactions remove stores in order, each after its successor is in place. So
    /// two checks suffice, even when a compaction runs in between.
    pub(super) fn is_current(&self, opened: &Opened) -> Result<bool> {
        let is_newest =
            !layout::has_store(&self.journal, opened.number + 1)? && layout::has_store(&self.journal, opened.number)?;
        // A restored backup may be in the place of the journal.
        Ok(is_newest && !opened.stamp.is_displaced())
    }

    /// Runs `work` on the newest store. `work` returns `None` when the store was replaced, and runs again.
    pub(super) fn with<T>(&self, work: impl FnMut(&Opened) -> Result<Option<T>>) -> Result<T> {
        self.run(work).map_err(|error| full_disk::named(error, &self.journal))
    }

    fn run<T>(&self, mut work: impl FnMut(&Opened) -> Result<Option<T>>) -> Result<T> {
        let _guard = fork::enter()?;
        let (mut cleared, mut replaced) = (false, false);
        loop {
            let result = {
                let guard = self.opened.read().unwrap_or_else(PoisonError::into_inner);
                match guard.as_ref() {
                    Some(opened) if self.is_usable(opened)? => work(opened),
                    _ => {
                        drop(guard);
                        self.reopen()?;
                        continue;
                    }
                }
            };
            match result {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::MapFull))) => self.resize(true)?,
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::MapResized))) => self.resize(false)?,
                // An earlier commit could not write its meta page, and LMDB refuses every transaction since. Opened again, the
                // environment is at its last whole commit.
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::Panic))) if !replaced => {
                    replaced = true;
                    *self.opened.write().unwrap_or_else(PoisonError::into_inner) = None;
                }
                // Dead readers keep their slots until they are cleared; living readers free theirs.
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::ReadersFull))) if !cleared => {
                    cleared = true;
                    self.clear_stale_readers()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn is_usable(&self, opened: &Opened) -> Result<bool> {
        Ok(opened.generation == fork::generation() && self.is_current(opened)?)
    }

    /// Frees the slots of dead readers, and returns how many. Such a slot is lost to other readers, and keeps free pages from reuse.
    pub(crate) fn clear_stale_readers(&self) -> Result<usize> {
        self.with(|opened| Ok(Some(opened.env.clear_stale_readers()?)))
    }

    fn resize(&self, grow: bool) -> Result<()> {
        let mut guard = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = guard.as_ref() else { return Ok(()) };
        // Zero takes the size to which another process has grown the map.
        let size = if grow { opened.env.info().map_size * 2 } else { 0 };
        // SAFETY: the write side of the lock is held, and every transaction of this process runs under its read side. A forked child
        // opens its own environment.
        let resized = unsafe { opened.env.resize(size) };
        if resized.is_err() {
            // LMDB has unmapped the file, and would read from its old address.
            *guard = None;
        }
        Ok(resized?)
    }

    /// The number of the newest store; makes the journal's first store.
    fn newest(&self) -> Result<u32> {
        for _ in 0..MAX_LISTINGS {
            // Read before the listing: the store is made before the first ingest, which makes the lock.
            let had_one = gate::is_there(&layout::ingest_lock(&self.journal))?;
            if let Some(newest) = layout::list_lmdb(&self.journal)?.pop() {
                return Ok(newest);
            }
            if !had_one {
                layout::verify_format(&self.journal, Access::Read)?;
                self.require_writable()?;
                opening::create(&self.journal, &layout::lmdb(&self.journal, 0), self.limits)?;
                continue;
            }
            // A listing is not a snapshot: a compaction may add a store behind it and remove one ahead of it.
            std::thread::yield_now();
        }
        layout::verify_format(&self.journal, Access::Read)?;
        Err(Error::Broken { path: self.journal.clone(), reason: "it is missing; the spool is there" })
    }

    /// Opens the newest environment: the first time, in a forked child, and after a compaction.
    fn reopen(&self) -> Result<()> {
        let mut guard = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = guard.as_ref()
            && self.is_usable(opened)?
        {
            return Ok(());
        }
        // LMDB keeps reader slots and locks by process, so a child must not use an environment of its parent. Closing it here
        // only affects this process's copies.
        drop(guard.take());
        let mut refuses_writes = false;
        loop {
            self.is_read_only.store(refuses_writes || !os_fs::is_writable(&self.journal), Ordering::Release);
            let number = self.newest()?;
            let path = layout::lmdb(&self.journal, number);
            let opened = if self.is_read_only() {
                opening::open_read_only(&path, number, self.limits)
            } else {
                layout::sync_names(&self.journal).and_then(|()| opening::open(&path, number, self.limits))
            };
            match opened {
                Ok(opened) if self.is_current(&opened)? => {
                    *guard = Some(opened);
                    return Ok(());
                }
                // A compaction replaced it in between.
                Ok(_) => {}
                // After an error of its disk a file system may refuse every write, although it is not mounted read-only.
                Err(error) if error.is_read_only_fs() && !self.is_read_only() => refuses_writes = true,
                Err(_) if !layout::has_store(&self.journal, number)? => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let opened = self.opened.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        match fork::enter() {
            Ok(_guard) => drop(opened),
            // A lock that closing needs may stay held.
            Err(_) => std::mem::forget(opened),
        }
    }
}

#[cfg(test)]
mod tests;
