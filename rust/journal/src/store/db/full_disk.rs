//! Names the full disk in LMDB's errors.

use std::io;
use std::path::Path;

use crate::Error;
use crate::os::fs;

// Both numbers are the same on every Unix.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The error of a store in `journal`. LMDB makes an "Input/output error" of a write that the disk took in part. Users would take it for
/// a failing disk.
pub(super) fn named(error: Error, journal: &Path) -> Error {
    match error {
        Error::Lmdb(heed::Error::Io(cause)) if cause.raw_os_error() == Some(EIO) && fs::is_full(journal) => {
            Error::io("cannot write to the store in", journal)(io::Error::from_raw_os_error(ENOSPC))
        }
        error => error,
    }
}
