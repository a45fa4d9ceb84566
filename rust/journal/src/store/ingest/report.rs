//! The result of an ingest.

use crate::spool::reader::Damage;
use crate::spool::skipped::SkippedFile;
use crate::store::records::quota::PruneCounts;

/// The result of an ingest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// False when another process was ingesting, and this process did not wait.
    pub ran: bool,
    /// Events stored.
    pub frames: u64,
    /// New records.
    pub records: u64,
    /// Events that were stored already, or came after the end of their call.
    pub duplicates: u64,
    /// Events of forgotten records, which were not stored.
    pub forgotten: u64,
    /// Calls that were closed because their process is gone.
    pub abandoned: u64,
    /// The records that the quota pruned.
    pub pruned: PruneCounts,
    /// Segments read to their end and removed.
    pub segments_removed: u64,
    /// Bytes that were not a frame.
    pub damage: Vec<Damage>,
    /// Files of the spool that could not be used. The events of all other files are stored.
    pub skipped: Vec<SkippedFile>,
}

impl IngestReport {
    /// Adds the number of removed segments, and the segments that could not be removed.
    pub(super) fn add_removed(&mut self, (count, skipped): (u64, Vec<SkippedFile>)) {
        self.segments_removed += count;
        self.skipped.extend(skipped);
    }
}
