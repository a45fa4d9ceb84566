//! The files of a journal directory, and how a new one is made.

use std::path::{Path, PathBuf};

use crate::os::fs;
use crate::{Error, RecordId, Result};

/// The format this version writes, and the newest format it reads.
pub const FORMAT: u32 = 1;

const MARKER: &str = "FORMAT";
const FIRST_LINE: &str = "plsync journal";

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
        found.extend(number.filter(|number| lmdb(journal, *number).join("data.mdb").exists()));
    }
    found.sort_unstable();
    Ok(found)
}

pub(crate) fn ingest_lock(journal: &Path) -> PathBuf {
    journal.join("ingest.lock")
}

/// Makes the journal directory if there is none, and returns its spool.
pub(crate) fn prepare(journal: &Path) -> Result<PathBuf> {
    let spool = spool(journal);
    match verify(journal) {
        Ok(()) => {}
        Err(Error::NotFound(_)) => {
            fs::make_dir(journal)?;
            let text = format!("{FIRST_LINE}\nformat {FORMAT}\nid {}\n", RecordId::new().hex());
            fs::replace(&journal.join(MARKER), text.as_bytes())?;
        }
        Err(error) => return Err(error),
    }
    if !spool.is_dir() {
        fs::make_dir(&spool)?;
        fs::sync_dir(journal)?;
    }
    Ok(spool)
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

/// Checks that the directory is a journal this version can use.
pub(crate) fn verify(journal: &Path) -> Result<()> {
    let refuse = |reason: String| Error::Format { path: journal.to_path_buf(), reason };
    let marker = journal.join(MARKER);
    let text = match std::fs::read_to_string(&marker) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let foreign = holds_foreign_files(journal);
            // The marker is the first file of a new journal: if the listing showed another file, the marker exists by now.
            if marker.exists() {
                return verify(journal);
            }
            return Err(if foreign {
                let lost = if spool(journal).is_dir() { LOST } else { "" };
                refuse(format!("it holds other files and no FORMAT{lost}"))
            } else {
                Error::NotFound(journal.to_path_buf())
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(refuse("it is a file, not a directory".into()));
        }
        Err(error) => return Err(Error::io("cannot read", &marker)(error)),
    };
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(refuse(format!("its FORMAT file is not plsync's {DAMAGED}")));
    }
    match lines.next().and_then(|line| line.strip_prefix("format ")).and_then(|number| number.parse::<u32>().ok()) {
        Some(format) if format <= FORMAT => Ok(()),
        Some(format) => Err(Error::Newer {
            path: journal.to_path_buf(),
            reason: format!("it has format {format}, this version reads up to {FORMAT}"),
        }),
        None => Err(refuse(format!("its FORMAT file does not name a format {DAMAGED}"))),
    }
}

/// Whether the directory holds a file that is neither the marker nor a marker that another process is writing.
fn holds_foreign_files(journal: &Path) -> bool {
    std::fs::read_dir(journal)
        .is_ok_and(|entries| entries.flatten().any(|entry| !entry.file_name().to_string_lossy().starts_with(MARKER)))
}

/// The journal's own id, 32 hex digits.
pub(crate) fn journal_id(journal: &Path) -> Result<String> {
    let marker = journal.join(MARKER);
    let text = std::fs::read_to_string(&marker).map_err(Error::io("cannot read", &marker))?;
    Ok(text.lines().find_map(|line| line.strip_prefix("id ")).unwrap_or_default().to_owned())
}
