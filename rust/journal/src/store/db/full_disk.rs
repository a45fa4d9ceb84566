//! Names the full disk in LMDB's errors.

use std::io;
use std::path::Path;

use super::files::DATA;
use crate::os::{disk, fs, gate};
use crate::{Error, RecordId, layout};

// The numbers are the same on every Unix.
const EIO: i32 = 5;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;

/// Bytes of a large commit. A write of it fails although some blocks are free.
const LARGEST_WRITE: u64 = 16 << 20;
/// Bytes of the file that finds out whether the disk takes writes.
const PROBE: usize = 256 << 10;

/// The error of a store in `journal`. LMDB makes an "Input/output error" of a write that the disk took in part. Users would take it for
/// a failing disk.
pub(super) fn named(error: Error, journal: &Path) -> Error {
    match error {
        Error::Lmdb(heed::Error::Io(cause)) if Error::is_limit(&cause) => failed(journal, cause),
        Error::Lmdb(heed::Error::Io(cause)) if cause.raw_os_error() == Some(EIO) => {
            cause_of_short_write(journal).map_or(Error::Lmdb(heed::Error::Io(cause)), |found| failed(journal, found))
        }
        error => error,
    }
}

fn failed(journal: &Path, cause: io::Error) -> Error {
    Error::io("cannot write to the store in", journal)(cause)
}

/// Why the disk took only a part of a write; `None` for another reason than a limit.
fn cause_of_short_write(journal: &Path) -> Option<io::Error> {
    if disk::available(journal).is_some_and(|available| available < LARGEST_WRITE) {
        return Some(io::Error::from_raw_os_error(ENOSPC));
    }
    if let Some(limit) = disk::file_size_limit() {
        let newest = layout::list_lmdb(journal).ok()?.pop()?;
        let len = std::fs::metadata(layout::lmdb(journal, newest).join(DATA)).ok()?.len();
        if len >= limit {
            return Some(io::Error::from_raw_os_error(EFBIG));
        }
    }
    // A limit of this user's share of the disk shows in the error of another write only.
    let path = journal.join(format!("lmdb.probe-{}", RecordId::new().hex()));
    let probe = gate::create_new(&path).ok()?;
    let _ = std::fs::remove_file(&path);
    let written = fs::write_at(&probe, &vec![0; PROBE], 0).and_then(|()| probe.sync_all());
    written.err().filter(Error::is_limit)
}
