//! The one error type of the crate. A message has the cause and the path.

use std::io;
use std::path::{Path, PathBuf};

/// "No space left on device", the same number on every Unix.
const ENOSPC: i32 = 28;

/// "Cannot allocate memory", the same number on every Unix.
const ENOMEM: i32 = 12;
/// Too many open files, in the system and in this process, the same numbers on every Unix.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong in a journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path holds no journal.
    #[error("no journal at {}", .0.display())]
    NotFound(PathBuf),
    /// The handler found no path for its journal.
    #[error("there is no path for a journal")]
    NoPath,
    /// The path holds other files.
    #[error("{} is not a journal: {reason}", path.display())]
    Format {
        /// The journal directory.
        path: PathBuf,
        /// Why it is not a journal.
        reason: String,
    },
    /// A later version wrote the journal, in a format this version does not know.
    #[error("{} was written by a newer plsync: {reason}", path.display())]
    Newer {
        /// The journal directory, or the file in it.
        path: PathBuf,
        /// The unknown format or version.
        reason: String,
    },
    /// The path of a new journal exists already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// This user cannot write to the journal, so it can only be read.
    #[error("the journal {} is read-only", .0.display())]
    ReadOnly(PathBuf),
    /// An earlier version made the store, and it cannot be upgraded in a read-only journal.
    #[error("the store in {} was made by an earlier version of plsync, and the journal is read-only", .0.display())]
    Outdated(PathBuf),
    /// Nothing shows whether another process writes to the store.
    #[error("the store in {} has no stamp, so other programs may write to it unnoticed", .0.display())]
    Unguarded(PathBuf),
    /// The disk has too little space for a copy.
    #[error("{} has {free} free bytes, and the copy needs {needed}", path.display())]
    NoRoom {
        /// A directory on the disk.
        path: PathBuf,
        /// Bytes of the copy.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The path is on a network file system.
    #[error("{} is on a network file system ({kind}), where a journal's locks and memory map cannot be trusted", path.display())]
    Network {
        /// The journal directory.
        path: PathBuf,
        /// The file system's name.
        kind: String,
    },
    /// A file or directory is of another kind than plsync makes, or other users control it.
    #[error("{} {reason}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// Its kind, its owner, or the users that can write to it.
        reason: String,
        /// The next step of the user.
        remedy: String,
    },
    /// Another process holds a lock this operation needs.
    #[error("{} is held by another process", .0.display())]
    Locked(PathBuf),
    /// The fork that made this process cut off a thread that worked on a store, whose locks may stay held.
    #[error("this process was forked while a thread of its parent worked on a journal, so it cannot read a journal")]
    PoisonedByFork,
    /// Stored bytes do not match their checksum or their own structure.
    #[error("damaged: {0}")]
    Corrupt(String),
    /// The store as a whole cannot be used.
    #[error("the store in {} cannot be used: {reason}", path.display())]
    Broken {
        /// The directory of the journal or of the store.
        path: PathBuf,
        /// Why the store cannot be used.
        reason: &'static str,
    },
    /// The store's file breaks a rule of LMDB's format, so LMDB must not read it.
    #[error("the store in {} cannot be used: page {page} is damaged: {reason}", path.display())]
    Damaged {
        /// The directory of the store.
        path: PathBuf,
        /// The number of the page.
        page: u64,
        /// The broken rule.
        reason: &'static str,
    },
    /// This crate broke one of its rules. The journal is not damaged.
    #[error("a bug in plsync: {0}")]
    Internal(&'static str),
    /// An event is larger than a frame may be.
    #[error("an event of {len} bytes is over the limit of {max} bytes; it was not recorded")]
    TooLarge {
        /// Bytes of the event.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A follow-up is larger than allowed.
    #[error("a follow-up of {len} bytes is over the limit of {max} bytes; it was not queued")]
    FollowUpTooLarge {
        /// Bytes of the follow-up.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The operating system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The action that failed: "cannot write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// LMDB refused.
    #[error("the store: {0}")]
    Lmdb(#[from] heed::Error),
}

impl Error {
    /// The operating system's error, if that is the cause.
    pub fn io_cause(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::Lmdb(heed::Error::Io(source)) => Some(source),
            _ => None,
        }
    }

    /// Whether a disk, a file, or the user's share of a disk can hold no more.
    pub fn is_full_disk(&self) -> bool {
        self.io_cause().is_some_and(Self::is_limit)
    }

    /// Whether an error reports that a disk, a file, or the user's share of a disk can hold no more.
    pub(crate) fn is_limit(cause: &io::Error) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(cause.kind(), FileTooLarge | QuotaExceeded | StorageFull)
    }

    /// Whether the file system takes no writes.
    pub(crate) fn is_read_only_fs(&self) -> bool {
        self.io_cause().is_some_and(|cause| cause.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// Whether this process, or the system, can open no further file.
    pub(crate) fn lacks_descriptors(&self) -> bool {
        self.io_cause().and_then(io::Error::raw_os_error).is_some_and(|number| [ENFILE, EMFILE].contains(&number))
    }

    /// The error of a journal whose disk has no room for its store.
    pub(crate) fn full_disk(journal: &Path) -> Self {
        Self::io("cannot write to the store in", journal)(io::Error::from_raw_os_error(ENOSPC))
    }

    /// The error of an allocation for a large event. Without it, a failed allocation ends the process.
    pub(crate) fn memory() -> Self {
        Self::io("cannot hold", "an event in memory")(io::Error::from_raw_os_error(ENOMEM))
    }

    /// Whether the process has too little memory. Then nothing is damaged.
    pub(crate) fn lacks_memory(&self) -> bool {
        self.io_cause().is_some_and(|cause| cause.raw_os_error() == Some(ENOMEM))
    }

    /// The error for a code of zstd that reports a failed allocation; `None` for another code.
    pub(crate) fn zstd_memory(code: usize) -> Option<Self> {
        zstd::zstd_safe::get_error_name(code).contains("not enough memory").then(Self::memory)
    }

    /// Whether the store is so damaged that only a salvage can read from it.
    pub fn needs_salvage(&self) -> bool {
        use heed::MdbError::{Corrupted, Invalid, PageNotFound};
        matches!(
            self,
            Self::Broken { .. }
                | Self::Damaged { .. }
                | Self::Lmdb(heed::Error::Mdb(Corrupted | Invalid | PageNotFound))
        )
    }

    /// Whether a file or directory does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.io_cause().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
