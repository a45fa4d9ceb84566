//! One process's writer: a lock that says it lives, and the segment it appends to.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lock::WriterLock;
use super::segment::{self, Segment};
use crate::frame::{self, Event};
use crate::{Error, RecordId, Result, fs, process};

/// A buffer that grew beyond this for one large event is given back.
const KEEP_BUFFER: usize = 1 << 20;

pub(crate) struct Writer {
    pub(crate) id: RecordId,
    pub(crate) generation: u64,
    pub(crate) lock: WriterLock,
    spool: PathBuf,
    active: Mutex<Active>,
    /// Made by the sync thread, so that a rotation costs the caller nothing.
    spare: Mutex<Option<Segment>>,
    /// Full segments whose last frames may not be on disk yet.
    full: Mutex<Vec<Segment>>,
    dirty: AtomicBool,
    /// Whether a segment's name may not be on disk yet; held while it is being brought there.
    names_dirty: Mutex<bool>,
    gone: AtomicBool,
}

struct Active {
    segment: Segment,
    offset: u64,
    frames: u64,
    buffer: Vec<u8>,
}

impl Writer {
    pub(crate) fn create(spool: &Path) -> Result<Self> {
        let id = RecordId::new();
        let lock = WriterLock::create(spool, id)?;
        let segment = Segment::create(spool, id, 0, segment::FIRST).inspect_err(|_| lock.remove())?;
        Ok(Self {
            id,
            generation: process::generation(),
            lock,
            spool: spool.to_path_buf(),
            active: Mutex::new(Active {
                offset: segment.start,
                segment,
                frames: 1,
                buffer: Vec::with_capacity(16 << 10),
            }),
            spare: Mutex::new(None),
            full: Mutex::default(),
            dirty: AtomicBool::new(true),
            names_dirty: Mutex::new(true),
            gone: AtomicBool::new(false),
        })
    }

    /// Writes one frame: when this returns, the event survives the death of this process.
    pub(crate) fn append(&self, event: &Event<'_>) -> Result<()> {
        let payload = event.labels.len() + event.body.len();
        if payload > frame::MAX_PAYLOAD {
            return Err(Error::TooLarge { len: payload, max: frame::MAX_PAYLOAD });
        }
        let crc = frame::payload_crc(event);
        let mut active = held(&self.active);
        let needed = frame::frame_len(payload) as u64;
        if active.offset + needed > active.segment.size {
            self.rotate(&mut active, needed)?;
        }
        let Active { segment, offset, frames, buffer } = &mut *active;
        buffer.clear();
        frame::write(buffer, event, crc, *frames);
        // On an error nothing moves on: the next frame overwrites whatever part of this one arrived.
        let written = fs::write_at(&segment.file, buffer, *offset);
        if buffer.capacity() > KEEP_BUFFER {
            *buffer = Vec::new();
        }
        written.map_err(Error::io("cannot write", &segment.path))?;
        *offset += needed;
        *frames += 1;
        drop(active);
        self.lock.count_event();
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    fn rotate(&self, active: &mut Active, needed: u64) -> Result<()> {
        let index = active.segment.index + 1;
        let room = needed + 4096;
        let spare = held(&self.spare).take().filter(|spare| spare.index == index && spare.size >= room);
        let next = match spare {
            Some(spare) => spare,
            None => Segment::create(&self.spool, self.id, index, room.max(segment::FIRST))?,
        };
        let full = std::mem::replace(&mut active.segment, next);
        active.offset = active.segment.start;
        active.frames = 1;
        held(&self.full).push(full);
        *held(&self.names_dirty) = true;
        Ok(())
    }

    /// Forces what was appended so far to disk. Never skipped because another thread's sync is on its way: that one may
    /// have begun before the caller's frame was written.
    pub(crate) fn sync(&self) -> Result<()> {
        {
            let mut names_dirty = held(&self.names_dirty);
            if *names_dirty {
                fs::sync_dir(&self.spool)?;
                *names_dirty = false;
            }
        }
        {
            let mut full = held(&self.full);
            for segment in full.iter() {
                segment.file.sync_data().map_err(Error::io("cannot sync", &segment.path))?;
            }
            full.clear();
        }
        // Cleared first: an append that comes during the sync makes it dirty again.
        self.dirty.store(false, Ordering::Release);
        let (file, path) = self.current();
        file.sync_data().map_err(Error::io("cannot sync", &path))
    }

    fn current(&self) -> (Arc<File>, PathBuf) {
        let active = held(&self.active);
        (Arc::clone(&active.segment.file), active.segment.path.clone())
    }

    /// One round of the sync thread. Returns whether there was something to do.
    pub(crate) fn tick(&self) -> bool {
        if self.notice_removal() {
            return false;
        }
        let busy = self.dirty.load(Ordering::Acquire);
        if busy {
            if let Err(error) = self.sync() {
                // After a failed fdatasync the page cache no longer says what the disk has: later frames go to a new file.
                self.lock.note_failure(&error.to_string());
                let _ = self.rotate(&mut held(&self.active), 0);
            }
            self.lock.save();
            self.prepare_spare();
        }
        busy
    }

    fn prepare_spare(&self) {
        let (index, size, half_full) = {
            let active = held(&self.active);
            let Active { segment, offset, .. } = &*active;
            (segment.index + 1, segment.next_size(), *offset * 2 > segment.size)
        };
        let mut spare = held(&self.spare);
        if half_full && spare.as_ref().is_none_or(|spare| spare.index != index) {
            // Without a spare the rotation makes a segment itself and reports what fails.
            *spare = Segment::create(&self.spool, self.id, index, size).ok();
        }
    }

    /// Whether somebody removed the journal; the next append then makes a new one.
    pub(crate) fn notice_removal(&self) -> bool {
        let removed = self.lock.is_gone();
        if removed {
            self.gone.store(true, Ordering::Release);
        }
        removed
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Gives the unused end of the segment back to the file system; a later append starts a new segment.
    pub(crate) fn trim(&self) {
        let mut active = held(&self.active);
        let used = active.offset;
        if active.segment.file.set_len(used).is_ok() {
            active.segment.size = used;
        }
        if let Some(spare) = held(&self.spare).take() {
            let _ = std::fs::remove_file(&spare.path);
        }
    }

    /// Removes the files of a writer that lost the race to be its process's.
    pub(crate) fn discard(&self) {
        let _ = std::fs::remove_file(&held(&self.active).segment.path);
        self.lock.remove();
    }
}

/// A panic while the lock was held leaves offset and frame number as they were before it, so the state stays usable.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
