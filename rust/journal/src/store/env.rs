//! The LMDB environment: made whole or not at all, grown when it is full, never without sync.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use heed::{Env, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};

use super::dictionary;
use super::tables::{MAX_TREES, Tables};
use crate::{Error, RecordId, Result, layout, process};

/// Address space, not disk: the file is as large as what it holds.
const MAP: usize = if cfg!(target_pointer_width = "64") { 64 << 30 } else { 512 << 20 };
/// One slot a concurrent read transaction, over all processes.
const READERS: u32 = 1024;

pub(crate) struct Db {
    journal: PathBuf,
    /// Taken for writing only to resize the map or to replace an environment inherited through a fork, both of which need
    /// that no transaction of this process is running.
    opened: RwLock<Option<Opened>>,
}

struct Opened {
    env: Env<WithoutTls>,
    tables: Tables,
    generation: u64,
}

impl Db {
    pub(crate) fn open(journal: &Path) -> Result<Self> {
        let db = Self { journal: journal.to_path_buf(), opened: RwLock::new(None) };
        db.reopen()?;
        Ok(db)
    }

    /// Runs `work` in a read transaction. It may run more than once.
    pub(crate) fn read<T>(&self, mut work: impl FnMut(&RoTxn, &Tables) -> Result<T>) -> Result<T> {
        self.with(|opened| {
            let txn = opened.env.read_txn()?;
            work(&txn, &opened.tables)
        })
    }

    /// Runs `work` in a write transaction and commits it, durably. It may run more than once, each time from the same state.
    pub(crate) fn write<T>(&self, mut work: impl FnMut(&mut RwTxn, &Tables) -> Result<T>) -> Result<T> {
        self.with(|opened| {
            let mut txn = opened.env.write_txn()?;
            let value = work(&mut txn, &opened.tables)?;
            txn.commit()?;
            Ok(value)
        })
    }

    /// Bytes of the data file, and bytes of it in use.
    pub(crate) fn sizes(&self) -> Result<(u64, u64)> {
        self.with(|opened| Ok((opened.env.real_disk_size()?, opened.env.non_free_pages_size()?)))
    }

    fn with<T>(&self, mut work: impl FnMut(&Opened) -> Result<T>) -> Result<T> {
        let (mut cleared, mut replaced) = (false, false);
        loop {
            let result = {
                let guard = self.opened.read().unwrap_or_else(PoisonError::into_inner);
                let Some(opened) = guard.as_ref().filter(|opened| opened.generation == process::generation()) else {
                    drop(guard);
                    self.reopen()?;
                    continue;
                };
                work(opened)
            };
            match result {
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
                    self.with_env(|env| env.clear_stale_readers().map(drop))?;
                }
                other => return other,
            }
        }
    }

    fn with_env<T>(&self, work: impl FnOnce(&Env<WithoutTls>) -> heed::Result<T>) -> Result<T> {
        let guard = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let opened = guard.as_ref().ok_or_else(|| Error::Corrupt("the store is closed".into()))?;
        Ok(work(&opened.env)?)
    }

    fn resize(&self, grow: bool) -> Result<()> {
        let guard = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = guard.as_ref() else { return Ok(()) };
        // Zero adopts the size that another process gave the file.
        let size = if grow { opened.env.info().map_size * 2 } else { 0 };
        // SAFETY: the write side of the lock is held, and every transaction of this process runs under its read side.
        unsafe { opened.env.resize(size) }?;
        Ok(())
    }

    /// Opens the environment, or opens it anew in a forked child.
    fn reopen(&self) -> Result<()> {
        let mut guard = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if guard.as_ref().is_some_and(|opened| opened.generation == process::generation()) {
            return Ok(());
        }
        // An environment inherited from the parent must not be used: LMDB keeps reader slots and locks by process.
        // Closing it here touches only this process's copies.
        drop(guard.take());
        let path = layout::lmdb(&self.journal);
        if !path.join("data.mdb").exists() {
            create(&self.journal, &path)?;
        }
        layout::sync_names(&self.journal)?;
        let env = open_env(&path)?;
        env.clear_stale_readers()?;
        let txn = env.read_txn()?;
        let tables = Tables::open(&env, &txn)?;
        let lacks_dictionary = !dictionary::has_current(&txn, &tables)?;
        // Handles opened in a read transaction are only kept when it is committed.
        txn.commit()?;
        if lacks_dictionary {
            // An earlier version made this store. Whoever opens it may come to store bodies that name the dictionary.
            let mut txn = env.write_txn()?;
            dictionary::keep_current(&mut txn, &tables)?;
            txn.commit()?;
        }
        *guard = Some(Opened { env, tables, generation: process::generation() });
        Ok(())
    }
}

fn open_env(path: &Path) -> Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP).max_dbs(MAX_TREES).max_readers(READERS);
    // SAFETY: no flags that weaken LMDB are set; the file was made by plsync (its directory carries the format marker), is
    // readable and writable by its owner alone, and `Store` opens a path once a process.
    Ok(unsafe { options.open(path) }?)
}

/// Makes the environment under another name first: a crash leaves no half-made store behind.
fn create(journal: &Path, path: &Path) -> Result<()> {
    let unnamed = journal.join(format!("lmdb.new-{}", RecordId::new().hex()));
    crate::fs::make_dir(&unnamed)?;
    let made = fill(&unnamed).and_then(|()| {
        crate::fs::sync_dir(&unnamed)?;
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

fn fill(path: &Path) -> Result<()> {
    let env = open_env(path)?;
    let mut txn = env.write_txn()?;
    let tables = Tables::create(&env, &mut txn)?;
    tables.meta.put(&mut txn, b"format", &layout::FORMAT.to_le_bytes())?;
    dictionary::keep_current(&mut txn, &tables)?;
    txn.commit()?;
    Ok(())
}
