//! Changes the group and the mode of a journal's files.

use std::fs::{File, Metadata, Permissions, read_dir};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::os::gate;
use crate::{Error, Result};

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// The beginnings of the names that plsync makes in a journal. Other files of a volume keep their modes.
const NAMES: [&str; 7] = ["FORMAT", "spool", "lmdb", "ingest.lock", "sync.lock", "doorbell", "exports"];

/// A file of a journal, opened only to change its owner and mode. Closing it releases no lock.
struct Entry {
    path: PathBuf,
    file: OwnedFd,
    found: Metadata,
}

impl Entry {
    fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            openat(CWD, path, flags, Mode::empty()).map_err(|error| Error::io("cannot open", path)(error.into()))?;
        Self::of(path.to_path_buf(), file)
    }

    fn open_in(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.file, name, flags, Mode::empty());
        let file = file.map_err(|error| Error::io("cannot open", &path)(error.into()))?;
        Self::of(path, file)
    }

    fn of(path: PathBuf, file: OwnedFd) -> Result<Self> {
        let file = File::from(file);
        let found = file.metadata().map_err(Error::io("cannot read", &path))?;
        Ok(Self { path, file: file.into(), found })
    }

    /// The name of this open file, which no rename changes.
    fn descriptor(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// The entries of a directory.
    fn list(&self) -> Result<Vec<Self>> {
        let failed = || Error::io("cannot list", &self.path);
        let mut entries = Vec::new();
        for entry in read_dir(self.descriptor()).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            // A name that is not UTF-8 is not plsync's.
            let Some(name) = name.to_str() else { continue };
            match self.open_in(name) {
                Err(error) if error.is_missing() => {}
                opened => entries.push(opened?),
            }
        }
        Ok(entries)
    }

    fn is_changeable(&self) -> bool {
        self.found.is_dir() || self.found.is_file() && self.found.nlink() == 1
    }

    /// The owner, the group and the mode that the entry shall have.
    fn wanted(&self, journal: &Metadata, group: Option<u32>) -> (u32, u32, u32) {
        let is_dir = self.found.is_dir();
        match group {
            Some(group) => (self.found.uid(), group, if is_dir { gate::SHARED_DIRECTORY } else { gate::SHARED_FILE }),
            None => (journal.uid(), self.found.gid(), if is_dir { PRIVATE_DIRECTORY } else { PRIVATE_FILE }),
        }
    }

    fn fits(&self, journal: &Metadata, group: Option<u32>) -> bool {
        (self.found.uid(), self.found.gid(), self.found.mode() & 0o7777) == self.wanted(journal, group)
    }

    fn change(&self, journal: &Metadata, group: Option<u32>) -> Result<u64> {
        if !self.is_changeable() || self.fits(journal, group) {
            return Ok(0);
        }
        let (user, group, mode) = self.wanted(journal, group);
        let failed = || Error::io("cannot change the group or mode of", &self.path);
        if (self.found.uid(), self.found.gid()) != (user, group) {
            chown(self.descriptor(), Some(user), Some(group)).map_err(failed())?;
        }
        std::fs::set_permissions(self.descriptor(), Permissions::from_mode(mode)).map_err(failed())?;
        Ok(1)
    }
}

/// The directory of a journal, then its directories.
fn directories(journal: &Path) -> Result<Vec<Entry>> {
    let mut found = vec![Entry::open(journal)?];
    let inner = found[0].list()?;
    found.extend(inner.into_iter().filter(|entry| entry.found.is_dir() && is_ours(entry)));
    Ok(found)
}

fn is_ours(entry: &Entry) -> bool {
    let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    NAMES.iter().any(|ours| name.starts_with(ours))
}

/// Every entry of a journal that plsync made.
fn entries(journal: &Path) -> Result<Vec<Entry>> {
    let directory = Entry::open(journal)?;
    let mut found = Vec::new();
    for entry in directory.list()?.into_iter().filter(is_ours) {
        if entry.found.is_dir() {
            found.extend(entry.list()?);
        }
        found.push(entry);
    }
    found.push(directory);
    Ok(found)
}

/// Checks that this user may make every change, before the first one.
pub(crate) fn check(journal: &Path, group: Option<u32>) -> Result<()> {
    if gate::user() == 0 {
        return Ok(());
    }
    let found = Entry::open(journal)?.found;
    if found.uid() != gate::user() {
        return Err(gate::not_owner(journal, &found));
    }
    let foreign = |entry: &Entry| entry.found.uid() != gate::user() && !entry.fits(&found, group);
    match entries(journal)?.iter().find(|entry| foreign(entry)) {
        Some(entry) => Err(gate::not_owner(&entry.path, &entry.found)),
        None => Ok(()),
    }
}

/// Checks that this user is a member of a group.
pub(crate) fn check_group(journal: &Path, group: Option<u32>) -> Result<()> {
    if may_set(group) { Ok(()) } else { Err(gate::not_member(journal, group.unwrap_or_default())) }
}

/// Whether this user may set the group of its files to this group.
pub(crate) fn may_set(group: Option<u32>) -> bool {
    group.is_none_or(|group| gate::user() == 0 || gate::is_member(group))
}

/// Changes the directory of a journal and the directories in it.
pub(crate) fn change_directories(journal: &Path, group: Option<u32>) -> Result<u64> {
    let found = directories(journal)?;
    found.iter().map(|entry| entry.change(&found[0].found, group)).sum()
}

/// Changes all entries of a journal that do not fit.
pub(crate) fn change_files(journal: &Path, group: Option<u32>) -> Result<u64> {
    let found = entries(journal)?;
    let directory = Entry::open(journal)?.found;
    found.iter().map(|entry| entry.change(&directory, group)).sum()
}
