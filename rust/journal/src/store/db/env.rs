//! The LMDB environment. It is made whole or not at all, grows when it is full, and every commit is synced.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use heed::{Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};

use super::copy::{copy_data, finish_copy};
use super::files::{self, DATA};
use super::full_disk;
use super::memory::MapTrimmer;
use super::reserve::Reserve;
use super::stamp::Stamp;
use super::trees::{self, MAX_TREES, Trees};
use super::upgrade;
use crate::os::gate::{self, Access};
use crate::os::{disk, fork, fs as os_fs, process_memory};
use crate::store::records::dictionary;
use crate::{Error, FORMAT, RecordId, Result, layout};

/// The limits that an environment is opened with.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of address space, not of disk: the file is only as large as its content.
    map: usize,
    /// Concurrent read transactions, over all processes.
    readers: u32,
}

const LIMITS: Limits =
    Limits { map: if cfg!(target_pointer_width = "64") { 64 << 30 } else { 512 << 20 }, readers: 1024 };

/// The smallest map to try, in bytes.
const MIN_MAP: usize = 16 << 20;

/// The time between two looks at a copy that begins.
const POLL: Duration = Duration::from_millis(1);

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

pub(super) struct Opened {
    pub(super) env: Env<WithoutTls>,
    trees: Trees,
    pub(super) stamp: Stamp,
    pub(super) reserve: Reserve,
    generation: u64,
    /// See [`layout::lmdb`].
    number: u32,
}

impl Opened {
    /// The directory of the store.
    pub(super) fn path(&self, journal: &Path) -> PathBuf {
        layout::lmdb(journal, self.number)
    }
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
    /// reads. A commit waits for the work: see [`open_read_only`].
    fn guarded<T>(&self, opened: &Opened, work: impl FnOnce() -> Result<T>) -> Result<T> {
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

    /// Copies the newest commit into a new data file in `store`, without free pages, and returns the result of `read` for the same commit.
    /// Writers wait only until the copy has begun.
    pub(crate) fn copy_snapshot<T>(
        &self,
        store: &Path,
        mut read: impl FnMut(&RoTxn, &Trees) -> Result<T>,
    ) -> Result<T> {
        if self.is_read_only() {
            return self.with(|opened| {
                let file = files::create_data(store)?;
                let found = opened.stamp.shared(|| {
                    copy_data(&opened.env, &file)?;
                    let txn = opened.env.read_txn()?;
                    read(&txn, &opened.trees)
                })?;
                finish_copy(&file, store)?;
                Ok(Some(found))
            });
        }
        self.with(|opened| {
            let writers = opened.env.write_txn()?;
            if !self.is_current(opened)? {
                return Ok(None);
            }
            let txn = opened.env.read_txn()?;
            let file = files::create_data(store)?;
            let mut writers = Some(writers);
            let found = std::thread::scope(|scope| {
                let copying = scope.spawn(|| copy_data(&opened.env, &file));
                // LMDB takes its snapshot before it writes the first byte. No commit came in between, so both snapshots are of one
                // commit.
                while !copying.is_finished() && file.metadata().is_ok_and(|found| found.len() == 0) {
                    std::thread::sleep(POLL);
                }
                drop(writers.take());
                let found = self.trimmer.release_during(&txn, &opened.trees, || read(&txn, &opened.trees));
                copying.join().map_err(|_| Error::Internal("the thread that copies the store panicked"))??;
                found
            })?;
            finish_copy(&file, store)?;
            Ok(Some(found))
        })
    }

    /// Verifies every page of the store. The snapshot of a read transaction keeps its pages in place meanwhile.
    pub(crate) fn verify_pages(&self) -> Result<()> {
        self.with(|opened| {
            self.guarded(opened, || {
                let _snapshot = opened.env.read_txn()?;
                opened.stamp.verify().map(Some)
            })
        })
    }

    /// Bytes of disk space of the data file, and bytes of its pages in use.
    pub(crate) fn sizes(&self) -> Result<(u64, u64)> {
        self.with(|opened| {
            let data = opened.path(&self.journal).join(DATA);
            let meta = fs::metadata(&data).map_err(Error::io("cannot read", &data))?;
            let occupied = disk::occupied(&meta, opened.reserve.left(meta.len()));
            self.guarded(opened, || Ok(Some((occupied, opened.env.non_free_pages_size()?))))
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
                create(&self.journal, &layout::lmdb(&self.journal, 0), self.limits)?;
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
        loop {
            self.is_read_only.store(!os_fs::is_writable(&self.journal), Ordering::Release);
            let number = self.newest()?;
            let path = layout::lmdb(&self.journal, number);
            let opened = if self.is_read_only() {
                open_read_only(&path, number, self.limits)
            } else {
                layout::sync_names(&self.journal)?;
                open_opened(&path, number, self.limits)
            };
            match opened {
                Ok(opened) if self.is_current(&opened)? => {
                    *guard = Some(opened);
                    return Ok(());
                }
                // A compaction replaced it in between.
                Ok(_) => {}
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

fn open_opened(path: &Path, number: u32, limits: Limits) -> Result<Opened> {
    let broken = |reason| Error::Broken { path: path.to_path_buf(), reason };
    let data = path.join(DATA);
    // LMDB would initialise an empty file as a new store.
    if fs::symlink_metadata(&data).is_ok_and(|meta| meta.len() == 0) {
        return Err(broken("its file is empty"));
    }
    let stamp = Stamp::admit(path)?;
    let env = open_env_with(path, limits)?;
    env.clear_stale_readers()?;
    let trees = upgrade::open(&env, &stamp)?;
    let reserve = Reserve::found(path);
    Ok(Opened { env, trees, stamp, reserve, generation: fork::generation(), number })
}

/// Opens a store in a journal that this user cannot write to: a snapshot, or the journal of another user.
///
/// LMDB's lock file has the table of readers, into which each reader writes. Without it (`NO_LOCK`) a writer does not know of this
/// reader, and may reuse pages of an old commit. So each read holds the stamp's lock, and no commit happens meanwhile. A
/// transaction never changes the pages of the commit before it. On a read-only file system without a stamp no process
/// writes.
fn open_read_only(path: &Path, number: u32, limits: Limits) -> Result<Opened> {
    let stamp = Stamp::admit_read_only(path)?;
    let env = stamp.shared(|| {
        files::check_for_reading(path)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(MAX_TREES).max_readers(limits.readers).map_size(limits.map);
        // SAFETY: `Store` opens a path once a process. The stamp has admitted the file: this user's plsync wrote it last, or every page
        // was verified. All reads run while no process commits. See also `open_env_with`.
        let opened = unsafe { options.flags(EnvFlags::READ_ONLY | EnvFlags::NO_LOCK).open(path) };
        Ok(opened?)
    })?;
    let trees = stamp.shared(|| {
        let txn = env.read_txn()?;
        if trees::lacks_later_trees(&env, &txn)? {
            return Err(Error::Outdated(path.to_path_buf()));
        }
        let trees = Trees::open(&env, &txn)?;
        // LMDB keeps handles of a read transaction only if it is committed.
        txn.commit()?;
        Ok(trees)
    })?;
    Ok(Opened { env, trees, stamp, reserve: Reserve::none(), generation: fork::generation(), number })
}

/// Opens the copy of an environment, in a directory that no other process knows yet. The copy is verified before it replaces the store,
/// so the next process need not do that.
pub(crate) fn open_copied_env(path: &Path) -> Result<Env<WithoutTls>> {
    files::make_lock(path, LIMITS.readers)?;
    drop(Stamp::admit(path)?);
    open_env_with(path, LIMITS)
}

fn open_new_env_with(path: &Path, limits: Limits) -> Result<Env<WithoutTls>> {
    files::make_lock(path, limits.readers)?;
    open_env_with(path, limits)
}

fn open_env_with(path: &Path, limits: Limits) -> Result<Env<WithoutTls>> {
    files::check(path)?;
    files::fill_lock(path, limits.readers)?;
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_dbs(MAX_TREES).max_readers(limits.readers);
    let mut map = fitting_map(limits.map);
    loop {
        options.map_size(map);
        // SAFETY: no flags that weaken LMDB are set, and `Store` opens a path once a process. `files::check` has just found that both
        // files are regular files with one name, in directories that other users cannot change. This user or root owns them, or the
        // user trusts their owner, and no other user can write to them. Members of the group of a shared journal trust each other. The caller has made the data file in a new directory, or
        // admitted it with a `Stamp`. With a stamp, this user's plsync wrote the file last, or every page was verified. So only a program
        // of this user or root that writes to the file without LMDB's lock can break this afterwards.
        match unsafe { options.open(path) } {
            // The process may have a lower limit (`ulimit -v`). The map grows when it is full.
            Err(heed::Error::Io(error)) if error.kind() == ErrorKind::OutOfMemory && map > MIN_MAP => map /= 2,
            opened => return Ok(opened?),
        }
    }
}

/// The size of a map of at most `most` bytes. A map that took all address space of a process would leave none for its other work, and
/// an allocation that fails ends the process.
fn fitting_map(most: usize) -> usize {
    let Some(left) = process_memory::address_space_left().and_then(|left| usize::try_from(left).ok()) else {
        return most;
    };
    let mut map = most;
    while map > left / 2 && map > MIN_MAP {
        map /= 2;
    }
    map
}

/// Makes an environment under a temporary name first, so a crash leaves no incomplete store behind.
fn create(journal: &Path, path: &Path, limits: Limits) -> Result<()> {
    let unnamed = journal.join(format!("lmdb.new-{}", RecordId::new().hex()));
    os_fs::make_inner_dir(&unnamed)?;
    let made = fill(&unnamed, limits).and_then(|()| {
        os_fs::sync_dir(&unnamed)?;
        match fs::rename(&unnamed, path) {
            // Another process was faster, and its store is as good.
            Err(_) if gate::is_there(&path.join(DATA))? => Ok(()),
            renamed => renamed.map_err(Error::io("cannot create", path)),
        }
    });
    // The removal frees disk space, so the cause is named first.
    let made = made.map_err(|error| full_disk::named(error, journal));
    // After a successful rename it does not exist any more.
    files::remove(&unnamed);
    made
}

fn fill(path: &Path, limits: Limits) -> Result<()> {
    let env = open_new_env_with(path, limits)?;
    let mut txn = env.write_txn()?;
    let trees = Trees::create(&env, &mut txn)?;
    trees.meta.put(&mut txn, b"format", &FORMAT.to_le_bytes())?;
    dictionary::keep_current(&mut txn, &trees)?;
    txn.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
