//! The files of a store, which LMDB opens by name.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::path::Path;

#[cfg(target_os = "linux")]
use crate::frame::array;
use crate::os::fs as os_fs;
use crate::os::gate::{self, Access};
use crate::{Error, Result};

pub(crate) const DATA: &str = "data.mdb";
/// Nothing opens this file while LMDB has it open in this process: closing another descriptor would release LMDB's locks.
const LOCK: &str = "lock.mdb";
pub(super) const STAMP: &str = "stamp";
/// The first bytes of LMDB's files.
#[cfg(target_os = "linux")]
const MAGIC: u32 = 0xbeef_c0de;

/// Bytes of LMDB's table of readers: a header, and a slot for each.
fn lock_len(readers: u32) -> u64 {
    128 + 64 * u64::from(readers)
}

/// Makes the data file of a copy, in place of an unfinished one.
pub(super) fn create_data(store: &Path) -> Result<File> {
    let path = store.join(DATA);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("cannot remove", &path)(error)),
        _ => gate::create_new(&path),
    }
}

/// Makes the lock file of a store that no other process knows yet, filled with zeros.
///
/// LMDB itself makes a sparse file, and writes to it through a map. On a full disk such a write ends the process by SIGBUS.
pub(super) fn make_lock(store: &Path, readers: u32) -> Result<()> {
    let path = store.join(LOCK);
    let zeros = vec![0; usize::try_from(lock_len(readers)).unwrap_or(usize::MAX)];
    os_fs::write_at(&gate::create_new(&path)?, &zeros, 0).map_err(Error::io("cannot create", &path))
}

/// Allocates the lock file of a store. An older plsync made it sparse, and a copy of a journal may lack it.
///
/// This process must not have the store open, because closing the file releases LMDB's locks. Other processes may have it open, so
/// this changes no byte of it.
pub(super) fn fill_lock(store: &Path, readers: u32) -> Result<()> {
    let path = store.join(LOCK);
    let len = lock_len(readers);
    if fs::symlink_metadata(&path).is_ok_and(|found| is_filled(&found, len)) {
        return Ok(());
    }
    let file = gate::open(&path, Access::Create)?;
    allocate(&file, len).map_err(Error::io("cannot get disk space for", &path))
}

#[cfg(target_os = "linux")]
fn is_filled(found: &Metadata, len: u64) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.len() >= len && found.blocks() * 512 >= found.len()
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, len: u64) -> std::io::Result<()> {
    use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
    use rustix::io::Errno;
    let failed = match fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => return Ok(()),
        Err(error) => error,
    };
    // A full disk may still hold a whole page, with the slots of some 60 readers. So commands can read a journal of an older plsync.
    let first_hole = seek(file, SeekFrom::Hole(0)).unwrap_or(0);
    if first_hole >= 4096 { Ok(()) } else { Err(failed.into()) }
}

#[cfg(not(target_os = "linux"))]
fn is_filled(_found: &Metadata, _len: u64) -> bool {
    true
}

#[cfg(not(target_os = "linux"))]
fn allocate(_file: &File, _len: u64) -> std::io::Result<()> {
    Ok(())
}

/// The number of the oldest commit that a reader of an open store reads, in any process; `u64::MAX` without readers. `None` when the
/// table of readers cannot be read.
///
/// The table is read through LMDB's own descriptor.
#[cfg(target_os = "linux")]
pub(super) fn oldest_reader(store: &Path) -> Option<u64> {
    use std::os::fd::BorrowedFd;
    use std::os::unix::fs::MetadataExt;

    let lock = fs::metadata(store.join(LOCK)).ok()?;
    let is_lock = |found: Metadata| (found.dev(), found.ino()) == (lock.dev(), lock.ino());
    let descriptor = fs::read_dir("/proc/self/fd").ok()?.flatten().find_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        fs::metadata(entry.path()).is_ok_and(is_lock).then_some(number)
    })?;
    // SAFETY: LMDB has the file open until the environment is closed, which the caller's transaction prevents.
    let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let mut table = vec![0; usize::try_from(lock.len()).ok()?];
    let mut filled = 0;
    while filled < table.len() {
        match rustix::io::pread(file, &mut table[filled..], filled as u64) {
            Ok(read) if read > 0 => filled += read,
            _ => return None,
        }
    }
    (u32::from_le_bytes(array(&table, 0)) == MAGIC).then(|| oldest_commit(table.get(128..).unwrap_or_default()))
}

/// The oldest commit in the slots of readers. A slot has the commit and the process id, which is zero in a free slot.
#[cfg(target_os = "linux")]
fn oldest_commit(slots: &[u8]) -> u64 {
    let slots = slots.chunks_exact(64).filter(|slot| u32::from_le_bytes(array(slot, 8)) != 0);
    slots.map(|slot| u64::from_le_bytes(array(slot, 0))).min().unwrap_or(u64::MAX)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn oldest_reader(_store: &Path) -> Option<u64> {
    None
}

/// Checks the files that LMDB opens by name. LMDB makes a missing file.
pub(super) fn check(store: &Path) -> Result<()> {
    gate::check_inner_directory(store)?;
    for name in [DATA, LOCK] {
        match gate::check_file(&store.join(name), true) {
            // LMDB would make the file as this user.
            Err(error) if error.is_missing() && gate::makes_for_others(store) => {
                match gate::create_new(&store.join(name)) {
                    // Another process was faster.
                    Err(error) if error.io_cause().is_some_and(|cause| cause.kind() == ErrorKind::AlreadyExists) => {}
                    made => drop(made?),
                }
            }
            Err(error) if error.is_missing() => {}
            checked => checked?,
        }
    }
    Ok(())
}

/// Checks the files of a store that this process only reads. They may have a second name, as in a snapshot that `rsync` made.
pub(super) fn check_for_reading(store: &Path) -> Result<()> {
    gate::check_inner_directory(store)?;
    gate::check_file(&store.join(DATA), false)
}

/// Removes a store that this process has made, or that was superseded. Other files in its directory are not plsync's, and stay.
pub(super) fn remove(store: &Path) {
    for name in [DATA, LOCK, STAMP] {
        let _ = fs::remove_file(store.join(name));
    }
    let _ = fs::remove_dir(store);
}
