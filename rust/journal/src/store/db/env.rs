//! The LMDB environment: made whole or not at all, grown when it is full, never without sync.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use heed::{Env, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};

use super::memory::Mapped;
use super::pages::is_cut_short;
use super::upgrade;
use crate::os::fork;
use crate::store::db::tables::{MAX_TREES, Tables};
use crate::store::records::dictionary;
use crate::{Error, RecordId, Result, layout};

/// What an environment is opened with.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Address space, not disk: the file is as large as what it holds.
    map: usize,
    /// One slot a concurrent read transaction, over all processes.
    readers: u32,
}

const LIMITS: Limits =
    Limits { map: if cfg!(target_pointer_width = "64") { 64 << 30 } else { 512 << 20 }, readers: 1024 };

/// Below this a map is not tried.
const LEAST_MAP: usize = 16 << 20;

/// How often a journal that had a store is searched for it.
const LOOKS: u32 = 1000;

pub(crate) struct Db {
    journal: PathBuf,
    limits: Limits,
    /// Taken for writing only to resize the map or to replace an environment inherited through a fork, both of which need
    /// that no transaction of this process is running.
    opened: RwLock<Option<Opened>>,
    pub(crate) mapped: Mapped,
}

struct Opened {
    env: Env<WithoutTls>,
    tables: Tables,
    generation: u64,
    /// See [`layout::lmdb`].
    number: u32,
}

impl Db {
    pub(crate) fn open(journal: &Path) -> Result<Self> {
        Self::open_with(journal, LIMITS)
    }

    fn open_with(journal: &Path, limits: Limits) -> Result<Self> {
        let _guard = fork::enter()?;
        let (opened, mapped) = (RwLock::new(None), Mapped::new());
        let db = Self { journal: journal.to_path_buf(), limits, opened, mapped };
        db.reopen()?;
        Ok(db)
    }

    /// Runs `work` in a read transaction. It may run more than once.
    pub(crate) fn read<T>(&self, mut work: impl FnMut(&RoTxn, &Tables) -> Result<T>) -> Result<T> {
        self.with(|opened| {
            let txn = opened.env.read_txn()?;
            let value = work(&txn, &opened.tables)?;
            self.mapped.look(&txn, &opened.tables);
            Ok(Some(value))
        })
    }

    /// Runs `work` in a write transaction and commits it, durably. It may run more than once, each time from the same state.
    pub(crate) fn write<T>(&self, mut work: impl FnMut(&mut RwTxn, &Tables) -> Result<T>) -> Result<T> {
        self.with(|opened| {
            let mut txn = opened.env.write_txn()?;
            // While this one waited for its turn, a compaction may have replaced the store. From here on none can.
            if !self.is_current(opened) {
                return Ok(None);
            }
            let value = work(&mut txn, &opened.tables)?;
            self.mapped.look(&txn, &opened.tables);
            txn.commit()?;
            Ok(Some(value))
        })
    }

    /// Runs `work` while no process can write to the store, and writes nothing itself. `work` is given the store's number.
    pub(crate) fn hold_writers<T>(&self, mut work: impl FnMut(&Env<WithoutTls>, u32) -> Result<T>) -> Result<T> {
        self.with(|opened| {
            let txn = opened.env.write_txn()?;
            if !self.is_current(opened) {
                return Ok(None);
            }
            let value = work(&opened.env, opened.number)?;
            txn.abort();
            Ok(Some(value))
        })
    }

    /// Bytes of the data file, and bytes of it in use.
    pub(crate) fn sizes(&self) -> Result<(u64, u64)> {
        self.with(|opened| Ok(Some((opened.env.real_disk_size()?, opened.env.non_free_pages_size()?))))
    }

    /// Whether this is the newest store of the journal. Compactions remove a store only when its successor is in place, and
    /// in order: so one look at either side tells, whatever happens in between.
    fn is_current(&self, opened: &Opened) -> bool {
        !layout::lmdb(&self.journal, opened.number + 1).exists() && layout::lmdb(&self.journal, opened.number).exists()
    }

    /// Runs `work`, which answers `None` when it found the store replaced, on the newest store.
    fn with<T>(&self, mut work: impl FnMut(&Opened) -> Result<Option<T>>) -> Result<T> {
        let _guard = fork::enter()?;
        let (mut cleared, mut replaced) = (false, false);
        loop {
            let result = {
                let guard = self.opened.read().unwrap_or_else(PoisonError::into_inner);
                let Some(opened) = guard.as_ref().filter(|opened| self.is_usable(opened)) else {
                    drop(guard);
                    self.reopen()?;
                    continue;
                };
                work(opened)
            };
            match result {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::MapFull))) => self.resize(true)?,
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::MapResized))) => self.resize(false)?,
                // A commit of before could not write its meta page, and LMDB refuses everything in the environment since then.
                // Opened anew it goes on from the last whole commit.
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::Panic))) if !replaced => {
                    replaced = true;
                    *self.opened.write().unwrap_or_else(PoisonError::into_inner) = None;
                }
                // Readers that died kept their slots; those of the living come free by themselves.
                Err(Error::Lmdb(heed::Error::Mdb(MdbError::ReadersFull))) if !cleared => {
                    cleared = true;
                    self.clear_stale_readers()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn is_usable(&self, opened: &Opened) -> bool {
        opened.generation == fork::generation() && self.is_current(opened)
    }

    /// Frees the slots of readers that died, which keep slots from others and pages from being used again. Says how many.
    pub(crate) fn clear_stale_readers(&self) -> Result<usize> {
        self.with(|opened| Ok(Some(opened.env.clear_stale_readers()?)))
    }

    fn resize(&self, grow: bool) -> Result<()> {
        let mut guard = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = guard.as_ref() else { return Ok(()) };
        // Zero adopts the size that another process gave the file.
        let size = if grow { opened.env.info().map_size * 2 } else { 0 };
        // SAFETY: the write side of the lock is held, and every transaction of this process runs under its read side.
        let resized = unsafe { opened.env.resize(size) };
        if resized.is_err() {
            // LMDB has let go of the map it had, and would read from where it was.
            *guard = None;
        }
        Ok(resized?)
    }

    /// The number of the store that counts; makes the journal's first store.
    fn newest(&self) -> Result<u32> {
        for _ in 0..LOOKS {
            // Asked before the listing: a store was made before anything was ever ingested.
            let had_one = layout::ingest_lock(&self.journal).is_file();
            if let Some(newest) = layout::list_lmdb(&self.journal)?.pop() {
                return Ok(newest);
            }
            if !had_one {
                layout::verify(&self.journal)?;
                create(&self.journal, &layout::lmdb(&self.journal, 0), self.limits)?;
                continue;
            }
            // A listing is no snapshot: a compaction may have put a store where it had looked and removed one where it had not.
            std::thread::yield_now();
        }
        layout::verify(&self.journal)?;
        Err(Error::Broken { path: self.journal.clone(), reason: "it is gone; the spool is there" })
    }

    /// Opens the newest environment: at first, in a forked child, and after a compaction.
    fn reopen(&self) -> Result<()> {
        let mut guard = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if guard.as_ref().is_some_and(|opened| self.is_usable(opened)) {
            return Ok(());
        }
        // An environment inherited from the parent must not be used: LMDB keeps reader slots and locks by process.
        // Closing it here touches only this process's copies.
        drop(guard.take());
        loop {
            let number = self.newest()?;
            layout::sync_names(&self.journal)?;
            match open_opened(&layout::lmdb(&self.journal, number), number, self.limits) {
                Ok(opened) if self.is_current(&opened) => {
                    *guard = Some(opened);
                    return Ok(());
                }
                // Compacted meanwhile.
                Ok(_) => {}
                Err(_) if !layout::lmdb(&self.journal, number).exists() => {}
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
            // What closing it needs may be held for ever.
            Err(_) => std::mem::forget(opened),
        }
    }
}

fn open_opened(path: &Path, number: u32, limits: Limits) -> Result<Opened> {
    let broken = |reason| Error::Broken { path: path.to_path_buf(), reason };
    let data = path.join("data.mdb");
    // LMDB would take it for one that is still to be made.
    if fs::metadata(&data).is_ok_and(|meta| meta.len() == 0) {
        return Err(broken("its file is empty"));
    }
    let env = open_env_with(path, limits)?;
    // LMDB maps the whole file without a look at its length, and a process that reads behind the end is killed. Pages that were never
    // written may be missing there.
    let length = (env.info().last_page_number as u64 + 1) * u64::from(env.stat().page_size);
    if env.real_disk_size()? < length && is_cut_short(&data)? {
        return Err(broken("its file has lost its end"));
    }
    env.clear_stale_readers()?;
    let tables = upgrade::open(&env)?;
    Ok(Opened { env, tables, generation: fork::generation(), number })
}

pub(crate) fn open_env(path: &Path) -> Result<Env<WithoutTls>> {
    open_env_with(path, LIMITS)
}

fn open_env_with(path: &Path, limits: Limits) -> Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_dbs(MAX_TREES).max_readers(limits.readers);
    let mut map = limits.map;
    loop {
        options.map_size(map);
        // SAFETY: no flags that weaken LMDB are set; the file was made by plsync (its directory carries the format marker), is
        // readable and writable by its owner alone, and `Store` opens a path once a process.
        match unsafe { options.open(path) } {
            // A process may be allowed less (`ulimit -v`). The map grows when it has to.
            Err(heed::Error::Io(error)) if error.kind() == ErrorKind::OutOfMemory && map > LEAST_MAP => map /= 2,
            opened => return Ok(opened?),
        }
    }
}

/// Makes the environment under another name first: a crash leaves no half-made store behind.
fn create(journal: &Path, path: &Path, limits: Limits) -> Result<()> {
    let unnamed = journal.join(format!("lmdb.new-{}", RecordId::new().hex()));
    crate::os::fs::make_dir(&unnamed)?;
    let made = fill(&unnamed, limits).and_then(|()| {
        crate::os::fs::sync_dir(&unnamed)?;
        match fs::rename(&unnamed, path) {
            // Another process was faster; its store is as good.
            Err(_) if path.join("data.mdb").exists() => Ok(()),
            renamed => renamed.map_err(Error::io("cannot create", path)),
        }
    });
    // Gone already where the rename succeeded.
    let _ = fs::remove_dir_all(&unnamed);
    made
}

fn fill(path: &Path, limits: Limits) -> Result<()> {
    let env = open_env_with(path, limits)?;
    let mut txn = env.write_txn()?;
    let tables = Tables::create(&env, &mut txn)?;
    tables.meta.put(&mut txn, b"format", &layout::FORMAT.to_le_bytes())?;
    dictionary::keep_current(&mut txn, &tables)?;
    txn.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
