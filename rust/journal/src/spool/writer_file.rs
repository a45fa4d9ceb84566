//! The writer file, `<writer>.lock`: its process holds its lock while it lives, and counts its failures in it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::frame::array;
use crate::os::fork::CloseOnFork;
use crate::os::fs;
use crate::os::gate::{self, Access};
use crate::spool::skipped::SkippedFile;
use crate::time::Millis;
use crate::{Error, RecordId, Result};

const MAGIC: [u8; 4] = *b"PLSW";
const LEN: usize = 256;
const REASON: usize = 40;

/// A writer's own side of its file.
pub(crate) struct WriterFile {
    file: CloseOnFork,
    path: PathBuf,
    started: Millis,
    failures: AtomicU64,
    events: AtomicU64,
    reason: Mutex<Vec<u8>>,
}

/// A writer as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterInfo {
    /// The writer.
    pub id: RecordId,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Millis,
    /// Whether its process is alive.
    pub alive: bool,
    /// Events it could not record.
    pub failures: u64,
    /// Events it recorded, as of its last sync.
    pub events: u64,
    /// Why the last failure happened; empty when there was none.
    pub last_failure: String,
}

impl WriterInfo {
    /// A dead writer without a file.
    pub(super) fn unknown(id: RecordId) -> Self {
        Self { id, pid: 0, started: Millis::EPOCH, alive: false, failures: 0, events: 0, last_failure: String::new() }
    }
}

impl WriterFile {
    pub(crate) fn create(spool: &Path, id: RecordId) -> Result<Self> {
        let path = lock_path(spool, id);
        // Locked before it gets its name, so that no reader finds it unlocked while its process lives.
        let unnamed = spool.join(format!("{}.new", id.hex()));
        let file = CloseOnFork::open(|| fs::create_new(&unnamed))?;
        if let Err(error) = file.lock() {
            let _ = std::fs::remove_file(&unnamed);
            return Err(Error::io("cannot lock", &unnamed)(error));
        }
        let writer_file = Self {
            file,
            path: path.clone(),
            started: Millis::now(),
            failures: AtomicU64::new(0),
            events: AtomicU64::new(0),
            reason: Mutex::default(),
        };
        writer_file.save();
        match std::fs::rename(&unnamed, &path) {
            Ok(()) => Ok(writer_file),
            Err(error) => {
                // On a full disk every event fails here, and would leave another file.
                let _ = std::fs::remove_file(&unnamed);
                Err(Error::io("cannot create", &path)(error))
            }
        }
    }

    pub(crate) fn note_failure(&self, reason: &str) {
        self.note_failures(1, reason);
    }

    /// Counts failures, and keeps the reason of the last one.
    pub(crate) fn note_failures(&self, number: u64, reason: &str) {
        self.failures.fetch_add(number, Ordering::Relaxed);
        if let Ok(mut kept) = self.reason.lock() {
            kept.clear();
            kept.extend_from_slice(reason.as_bytes());
        }
        self.save();
    }

    pub(crate) fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn is_gone(&self) -> bool {
        fs::is_displaced(&self.file, &self.path)
    }

    /// Writes the counters to the file. An error is ignored: the failure of such a disk is already counted in memory.
    pub(crate) fn save(&self) {
        let reason = self.reason.lock().map_or_else(|_| Vec::new(), |reason| reason.clone());
        let bytes = encode(self.started, self.failures(), self.events.load(Ordering::Relaxed), &reason);
        let _ = fs::write_at(&self.file, &bytes, 0);
    }

    /// Removes the file of a writer that never wrote.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The content of the file of a writer of this process. A long reason is cut.
pub(super) fn encode(started: Millis, failures: u64, events: u64, reason: &[u8]) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&std::process::id().to_le_bytes());
    bytes[8..16].copy_from_slice(&started.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&failures.to_le_bytes());
    bytes[24..32].copy_from_slice(&events.to_le_bytes());
    let kept = reason.len().min(LEN - REASON);
    bytes[REASON..REASON + kept].copy_from_slice(&reason[..kept]);
    bytes
}

/// The numbers and the reason in the file of a writer, without its id. Nothing if the file has another content.
pub(super) fn decode(file: &File, info: &mut WriterInfo) {
    let mut bytes = [0; LEN];
    if fs::read_at(file, &mut bytes, 0).is_ok_and(|read| read == LEN) && bytes[..4] == MAGIC {
        info.pid = u32::from_le_bytes(array(&bytes, 4));
        info.started = Millis(u64::from_le_bytes(array(&bytes, 8)));
        info.failures = u64::from_le_bytes(array(&bytes, 16));
        info.events = u64::from_le_bytes(array(&bytes, 24));
        let reason = bytes[REASON..].split(|byte| *byte == 0).next().unwrap_or_default();
        info.last_failure = String::from_utf8_lossy(reason).into_owned();
    }
}

/// The file of a writer.
pub(crate) fn lock_path(spool: &Path, id: RecordId) -> PathBuf {
    spool.join(format!("{}.lock", id.hex()))
}

/// A writer as another process sees it. The `guard` of a dead writer keeps a second process from removing its files.
pub(crate) struct WriterStatus {
    pub(crate) info: WriterInfo,
    pub(crate) guard: Option<CloseOnFork>,
    /// Why the file cannot be used.
    pub(crate) skipped: Option<SkippedFile>,
}

fn is_read_only(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied)
}

/// Reads a writer's file. A writer is alive while its lock is held. A writer without a file is dead, and its failures are counted.
/// Another user's file may be locked, and so may a file that cannot be reached. Their writers count as alive. A file of another kind
/// cannot be locked.
pub(crate) fn observe(spool: &Path, id: RecordId) -> Result<WriterStatus> {
    let path = lock_path(spool, id);
    let mut info = WriterInfo::unknown(id);
    let opened = CloseOnFork::open(|| gate::open(&path, Access::Write));
    // In a read-only journal. A lock needs no right to write.
    let opened = match opened {
        Err(error) if error.io_cause().is_some_and(|cause| is_read_only(cause.kind())) => {
            CloseOnFork::open(|| gate::open(&path, Access::Read))
        }
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(WriterStatus { info, guard: None, skipped: None }),
        Err(error) => {
            info.alive = std::fs::symlink_metadata(&path).map_or(true, |found| found.is_file());
            let skipped = SkippedFile::from_error(&path, error)?;
            return Ok(WriterStatus { info, guard: None, skipped: Some(skipped) });
        }
    };
    let guard = match file.try_lock() {
        Ok(()) => true,
        Err(std::fs::TryLockError::WouldBlock) => false,
        Err(std::fs::TryLockError::Error(error)) => return Err(Error::io("cannot lock", &path)(error)),
    };
    info.alive = !guard;
    decode(&file, &mut info);
    Ok(WriterStatus { info, guard: guard.then_some(file), skipped: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_file_that_cannot_get_its_name_leaves_nothing_behind() {
        let spool = tempfile::tempdir().unwrap();
        let id = RecordId::new();
        std::fs::create_dir(lock_path(spool.path(), id)).unwrap();
        assert!(WriterFile::create(spool.path(), id).is_err());
        let left: Vec<_> = std::fs::read_dir(spool.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [lock_path(spool.path(), id)]);
    }
}
