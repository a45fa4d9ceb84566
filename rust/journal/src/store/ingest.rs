//! The ingester: moves frames from segments into LMDB by synchronous group commits.
//!
//! How far each segment was read is stored in the same transaction as the records it gave, and a record that is already there is
//! left alone; so whatever is interrupted is simply done again. One ingester runs at a time, whoever holds `ingest.lock`.

mod apply;
mod merge;
mod sweep;

use std::fs::TryLockError;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::Store;
use super::payload::Encoder;
use super::tables::{PART_END, PART_START};
use crate::frame::Kind;
use crate::spool::reader::{Damage, Frame};
use crate::{Error, RecordId, Result, WriterInfo, fs, layout};
use merge::{Finished, Merge, Progress};

/// Frames and bytes of one group commit.
const BATCH_FRAMES: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;
/// Frames that take longer to compress than a thread takes to start.
const WORTH_A_THREAD: usize = 64;

/// What an ingest did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// False when another process was ingesting and this one did not wait.
    pub ran: bool,
    /// Events stored.
    pub frames: u64,
    /// New records among them.
    pub records: u64,
    /// Events that were there already, or came after a call had ended.
    pub duplicates: u64,
    /// Calls closed because their process is gone.
    pub abandoned: u64,
    /// Segments read to their end and removed.
    pub segments_removed: u64,
    /// Bytes that were no frame.
    pub damage: Vec<Damage>,
}

/// Compresses a batch, on two threads when it is worth one.
fn prepare(mut frames: Vec<(RecordId, Frame)>, encoders: &mut [Encoder; 2]) -> Result<Vec<Prepared>> {
    let [one, other] = encoders;
    if frames.len() < WORTH_A_THREAD {
        return squeeze(frames, one);
    }
    let rest = frames.split_off(frames.len() / 2);
    std::thread::scope(|scope| {
        let rest = scope.spawn(|| squeeze(rest, other));
        let mut events = squeeze(frames, one)?;
        events.extend(rest.join().map_err(|_| Error::Corrupt("compressing a batch failed".into()))??);
        Ok(events)
    })
}

fn squeeze(frames: Vec<(RecordId, Frame)>, encoder: &mut Encoder) -> Result<Vec<Prepared>> {
    let one = |(writer, frame): (RecordId, Frame)| -> Result<Prepared> {
        Ok(Prepared { stored: encoder.encode(frame.id, frame.kind, &frame.body)?, frame, writer })
    };
    frames.into_iter().map(one).collect()
}

/// One group commit: events, how far reading them got, and the segments that then hold nothing more.
struct Batch {
    events: Vec<Prepared>,
    progress: Vec<Progress>,
    finished: Vec<Finished>,
}

/// A frame ready to be stored.
struct Prepared {
    frame: Frame,
    writer: RecordId,
    stored: Vec<u8>,
}

impl Store {
    /// Brings into the store whatever the spool holds. With `wait`, waits for an ingester that is already running.
    pub fn ingest(&self, wait: bool) -> Result<IngestReport> {
        let mut report = IngestReport::default();
        let spool = layout::spool(self.path());
        if !spool.is_dir() {
            return Ok(IngestReport { ran: true, ..report });
        }
        let lock_path = layout::ingest_lock(self.path());
        let lock = fs::open_lock(&lock_path)?;
        if wait {
            lock.lock().map_err(Error::io("cannot lock", &lock_path))?;
        } else {
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(report),
                Err(TryLockError::Error(error)) => return Err(Error::io("cannot lock", &lock_path)(error)),
            }
        }
        report.ran = true;
        let mut merge = Merge::open(self, &spool)?;
        // Reading and compressing the next batch goes on while LMDB brings this one to disk.
        let (send, receive) = sync_channel(1);
        std::thread::scope(|scope| {
            let merge = &mut merge;
            // The sender moves into the thread: when that ends, so does the loop.
            let reading = scope.spawn(move || read_all(merge, &send));
            for batch in receive {
                self.apply(&batch, &mut report)?;
                self.db().mapped.touch(batch.events.len() as u64);
                report.segments_removed += batch.remove_finished(&spool)?;
            }
            reading.join().map_err(|_| Error::Corrupt("reading the spool failed".into()))?
        })?;
        self.sweep(&spool, &merge, &mut report)?;
        self.enforce_quota()?;
        Ok(report)
    }

    /// Every writer that has a file in the spool, the dead ones too.
    pub fn writers(&self) -> Result<Vec<WriterInfo>> {
        let spool = layout::spool(self.path());
        if !spool.is_dir() {
            return Ok(Vec::new());
        }
        let writers = crate::spool::segment::list_writers(&spool)?;
        writers.into_iter().map(|id| Ok(crate::spool::lock::observe(&spool, id)?.info)).collect()
    }
}

fn read_all(merge: &mut Merge, send: &SyncSender<Batch>) -> Result<()> {
    let mut encoders = [Encoder::new()?, Encoder::new()?];
    loop {
        let frames = merge.take(BATCH_FRAMES, BATCH_BYTES)?;
        let (progress, finished) = merge.progress();
        if frames.is_empty() && progress.is_empty() {
            return Ok(());
        }
        let events = prepare(frames, &mut encoders)?;
        // The receiver is gone when storing a batch failed; its error is the one to report.
        if send.send(Batch { events, progress, finished }).is_err() {
            return Ok(());
        }
    }
}

impl Batch {
    /// Removes the segments that hold nothing more, once what they held is durable in the store.
    fn remove_finished(&self, spool: &Path) -> Result<u64> {
        for Finished { path, damaged } in &self.finished {
            // A damaged segment may hold bytes that no reader understood: it is set aside, not deleted.
            let removed = if *damaged {
                std::fs::rename(path, path.with_extension("damaged"))
            } else {
                std::fs::remove_file(path)
            };
            removed.map_err(Error::io("cannot remove", path))?;
        }
        if !self.finished.is_empty() {
            fs::sync_dir(spool)?;
        }
        Ok(self.finished.len() as u64)
    }
}

impl Prepared {
    fn is_terminal(&self) -> bool {
        self.frame.kind == Kind::End
    }

    fn part(&self) -> u8 {
        if self.is_terminal() { PART_END } else { PART_START }
    }
}
