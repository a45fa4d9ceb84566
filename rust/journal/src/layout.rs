//! The files of a journal directory, and how a new one is made.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::marker::{LIMIT, Marker, NAME as MARKER, SHARED_FORMAT};
use crate::os::gate::{self, Access, Purpose};
use crate::os::{fs, volume};
use crate::{Error, RecordId, Result};

pub(crate) fn spool(journal: &Path) -> PathBuf {
    journal.join("spool")
}

/// The directory of the store with this number: `lmdb`, and after each compaction `lmdb-1`, `lmdb-2`, ...
pub(crate) fn lmdb(journal: &Path, number: u32) -> PathBuf {
    if number == 0 { journal.join("lmdb") } else { journal.join(format!("lmdb-{number}")) }
}

/// The numbers of the stores in a journal, in order. The last one is current; a compaction left the rest to be removed.
pub(crate) fn list_lmdb(journal: &Path) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(journal).map_err(Error::io("cannot list", journal))? {
        let name = entry.map_err(Error::io("cannot list", journal))?.file_name();
        let number = match name.to_str() {
            Some("lmdb") => Some(0),
            Some(name) => name.strip_prefix("lmdb-").and_then(|number| number.parse().ok()),
            None => None,
        };
        if let Some(number) = number
            && has_store(journal, number)?
        {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether the journal has the store with this number.
pub(crate) fn has_store(journal: &Path, number: u32) -> Result<bool> {
    match gate::is_there(&lmdb(journal, number).join("data.mdb")) {
        Err(error) if error.io_cause().is_some_and(|cause| cause.kind() == ErrorKind::NotADirectory) => Ok(false),
        found => found,
    }
}

pub(crate) fn ingest_lock(journal: &Path) -> PathBuf {
    journal.join("ingest.lock")
}

/// The file that counts the failures of processes without a writer file. Every version takes a name that begins like the marker's for
/// a file of plsync, also in a directory without a marker.
pub(crate) fn early_failures(journal: &Path) -> PathBuf {
    journal.join("FORMAT.failures")
}

/// Makes that file, empty, before there is anything to count: later there may be no room for a name. Without it, the first failure makes it.
pub(crate) fn make_early_failures(journal: &Path) {
    let path = early_failures(journal);
    if gate::is_there(&path).is_ok_and(|found| !found) {
        let _ = gate::create_new(&path);
    }
}

/// Makes the journal directory if there is none, and returns its spool.
pub(crate) fn prepare(journal: &Path, purpose: Purpose) -> Result<PathBuf> {
    let spool = spool(journal);
    match verify(journal, purpose) {
        Ok(()) => {}
        Err(Error::NotFound(_)) => make(journal)?,
        Err(error) => return Err(error),
    }
    make_early_failures(journal);
    if !has_spool(journal)? {
        fs::make_inner_dir(&spool)?;
        fs::sync_dir(journal)?;
    }
    Ok(spool)
}

/// Makes a journal in a directory that is missing or empty.
fn make(journal: &Path) -> Result<()> {
    fs::make_dir(journal)?;
    gate::make_private(journal).map_err(Error::io("cannot make private", journal))?;
    gate::admit(journal, Purpose::Use)?;
    // First: if the disk has room for one file alone, that file counts the events that are lost.
    make_early_failures(journal);
    write_marker(journal, &Marker::new(RecordId::new().hex(), None))
}

/// Whether the journal has a spool. Anything else under its name is refused.
pub(crate) fn has_spool(journal: &Path) -> Result<bool> {
    let spool = spool(journal);
    match gate::check_inner_directory(&spool) {
        Ok(()) => Ok(true),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Syncs the journal's names: its own, and those in it. Another process may have just made them, and a file is no more durable than
/// its name.
pub(crate) fn sync_names(journal: &Path) -> Result<()> {
    fs::sync_name(journal)?;
    fs::sync_dir(journal)
}

/// Advice about a file that plsync did not write.
const DAMAGED: &str = "(if it was damaged, `plsync salvage` reads the rest)";

/// Advice about a missing file that plsync writes first.
const LOST: &str = " (if that was lost, `plsync salvage` reads the rest)";

/// Checks that the directory is a journal that this version and this user can use.
pub(crate) fn verify(journal: &Path, purpose: Purpose) -> Result<()> {
    match gate::is_there(&journal.join(MARKER)) {
        Ok(true) => {
            gate::admit_journal(journal, purpose)?;
            verify_format(journal, Access::Read)
        }
        Ok(false) => {
            let foreign = holds_foreign_files(journal)?;
            // The marker is the first file of a new journal: if the listing showed another file, the marker exists by now.
            if gate::is_there(&journal.join(MARKER))? {
                return verify(journal, purpose);
            }
            let Some(foreign) = foreign else { return Err(Error::NotFound(journal.to_path_buf())) };
            let lost = if spool(journal).is_dir() { LOST } else { "" };
            Err(not_a_journal(journal, format!("it holds other files ({foreign}) and no FORMAT{lost}")))
        }
        Err(error) if error.io_cause().is_some_and(|cause| cause.kind() == ErrorKind::NotADirectory) => {
            Err(not_a_journal(journal, "it is a file, not a directory".into()))
        }
        Err(error) => Err(error),
    }
}

/// Checks that this version can read the journal.
pub(crate) fn verify_format(journal: &Path, access: Access) -> Result<()> {
    read_marker(journal, access).map(drop)
}

/// The content of `FORMAT`, which this version can read.
pub(crate) fn read_marker(journal: &Path, access: Access) -> Result<Marker> {
    let path = journal.join(MARKER);
    let mut bytes = Vec::new();
    let read = gate::open(&path, access)?.take(LIMIT).read_to_end(&mut bytes);
    read.map_err(Error::io("cannot read", &path))?;
    match Marker::parse(&String::from_utf8_lossy(&bytes)) {
        Ok(marker) if marker.format <= SHARED_FORMAT => Ok(marker),
        Ok(Marker { format, .. }) => Err(Error::Newer {
            path: journal.to_path_buf(),
            reason: format!("it has format {format}, this version reads up to {SHARED_FORMAT}"),
        }),
        Err(flaw) => Err(not_a_journal(journal, format!("its FORMAT file {flaw} {DAMAGED}"))),
    }
}

pub(crate) fn write_marker(journal: &Path, marker: &Marker) -> Result<()> {
    fs::replace(&journal.join(MARKER), marker.text().as_bytes())
}

fn not_a_journal(journal: &Path, reason: String) -> Error {
    Error::Format { path: journal.to_path_buf(), reason }
}

/// A file that another program keeps in the directory. It is neither the marker, nor a marker that another process is writing, nor a
/// file that systems put into directories.
fn holds_foreign_files(journal: &Path) -> Result<Option<String>> {
    let entries = match std::fs::read_dir(journal) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("cannot list", journal)(error)),
    };
    for entry in entries {
        let name = entry.map_err(Error::io("cannot list", journal))?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(MARKER) && !volume::is_system_name(&name) {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}
