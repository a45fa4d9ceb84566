//! The failures of processes without a writer file, as on a disk that is full from the start. A file of the journal counts them.
//!
//! The file is made with the journal, and needs no disk space. It stays empty until the first such failure. Where its content cannot be
//! written, its modification time has the count, in seconds since the epoch: no file is that old. The nanoseconds are the number of the
//! last error. An ingest renames it to the file of a dead writer, whose failures are counted in the store.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::writer_file::{WriterInfo, decode, encode, lock_path};
use crate::os::fork::CloseOnFork;
use crate::os::fs;
use crate::os::gate::{self, Access, Purpose};
use crate::{Error, Millis, RecordId, Result, layout};

/// Modification times before this, in seconds since the epoch, are counts. It is in 2001.
const EARLIEST_TIME: u64 = 1_000_000_000;
/// How often the lock of the file is tried. Its holder writes a few bytes.
const ATTEMPTS: u32 = 50;
/// Numbers of errors are below this.
const MAX_ERROR: u32 = 4096;
const PAUSE: Duration = Duration::from_millis(1);

/// Counts failures. Fails where the journal's directory is missing or not this user's.
pub(crate) fn add(journal: &Path, number: u64, reason: &str) -> Result<()> {
    match layout::verify(journal, Purpose::Use) {
        // The directory of a journal whose marker did not fit on the disk.
        Err(Error::NotFound(_)) => gate::admit(journal, Purpose::Use)?,
        // The marker could not be opened. Only a journal has the file.
        Err(error) if error.lacks_descriptors() => {}
        verified => verified?,
    }
    let path = layout::early_failures(journal);
    let Ok(file) = open_locked(&path, Access::Create) else {
        // It can be counted in without a descriptor.
        let found = std::fs::symlink_metadata(&path).map_err(Error::io("cannot read", &path))?;
        return set_time(&path, InTime { failures: InTime::of(&found).failures + number, error: error_in(reason) });
    };
    let total = count(&file)?.failures + number;
    let written = fs::write_at(&file, &encode(Millis::now(), total, 0, reason.as_bytes()), 0);
    let known = content(&file).failures;
    // The write may have failed behind the count.
    if written.is_ok() || known == total {
        return Ok(());
    }
    // The attempt may have set the time.
    set_time(&path, InTime { failures: total.saturating_sub(known), error: error_in(reason) })
}

/// The failures in the file of a journal, and the reason of the last one. A file that cannot be read counts as 0.
pub fn read(journal: &Path) -> WriterInfo {
    let path = layout::early_failures(journal);
    let none = || WriterInfo::unknown(RecordId([0; 16]));
    gate::open(&path, Access::Read).ok().and_then(|file| count(&file).ok()).unwrap_or_else(none)
}

/// Makes the file a dead writer's file. Without disk space for its content it stays. The caller holds the ingest lock.
pub(crate) fn hand_over(journal: &Path, spool: &Path) -> Result<()> {
    let path = layout::early_failures(journal);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.len() > 0 || InTime::of(&found).failures > 0 => {}
        Ok(_) => return Ok(()),
        // An earlier version has made the journal.
        Err(_) => {
            layout::make_early_failures(journal);
            return Ok(());
        }
    }
    let Ok(file) = open_locked(&path, Access::Write) else { return Ok(()) };
    let counted = count(&file)?;
    if counted.failures == 0 {
        return Ok(());
    }
    let in_time = InTime::of(&file.metadata().map_err(Error::io("cannot read", &path))?);
    let whole = encode(Millis::now(), counted.failures, 0, counted.last_failure.as_bytes());
    if fs::write_at(&file, &whole, 0).is_err() {
        // The attempt may have set the time.
        return if in_time.failures > 0 { set_time(&path, in_time) } else { Ok(()) };
    }
    // Synced, because a power cut must not leave a dead writer's file without its content.
    file.sync_all().map_err(Error::io("cannot sync", &path))?;
    std::fs::rename(&path, lock_path(spool, RecordId::new())).map_err(Error::io("cannot rename", &path))?;
    layout::make_early_failures(journal);
    Ok(())
}

/// Opens the file that has the name, and locks it.
fn open_locked(path: &Path, access: Access) -> Result<CloseOnFork> {
    for _ in 0..ATTEMPTS {
        let file = CloseOnFork::open(|| gate::open(path, access))?;
        // An ingest may have renamed the file.
        if file.try_lock().is_ok() && !fs::is_displaced(&file, path) {
            return Ok(file);
        }
        drop(file);
        std::thread::sleep(PAUSE);
    }
    Err(Error::Locked(path.to_path_buf()))
}

fn content(file: &File) -> WriterInfo {
    let mut info = WriterInfo::unknown(RecordId([0; 16]));
    decode(file, &mut info);
    info
}

/// The numbers in the content, with the failures in the modification time.
fn count(file: &File) -> Result<WriterInfo> {
    let mut info = content(file);
    let found = file.metadata().map_err(Error::io("cannot read", "the early failures"))?;
    let in_time = InTime::of(&found);
    if in_time.failures > 0 {
        info.failures += in_time.failures;
        info.last_failure = in_time.reason();
    }
    Ok(info)
}

/// The failures that a modification time has, and the number of the last error; 0 for an unknown one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct InTime {
    failures: u64,
    error: u32,
}

impl InTime {
    fn of(found: &Metadata) -> Self {
        let modified = found.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let counted = modified.filter(|since| since.as_secs() < EARLIEST_TIME && found.is_file());
        counted.map_or_else(Self::default, |since| Self { failures: since.as_secs(), error: since.subsec_nanos() })
    }

    fn reason(self) -> String {
        let number = i32::try_from(self.error).unwrap_or(0);
        if number == 0 { String::new() } else { io::Error::from_raw_os_error(number).to_string() }
    }
}

/// The number of the system's error that a reason ends with; 0 without one.
fn error_in(reason: &str) -> u32 {
    let number = reason.rsplit_once("(os error ").and_then(|(_, number)| number.split(')').next()?.parse().ok());
    number.filter(|number| *number < MAX_ERROR).unwrap_or(0)
}

/// Sets the modification time. Some file systems keep a coarser time: that is an error.
fn set_time(path: &Path, counted: InTime) -> Result<()> {
    if counted.failures >= EARLIEST_TIME {
        return Err(Error::io("cannot write", path)(io::ErrorKind::InvalidInput.into()));
    }
    fs::set_time(path, counted.failures, counted.error).map_err(Error::io("cannot write", path))?;
    let found = std::fs::symlink_metadata(path).map_err(Error::io("cannot read", path))?;
    let is_kept = InTime::of(&found).failures == counted.failures;
    if is_kept { Ok(()) } else { Err(Error::io("cannot write", path)(io::ErrorKind::Unsupported.into())) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A journal, which has the file.
    fn journal() -> tempfile::TempDir {
        let journal = tempfile::tempdir().unwrap();
        layout::prepare(journal.path(), Purpose::Use).unwrap();
        journal
    }

    fn failures(journal: &Path) -> (u64, String) {
        let found = read(journal);
        (found.failures, found.last_failure)
    }

    #[test]
    fn failures_add_up_with_the_last_reason() {
        let journal = journal();
        assert_eq!(failures(journal.path()), (0, String::new()));
        add(journal.path(), 2, "first").unwrap();
        add(journal.path(), 1, &"x".repeat(300)).unwrap();
        assert_eq!(failures(journal.path()), (3, "x".repeat(216)));
    }

    #[test]
    fn a_count_in_the_time_moves_into_the_content() {
        let journal = journal();
        let path = layout::early_failures(journal.path());
        let full = io::Error::from_raw_os_error(28).to_string();
        set_time(&path, InTime { failures: 7, error: error_in(&format!("cannot write x: {full}")) }).unwrap();
        assert_eq!(failures(journal.path()), (7, full));
        add(journal.path(), 1, "full").unwrap();
        assert_eq!(failures(journal.path()), (8, "full".into()));
        assert_eq!(InTime::of(&std::fs::metadata(&path).unwrap()), InTime::default());
    }

    #[test]
    fn a_handed_over_file_is_a_dead_writers() {
        let journal = journal();
        let spool = layout::spool(journal.path());
        hand_over(journal.path(), &spool).unwrap();
        assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
        add(journal.path(), 3, "full").unwrap();
        hand_over(journal.path(), &spool).unwrap();
        assert_eq!(failures(journal.path()), (0, String::new()));
        let [writer] = crate::spool::segment::list_writers(&spool).unwrap()[..] else { panic!("one file") };
        let found = crate::spool::writer_file::observe(&spool, writer).unwrap().info;
        assert_eq!((found.alive, found.failures, &found.last_failure[..]), (false, 3, "full"));
    }

    #[test]
    fn a_directory_with_other_files_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("thesis.tex"), "mine").unwrap();
        assert!(add(directory.path(), 1, "full").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
