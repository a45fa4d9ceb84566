//! Backup: a whole, verified copy of a journal that programs use meanwhile.
//!
//! Everything that was recorded before the backup begins is in the copy. First the spool is ingested. Then the store is copied as one
//! commit left it, and then the frames that are behind the cursors of that commit. The ingest lock is held meanwhile, so no segment
//! between the two copies is removed.

use std::hash::Hasher;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use heed::RoTxn;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::Store;
use super::check::CheckReport;
use super::db::trees::{Trees, cursor_key, without_seal};
use super::ingest::IngestReport;
use crate::marker::Marker;
use crate::os::gate::{self, Access};
use crate::os::{disk, fork::CloseOnFork, fs};
use crate::share::share_copy;
use crate::spool::reader::{Reader, Step};
use crate::spool::segment::{list, segment_path};
use crate::spool::skipped::SkippedFile;
use crate::spool::writer_file::observe;
use crate::{Error, RecordId, Result, layout};

/// The ending of a backup that is not complete.
const PARTIAL: &str = "partial";
/// Held by the process that makes a backup.
const LOCK: &str = "backup.lock";
/// Bytes that a new journal needs besides its content.
const OVERHEAD: u64 = 1 << 20;

/// The result of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The check of the copy. Damage of the journal is in the copy too.
    pub check: CheckReport,
    /// Bytes of the copy.
    pub bytes: u64,
    /// Segments of the spool that hold events which were not ingested.
    pub segments: u64,
    /// A hash of all entries of the store and of the copy, which agree: 32 hex digits.
    pub digest: String,
    /// Files of the spool that could not be copied.
    pub skipped: Vec<SkippedFile>,
}

/// One commit of a store, as a reader saw it.
struct Snapshot {
    digest: String,
    /// (writer, segment) -> the offset up to which it was ingested.
    cursors: Vec<(RecordId, u32, u64)>,
}

impl Store {
    /// Copies the journal to `target`, which must be missing or an empty directory. The copy is checked before it gets its name.
    pub fn backup(&self, target: &Path) -> Result<BackupReport> {
        let target = std::path::absolute(target).map_err(Error::io("cannot resolve", target))?;
        check_target(&target, self.path())?;
        let partial = partial_path(&target);
        self.check_room(&target)?;
        fs::make_dir(&partial)?;
        gate::admit(&partial, gate::Purpose::Use)?;
        let lock = lock_partial(&partial)?;
        clear_partial(&partial)?;
        let made = self.fill_backup(&partial).and_then(|report| {
            drop(lock);
            remove_if_there(&partial.join(LOCK))?;
            place(&partial, &target)?;
            Ok(report)
        });
        if made.is_err() {
            // Frees the disk space. The next backup to this place removes the rest.
            let _ = clear_partial(&partial);
            let _ = std::fs::remove_file(partial.join(LOCK));
            let _ = std::fs::remove_dir(&partial);
        }
        made
    }

    fn fill_backup(&self, partial: &Path) -> Result<BackupReport> {
        let mut report = BackupReport::default();
        // In a read-only journal nothing is ingested, and no process of this user removes a segment.
        let _lock = if self.is_read_only() { None } else { Some(self.hold_ingest()?) };
        let spool = layout::spool(self.path());
        if !self.is_read_only() && layout::has_spool(self.path())? {
            // Without it, as on a full disk, the events are copied with their segments.
            let _ = self.ingest_held(&spool, &mut IngestReport::default());
        }
        let lmdb = layout::lmdb(partial, 0);
        fs::make_inner_dir(&lmdb)?;
        let copied = self.db().copy_snapshot(&lmdb, read_snapshot)?;
        fs::make_inner_dir(&layout::spool(partial))?;
        self.copy_spool(&layout::spool(partial), &copied, &mut report)?;
        let id = layout::read_marker(self.path(), Access::Read)?.id;
        layout::write_marker(partial, &Marker::new(id, None))?;
        fs::sync_dir(&layout::spool(partial))?;
        fs::sync_dir(&lmdb)?;
        fs::sync_dir(partial)?;
        let copy = Self::open_on_any_fs(partial, false)?;
        report.check = copy.check()?;
        report.digest = copy.db().read(read_snapshot)?.digest;
        if report.digest != copied.digest {
            return Err(Error::Corrupt("the copy differs from the journal; it was removed".into()));
        }
        share_copy(self.path(), partial)?;
        report.bytes = copy.db().sizes()?.0 + copied_bytes(&layout::spool(partial))?;
        Ok(report)
    }

    /// Copies the segments that hold more than the store.
    fn copy_spool(&self, to: &Path, snapshot: &Snapshot, report: &mut BackupReport) -> Result<()> {
        let spool = layout::spool(self.path());
        if !layout::has_spool(self.path())? {
            return Ok(());
        }
        for (writer, index, whole) in whole_parts(&spool, list(&spool)?.into_iter(), snapshot) {
            let path = segment_path(&spool, writer, index);
            let copied = whole.and_then(|part| {
                if part.is_empty() {
                    return Ok(false);
                }
                copy_file(&path, &segment_path(to, writer, index), part.end).map(|()| true)
            });
            match copied {
                Ok(copied) => report.segments += u64::from(copied),
                Err(error) if error.is_missing() => {}
                Err(error) => report.skipped.push(SkippedFile::from_error(&path, error)?),
            }
        }
        for entry in std::fs::read_dir(&spool).map_err(Error::io("cannot list", &spool))? {
            let path = entry.map_err(Error::io("cannot list", &spool))?.path();
            if let (true, Some(name)) =
                (path.extension().is_some_and(|extension| extension == "damaged"), path.file_name())
                && let Err(error) = copy_file(&path, &to.join(name), u64::MAX)
            {
                report.skipped.push(SkippedFile::from_error(&path, error)?);
            }
        }
        Ok(())
    }

    fn check_room(&self, target: &Path) -> Result<()> {
        let spool = layout::spool(self.path());
        let segments = if layout::has_spool(self.path())? { copied_bytes(&spool)? } else { 0 };
        let needed = self.db().sizes()?.1 + segments + OVERHEAD;
        let above = target.ancestors().find(|above| above.is_dir()).unwrap_or(target);
        match disk::available(above) {
            Some(free) if free < needed => Err(Error::NoRoom { path: above.to_path_buf(), needed, free }),
            _ => Ok(()),
        }
    }
}

/// Where a backup is made before it gets its name.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(PARTIAL);
    target.with_file_name(name)
}

fn check_target(target: &Path, journal: &Path) -> Result<()> {
    if target.file_name().is_none() || target.starts_with(journal) {
        let remedy = "choose a directory outside of the journal".into();
        return Err(Error::Refused { path: target.to_path_buf(), reason: "is inside the journal".into(), remedy });
    }
    match std::fs::symlink_metadata(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("cannot read", target)(error)),
        Ok(found) => {
            let is_empty =
                found.is_dir() && std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
            if is_empty { Ok(()) } else { Err(Error::Exists(target.to_path_buf())) }
        }
    }
}

fn lock_partial(partial: &Path) -> Result<CloseOnFork> {
    let path = partial.join(LOCK);
    let lock = fs::open_lock(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Locked(path)),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::io("cannot lock", &path)(error)),
    }
}

/// Removes the files of a backup that was interrupted. Files of other programs are an error.
fn clear_partial(partial: &Path) -> Result<()> {
    let list = |directory: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(directory).map_err(Error::io("cannot list", directory))?;
        entries.map(|entry| Ok(entry.map_err(Error::io("cannot list", directory))?.path())).collect()
    };
    for path in list(partial)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.as_str() {
            LOCK => {}
            "lmdb" | "spool" => {
                gate::check_inner_directory(&path)?;
                for file in list(&path)? {
                    remove_if_there(&file)?;
                }
                std::fs::remove_dir(&path).map_err(Error::io("cannot remove", &path))?;
            }
            name if name.starts_with("FORMAT") => remove_if_there(&path)?,
            _ => return Err(Error::Exists(path)),
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("cannot remove", path)(error)),
        _ => Ok(()),
    }
}

/// Renames a complete backup to its name. An empty directory of that name is replaced.
fn place(partial: &Path, target: &Path) -> Result<()> {
    fs::sync_dir(partial)?;
    match std::fs::rename(partial, target) {
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            return Err(Error::Exists(target.to_path_buf()));
        }
        renamed => renamed.map_err(Error::io("cannot create", target))?,
    }
    fs::sync_name(target)
}

/// The whole frames of each segment behind its cursor, as offsets.
///
/// It looks at the later segments of a writer first. When it finds a frame in one of them, the segments before it are complete. Otherwise
/// a copy could have the end of a call without its start, which the writer appended behind the part of its segment.
fn whole_parts(
    spool: &Path,
    segments: impl DoubleEndedIterator<Item = (RecordId, u32)>,
    snapshot: &Snapshot,
) -> Vec<(RecordId, u32, Result<Range<u64>>)> {
    let part = |(writer, index)| {
        let known = snapshot.cursors.iter().find(|(of, at, _)| (*of, *at) == (writer, index));
        let ingested = known.map_or(0, |(_, _, offset)| *offset);
        let whole = whole_frames(spool, writer, &segment_path(spool, writer, index), ingested);
        (writer, index, whole.map(|end| ingested..end))
    };
    segments.rev().map(part).collect()
}

/// The end of the last whole frame of a segment, at or after `from`. Of a dead writer's segment, the end of the file.
fn whole_frames(spool: &Path, writer: RecordId, path: &Path, from: u64) -> Result<u64> {
    let is_alive = observe(spool, writer)?.info.alive;
    let mut reader = Reader::open(path, from, Access::Read)?;
    if !is_alive {
        return Ok(std::fs::metadata(path).map_err(Error::io("cannot read", path))?.len());
    }
    loop {
        match reader.next()? {
            Step::Frame(_) | Step::Skipped(_) => {}
            // A frame that is being written now was not acknowledged before the backup.
            Step::End | Step::Torn(_) => return Ok(reader.offset),
        }
    }
}

fn copy_file(from: &Path, to: &Path, end: u64) -> Result<()> {
    let mut input = gate::open(from, Access::Read)?.take(end);
    let mut output = fs::create_new(to)?;
    std::io::copy(&mut input, &mut output).map_err(Error::io("cannot copy", from))?;
    output.sync_all().map_err(Error::io("cannot sync", to))
}

fn copied_bytes(spool: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(spool).map_err(Error::io("cannot list", spool))? {
        let entry = entry.map_err(Error::io("cannot list", spool))?;
        bytes += entry.metadata().map_or(0, |found| found.len());
    }
    Ok(bytes)
}

/// Reads every entry of a commit.
fn read_snapshot(txn: &RoTxn, trees: &Trees) -> Result<Snapshot> {
    let mut hasher = SipHasher24::new();
    let mut cursors = Vec::new();
    for (name, tree) in trees.all() {
        hasher.write(name.as_bytes());
        hasher.write_u64(tree.len(txn)?);
        for entry in tree.iter(txn)? {
            let (key, value) = entry?;
            hasher.write_u64(key.len() as u64);
            hasher.write(key);
            hasher.write_u64(value.len() as u64);
            hasher.write(value);
        }
    }
    for entry in trees.cursors.iter(txn)? {
        let (key, value) = entry?;
        let offset = without_seal(key, value).and_then(|value| value.first_chunk::<8>());
        if let (Some(writer), Some(index), Some(offset)) = (key.first_chunk::<16>(), key.last_chunk::<4>(), offset) {
            let (writer, index) = (RecordId(*writer), u32::from_be_bytes(*index));
            if key == cursor_key(writer, index) {
                cursors.push((writer, index, u64::from_le_bytes(*offset)));
            }
        }
    }
    Ok(Snapshot { digest: RecordId(hasher.finish128().as_bytes()).hex(), cursors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Event, FrameKind, Head, Spool};

    #[test]
    fn a_frame_is_copied_only_when_all_frames_before_it_are() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        let source = Spool::open(&journal, Durability::Process).unwrap();
        let append = |events: usize| {
            for _ in 0..events {
                let head = Head::new(FrameKind::Raw, RecordId::new());
                source.append(&Event { head, labels: &[], body: &[b'x'; 10_000] }).unwrap();
            }
        };
        append(14);
        // The first segment is half full, so the fsync thread makes the second one.
        let spool = layout::spool(&journal);
        while list(&spool).unwrap().len() < 2 {
            std::thread::yield_now();
        }
        // The program goes on to record: while the second look is made, the first segment gets full.
        let segments = list(&spool).unwrap().into_iter().inspect(|_| append(10));
        let snapshot = Snapshot { digest: String::new(), cursors: Vec::new() };
        let mut parts = whole_parts(&spool, segments, &snapshot);
        parts.sort_by_key(|(_, index, _)| *index);
        let [(writer, 0, Ok(first)), (_, 1, Ok(second))] = &parts[..] else { panic!("{parts:?}") };
        let full = whole_frames(&spool, *writer, &segment_path(&spool, *writer, 0), 0).unwrap();
        assert!(full > 24 * 10_000, "{full}");
        assert!(second.end < 10_000 || first.end == full, "{parts:?}");
    }
}
