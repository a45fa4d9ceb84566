//! Decides whether LMDB may map a data file: plsync wrote it last, or the verifier accepts it.
//!
//! A store may come from elsewhere: from a backup, a colleague, a damaged disk. Verifying reads every page of its trees, which takes a
//! second for each two gigabytes or so. So each commit leaves a stamp beside the data file. It is a keyed hash of the file's identity,
//! which changes with every write. The key is the user's own and lies outside of all journals, so no foreign journal can bring a valid
//! stamp.
//!
//! In a journal that is shared with a group, the key is the journal's id. Each member of the group can write to the store anyway, so
//! the stamp protects only from an archive. An archive cannot know the times and the inode that its files get when it is unpacked.

use std::fs::{File, Metadata};
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::files::{self, DATA, STAMP};
use super::verify::{Fault, MISSING, verify};
use crate::marker::Marker;
use crate::mutex::lock;
use crate::os::fork::CloseOnFork;
use crate::os::gate::{self, Access};
use crate::os::{fs, user_key};
use crate::{Error, RecordId, Result, layout};

const PREFIX: &[u8] = b"plsync stamp 1 ";
/// The prefix, 32 hex digits and a newline.
const LEN: usize = PREFIX.len() + 33;

/// An open data file and its stamp.
pub(crate) struct Stamp {
    /// The directory of the store.
    path: PathBuf,
    data: File,
    /// Locked during commits and verifications. `None` when the file cannot be made: then no stamp is kept.
    file: Option<CloseOnFork>,
    key: Option<[u8; 16]>,
    /// Readers of this process that hold the shared lock.
    readers: Mutex<usize>,
}

impl Stamp {
    /// Opens the store in a directory. LMDB may map its data file now: this version of plsync wrote it, or every page was verified.
    pub(crate) fn admit(store: &Path) -> Result<Self> {
        let opened = Self::open(store)?;
        if !opened.fits() {
            opened.locked(|| if opened.fits() { Ok(()) } else { opened.verify() })?;
        }
        Ok(opened)
    }

    /// Like [`Self::admit`], for a process that cannot write to the store's directory.
    pub(crate) fn admit_read_only(store: &Path) -> Result<Self> {
        files::check_for_reading(store)?;
        let data = gate::open(&store.join(DATA), Access::Read)?;
        // A lock needs no right to write.
        let file = CloseOnFork::open(|| gate::open(&store.join(STAMP), Access::Read)).ok();
        if file.is_none() && !fs::is_on_read_only_fs(store) {
            return Err(Error::Unguarded(store.to_path_buf()));
        }
        let readers = Mutex::new(0);
        let opened = Self { path: store.to_path_buf(), data, file, key: key_of(store)?, readers };
        opened.shared(|| if opened.fits() { Ok(()) } else { opened.verify() })?;
        Ok(opened)
    }

    /// Runs work while no process commits. Other readers run meanwhile.
    pub(crate) fn shared<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(stamp) = &self.file else { return work() };
        let _reader = SharedLock::take(stamp, &self.readers);
        work()
    }

    /// Verifies the store in a directory, even if its stamp fits: a disk changes bytes without a write.
    pub(crate) fn verify_always(store: &Path) -> Result<()> {
        if !fs::is_writable(store) {
            let opened = Self::admit_read_only(store)?;
            return opened.shared(|| opened.verify());
        }
        let opened = Self::open(store)?;
        opened.locked(|| opened.verify())
    }

    /// Whether another file has the name of the data file by now.
    pub(crate) fn is_displaced(&self) -> bool {
        fs::is_displaced(&self.data, &self.path.join(DATA))
    }

    fn open(store: &Path) -> Result<Self> {
        // A file with a second name is refused: a stamp sets the time of the file.
        files::check(store)?;
        // Writable, because Windows sets the time of no other file.
        let data = gate::open(&store.join(DATA), if cfg!(windows) { Access::Write } else { Access::Read })?;
        let file = fs::open_lock(&store.join(STAMP)).ok();
        Ok(Self { path: store.to_path_buf(), data, file, key: key_of(store)?, readers: Mutex::new(0) })
    }

    /// Runs a commit, and renews a stamp that fitted before. Writers of one process exclude each other by LMDB's lock.
    pub(crate) fn commit<T>(&self, commit: impl FnOnce() -> Result<T>) -> Result<T> {
        self.locked(|| {
            // If another program has changed the file, only a verification makes a new stamp.
            let fitted = self.fits();
            let done = commit()?;
            if fitted {
                self.renew();
            }
            Ok(done)
        })
    }

    /// Runs work while no other process commits or verifies.
    fn locked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(stamp) = &self.file else { return work() };
        while stamp.lock().is_err_and(|error| error.kind() == std::io::ErrorKind::Interrupted) {}
        let done = work();
        let _ = stamp.unlock();
        done
    }

    /// Verifies the data file. The caller keeps writers from reusing its pages.
    pub(crate) fn verify(&self) -> Result<()> {
        let before = self.data.metadata().ok().map(|meta| identity(&meta));
        read_ahead(&self.data);
        verify(&self.data).map_err(|Fault { page, reason }| match reason {
            MISSING => Error::Broken { path: self.path.clone(), reason: "its file has lost its end" },
            _ => Error::Damaged { path: self.path.clone(), page, reason },
        })?;
        // A writer of an earlier version takes no lock and makes no stamp.
        if before.is_some() && before == self.data.metadata().ok().map(|meta| identity(&meta)) {
            self.renew();
        }
        Ok(())
    }

    /// Whether the last stamp fits the data file.
    fn fits(&self) -> bool {
        self.read().zip(self.expected()).is_some_and(|(stored, expected)| stored == expected)
    }

    fn read(&self) -> Option<[u8; LEN]> {
        let mut stored = [0; LEN];
        let read = fs::read_at(self.file.as_ref()?, &mut stored, 0).ok()?;
        (read == LEN).then_some(stored)
    }

    /// The stamp that fits the data file now.
    fn expected(&self) -> Option<[u8; LEN]> {
        let mut hasher = SipHasher24::new_with_key(self.key.as_ref()?);
        hasher.write(&identity(&self.data.metadata().ok()?));
        let hash = hasher.finish128().as_bytes();
        let mut text = PREFIX.to_vec();
        text.extend(
            hash.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| b"0123456789abcdef"[usize::from(digit)]),
        );
        text.push(b'\n');
        text.try_into().ok()
    }

    /// Makes a stamp that fits. A failure costs a verification later.
    fn renew(&self) {
        let Some(stamp) = &self.file else { return };
        // Another file that was linked here keeps its content.
        if stamp.metadata().is_ok_and(|meta| meta.len() > 0) && self.read().is_none_or(|old| !old.starts_with(PREFIX)) {
            return;
        }
        // Some systems count the times of files in steps of milliseconds. With a time between two steps, a write that follows within
        // the same step has another time.
        if fs::touch(&self.data).is_err() {
            return;
        }
        if let Some(text) = self.expected() {
            let _ = fs::write_at(stamp, &text, 0);
        }
    }
}

/// The key for the stamps of a store. `None` without a key: then every opening verifies the store. A store that is being made, or
/// copied, may come before its `FORMAT` file.
fn key_of(store: &Path) -> Result<Option<[u8; 16]>> {
    let marker = match layout::read_marker(store.parent().unwrap_or(store), Access::Read) {
        Err(error) if error.io_cause().is_some() && !error.is_missing() => return Err(error),
        read => read.ok(),
    };
    Ok(match marker {
        Some(Marker { group: Some(_), id, .. }) => RecordId::from_hex(&id).map(|id| id.0),
        _ => user_key::get(),
    })
}

/// The lock of a process that reads. All its threads share one lock of the file, which the last reader releases.
struct SharedLock<'s> {
    stamp: &'s File,
    readers: &'s Mutex<usize>,
}

impl<'s> SharedLock<'s> {
    fn take(stamp: &'s File, readers: &'s Mutex<usize>) -> Self {
        let mut number = lock(readers);
        if *number == 0 {
            while stamp.lock_shared().is_err_and(|error| error.kind() == std::io::ErrorKind::Interrupted) {}
        }
        *number += 1;
        drop(number);
        Self { stamp, readers }
    }
}

impl Drop for SharedLock<'_> {
    fn drop(&mut self) {
        let mut number = lock(self.readers);
        *number -= 1;
        if *number == 0 {
            let _ = self.stamp.unlock();
        }
    }
}

/// The properties of a file that change with each write. No user can set the time of the last change.
#[cfg(unix)]
fn identity(meta: &Metadata) -> Vec<u8> {
    use std::os::unix::fs::MetadataExt;
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()].map(i64::cast_unsigned);
    [meta.dev(), meta.ino(), meta.len()].into_iter().chain(times).flat_map(u64::to_le_bytes).collect()
}

#[cfg(windows)]
fn identity(meta: &Metadata) -> Vec<u8> {
    use std::os::windows::fs::MetadataExt;
    [meta.creation_time(), meta.last_write_time(), meta.file_size()].into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Reads the file into the page cache in its own order. The verifier reads in the order of the trees, which is slow on a disk with heads.
#[cfg(target_os = "linux")]
fn read_ahead(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::WillNeed);
}

#[cfg(not(target_os = "linux"))]
fn read_ahead(_file: &File) {}

#[cfg(all(test, unix))]
mod tests;
