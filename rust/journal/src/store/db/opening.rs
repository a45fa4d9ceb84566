//! Opens an environment with limits that fit the process, or makes a new one, whole or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use heed::{Env, EnvFlags, EnvOpenOptions, WithoutTls};

use super::files::{self, DATA};
use super::reserve::Reserve;
use super::stamp::Stamp;
use super::trees::{self, MAX_TREES, Trees};
use super::{full_disk, upgrade};
use crate::os::{fork, fs as os_fs, gate, process_memory};
use crate::store::records::dictionary;
use crate::{Error, FORMAT, RecordId, Result, layout};

/// The limits that an environment is opened with.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of address space, not of disk: the file is only as large as its content.
    pub(super) map: usize,
    /// Concurrent read transactions, over all processes.
    pub(super) readers: u32,
}

pub(super) const LIMITS: Limits =
    Limits { map: if cfg!(target_pointer_width = "64") { 64 << 30 } else { 512 << 20 }, readers: 1024 };

/// The smallest map to try, in bytes.
const MIN_MAP: usize = 16 << 20;

/// An environment, and the files around it.
pub(super) struct Opened {
    pub(super) env: Env<WithoutTls>,
    pub(super) trees: Trees,
    pub(super) stamp: Stamp,
    pub(super) reserve: Reserve,
    pub(super) generation: u64,
    /// See [`layout::lmdb`].
    pub(super) number: u32,
}

impl Opened {
    /// The directory of the store.
    pub(super) fn path(&self, journal: &Path) -> PathBuf {
        layout::lmdb(journal, self.number)
    }
}

pub(super) fn open(path: &Path, number: u32, limits: Limits) -> Result<Opened> {
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
pub(super) fn open_read_only(path: &Path, number: u32, limits: Limits) -> Result<Opened> {
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
pub(super) fn open_copied_env(path: &Path) -> Result<Env<WithoutTls>> {
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
        // user trusts their owner, and no other user can write to them. Members of the group of a shared journal trust each other.
        // The caller has made the data file in a new directory, or admitted it with a `Stamp`. With a stamp, this user's plsync wrote
        // the file last, or every page was verified. So only a program of this user or root that writes to the file without LMDB's
        // lock can break this afterwards.
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
pub(super) fn create(journal: &Path, path: &Path, limits: Limits) -> Result<()> {
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
