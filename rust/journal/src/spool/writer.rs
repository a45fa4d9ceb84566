//! The writer of one process: a lock that shows it is alive, and the segment it appends to.

mod fsync;
mod unsynced;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::fsync_thread;
use super::segment::{self, Segment};
use super::writer_file::WriterFile;
use crate::frame::{self, Draft};
use crate::mutex::lock;
use crate::os::{fork, fs};
use crate::{Error, RecordId, Result};
use unsynced::Unsynced;

pub(crate) struct Writer {
    pub(crate) id: RecordId,
    pub(crate) generation: u64,
    pub(crate) file: WriterFile,
    spool: PathBuf,
    active: Mutex<Active>,
    spare: Mutex<Spare>,
    unsynced: Unsynced,
    gone: AtomicBool,
}

/// The segment that frames are appended to. An append that fails or panics changes neither offset nor frame number.
struct Active {
    segment: Segment,
    offset: u64,
    frames: u64,
}

/// The segment after the active one.
struct Spare {
    /// The index of the segment. A thread that makes the segment holds the lock. Otherwise a second segment of this index could take
    /// the name of the first, whose events would be lost.
    index: u32,
    /// Made by the fsync thread, so that a rotation costs the caller nothing.
    segment: Option<Segment>,
}

impl Writer {
    pub(crate) fn create(spool: &Path) -> Result<Self> {
        let id = RecordId::new();
        let writer_file = WriterFile::create(spool, id)?;
        let segment = Segment::create(spool, id, 0, segment::FIRST, true).inspect_err(|_| writer_file.remove())?;
        Ok(Self {
            id,
            generation: fork::generation(),
            file: writer_file,
            spool: spool.to_path_buf(),
            active: Mutex::new(Active { offset: segment.start, segment, frames: 1 }),
            spare: Mutex::new(Spare { index: 1, segment: None }),
            unsynced: Unsynced::new(),
            gone: AtomicBool::new(false),
        })
    }

    /// Writes one frame, and returns its segment's index. From then on the event survives the death of this process.
    pub(crate) fn append(&self, draft: &mut Draft) -> Result<u32> {
        let payload = draft.payload_len();
        if payload > frame::MAX_PAYLOAD {
            return Err(Error::TooLarge { len: payload, max: frame::MAX_PAYLOAD });
        }
        let mut active = lock(&self.active);
        let needed = frame::frame_len(payload) as u64;
        if active.offset + needed > active.segment.size {
            // Another journal may be at this path by now. The next segment would be of a writer without a file there, so a reader
            // would take the writer for dead and remove the segment.
            if self.file.is_gone() {
                return Err(self.displaced_error());
            }
            self.rotate(&mut active, needed)?;
        }
        let Active { segment, offset, frames } = &mut *active;
        // After an error the offset stays, and the next frame overwrites the bytes of the failed one.
        let written = fs::write_at(&segment.file, draft.with_number(*frames), *offset);
        written.map_err(Error::io("cannot write", &segment.path))?;
        let half = segment.size / 2;
        let half_full = *offset <= half && *offset + needed > half;
        *offset += needed;
        *frames += 1;
        let index = segment.index;
        drop(active);
        if half_full {
            fsync_thread::wake();
        }
        self.file.count_event();
        self.unsynced.dirty.store(true, Ordering::Release);
        Ok(index)
    }

    fn rotate(&self, active: &mut Active, needed: u64) -> Result<()> {
        let room = needed + 4096;
        let mut spare = lock(&self.spare);
        let next = match spare.segment.take().filter(|segment| segment.size >= room) {
            Some(segment) => segment,
            None => Segment::create(&self.spool, self.id, spare.index, room.max(active.segment.next_size()), false)?,
        };
        spare.index += 1;
        drop(spare);
        let full = std::mem::replace(&mut active.segment, next);
        active.offset = active.segment.start;
        active.frames = 1;
        self.unsynced.add_full(full);
        Ok(())
    }

    fn displaced_error(&self) -> Error {
        Error::io("cannot write", &self.spool)(std::io::Error::other("the journal was moved away"))
    }

    fn prepare_spare(&self) {
        let (index, size, half_full) = {
            let active = lock(&self.active);
            let Active { segment, offset, .. } = &*active;
            (segment.index + 1, segment.next_size(), *offset * 2 > segment.size)
        };
        if half_full {
            self.make_spare(index, size);
        }
    }

    fn make_spare(&self, index: u32, size: u64) {
        let mut spare = lock(&self.spare);
        // A rotation that came first has made this segment itself, and appends to it.
        if spare.index == index && spare.segment.is_none() {
            // Without a spare the rotation makes a segment itself, and returns its error.
            spare.segment = Segment::create(&self.spool, self.id, index, size, true).ok();
        }
    }

    /// Whether the journal was removed or moved away, or its segment was removed. The next append then makes a new writer.
    pub(crate) fn notice_removal(&self) -> bool {
        let (file, path) = {
            let active = lock(&self.active);
            (Arc::clone(&active.segment.file), active.segment.path.clone())
        };
        let removed = self.file.is_gone() || fs::is_displaced(&file, &path);
        if removed {
            self.gone.store(true, Ordering::Release);
        }
        removed
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Frees the unused end of the segment. A later append starts a new segment.
    #[cfg(unix)]
    pub(crate) fn trim(&self) {
        let mut active = lock(&self.active);
        let used = active.offset;
        if active.segment.file.set_len(used).is_ok() {
            active.segment.size = used;
        }
        if let Some(spare) = lock(&self.spare).segment.take() {
            let _ = std::fs::remove_file(&spare.path);
        }
    }

    /// Removes the files of a writer that lost the race to be its process's.
    pub(crate) fn discard(&self) {
        let _ = std::fs::remove_file(&lock(&self.active).segment.path);
        self.file.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Event, Head};
    use crate::state::FrameKind;

    fn append(writer: &Writer, body: &[u8]) {
        let id = RecordId::new();
        let mut draft = Draft::new();
        Event { head: Head::new(FrameKind::Start, id), labels: &[], body }.draft(&mut draft);
        writer.append(&mut draft).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_synced_is_one_failure_and_its_files_are_synced() {
        let spool = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(spool.path()).unwrap();
        writer.spool = spool.path().join("missing");
        for _ in 0..3 {
            append(&writer, b"event");
            assert!(writer.tick());
            assert!(!writer.unsynced.dirty.load(Ordering::Acquire), "the events were not synced");
        }
        assert_eq!(writer.file.failures(), 1);
        assert!(writer.flush().is_err(), "a flush promises that the names are on disk");
    }

    #[test]
    fn a_segment_that_a_rotation_made_is_not_made_again() {
        let spool = tempfile::tempdir().unwrap();
        let writer = Writer::create(spool.path()).unwrap();
        let size = lock(&writer.active).segment.size;
        append(&writer, b"in the first segment");
        // The fsync thread found the first segment half full, and is about to make the second one.
        append(&writer, &vec![b'x'; usize::try_from(size).unwrap()]);
        writer.make_spare(1, size);
        let file = std::fs::read(segment::segment_path(spool.path(), writer.id, 1)).unwrap();
        assert!(file.windows(8).any(|window| window == b"xxxxxxxx"), "the appended event has lost its name");
    }
}
