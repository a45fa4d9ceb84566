//! The ingester: moves frames from segments into LMDB by synchronous group commits.
//!
//! How far each segment was read is stored in the same transaction as the records it gave, and a record that is already there is
//! left alone; so whatever is interrupted is simply done again. One ingester runs at a time, whoever holds `ingest.lock`.

mod apply;
mod merge;
mod sweep;

use std::fs::TryLockError;

use super::Store;
use super::payload::Encoder;
use crate::frame::Kind;
use crate::spool::reader::{Damage, Frame};
use crate::{Error, Result, WriterInfo, fs, layout};
use merge::Merge;

/// Frames and bytes of one group commit.
const BATCH_FRAMES: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;

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

/// A frame ready to be stored.
pub(crate) struct Prepared {
    frame: Frame,
    writer: crate::RecordId,
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
        loop {
            let batch = merge.take(BATCH_FRAMES, BATCH_BYTES)?;
            let progress = merge.progress();
            if batch.is_empty() && progress.is_empty() {
                break;
            }
            let prepared = prepare(batch)?;
            self.apply(&prepared, &progress, &mut report)?;
            report.segments_removed += merge.remove_finished()?;
        }
        self.sweep(&spool, &merge, &mut report)?;
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

/// Compresses a batch, on two threads when it is worth it. No lock of the store is held meanwhile.
fn prepare(batch: Vec<(crate::RecordId, Frame)>) -> Result<Vec<Prepared>> {
    let squeeze = |part: Vec<(crate::RecordId, Frame)>| -> Result<Vec<Prepared>> {
        let mut encoder = Encoder::new()?;
        part.into_iter()
            .map(|(writer, frame)| Ok(Prepared { stored: encoder.encode(frame.kind, &frame.body)?, frame, writer }))
            .collect()
    };
    if batch.len() < 256 {
        return squeeze(batch);
    }
    let mut first = batch;
    let second = first.split_off(first.len() / 2);
    std::thread::scope(|scope| {
        let second = scope.spawn(move || squeeze(second));
        let mut prepared = squeeze(first)?;
        prepared.extend(second.join().map_err(|_| Error::Corrupt("compressing a batch failed".into()))??);
        Ok(prepared)
    })
}

impl Prepared {
    fn is_terminal(&self) -> bool {
        self.frame.kind == Kind::End
    }
}
