//! Stores groups of chunks within the quota and the space of the disk. On a full disk content beyond the quota goes first, so that its
//! pages take the new content. Then the chunks are stored one by one, and their frames leave the spool at once.

use std::slice;

use super::chunk::{Chunk, FinishedSegment};
use super::report::IngestReport;
use crate::os::disk;
use crate::os::gate::{self, Access};
use crate::spool::segment::segment_path;
use crate::store::Store;
use crate::store::records::quota::PruneCounts;
use crate::{Error, Result, layout};

/// Bytes of a page of a segment.
const PAGE: u64 = 4096;
/// How often room is made for a chunk. Free pages may be scattered, while a large body needs adjacent ones. So each attempt removes more.
const ATTEMPTS: u64 = 4;

impl Store {
    /// Stores the chunks of a group, and passes their finished segments to `remove`.
    pub(super) fn store_group(
        &self,
        group: &mut [Chunk],
        report: &mut IngestReport,
        mut remove: impl FnMut(Vec<FinishedSegment>, Room, &mut IngestReport) -> Result<()>,
    ) -> Result<()> {
        let bytes = group.iter().map(Chunk::stored_bytes).sum();
        if self.db().has_room(bytes)? {
            match self.apply(group, report) {
                Err(error) if error.is_full_disk() => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    report.pruned.add(self.prune_for(0)?);
                    if self.db().is_disk_short() {
                        for chunk in group.iter() {
                            self.return_ingested(chunk);
                        }
                    }
                    let finished = group.iter_mut().flat_map(|chunk| std::mem::take(&mut chunk.finished)).collect();
                    return remove(finished, Room::Ample, report);
                }
            }
        }
        self.make_room(group.iter().map(Chunk::stored_bytes).max().unwrap_or_default(), report)?;
        for chunk in group {
            self.store_chunk(chunk, report)?;
            self.return_ingested(chunk);
            remove(std::mem::take(&mut chunk.finished), Room::Short, report)?;
        }
        Ok(())
    }

    /// Stores one chunk on a disk that is nearly full.
    fn store_chunk(&self, chunk: &Chunk, report: &mut IngestReport) -> Result<()> {
        let bytes = chunk.stored_bytes();
        let mut failed = None;
        for attempt in 0..ATTEMPTS {
            // The first repetition gets the pages that the last commits freed.
            if attempt > 0 && !self.make_room(bytes * attempt, report)? && attempt > 1 {
                break;
            }
            if !(self.db().has_room(bytes)? || self.db().has_room_in_reserve(bytes)?) {
                continue;
            }
            match self.apply(slice::from_ref(chunk), report) {
                Err(error) if error.is_full_disk() => failed = Some(error),
                stored => return stored,
            }
        }
        Err(failed.unwrap_or_else(|| Error::full_disk(self.path())))
    }

    /// Returns the disk space of the frames that a chunk has brought into the store. Their segment may stay for long, until its writer
    /// has filled it. Its first page stays, with the frame that describes the segment.
    fn return_ingested(&self, chunk: &Chunk) {
        for step in &chunk.progress {
            let path = segment_path(&layout::spool(self.path()), step.writer, step.segment);
            // Without it the journal needs more space until the segment is finished.
            if step.offset >= 2 * PAGE
                && let Ok(file) = gate::open(&path, Access::Write)
            {
                // The last part of a page gets zeros. Content without the header of its frame could not be forgotten.
                let _ = disk::punch(&file, PAGE..step.offset);
            }
        }
    }

    /// Removes content beyond the quota, so that `bytes` fit, and makes the free pages usable. Returns whether it removed any.
    fn make_room(&self, bytes: u64, report: &mut IngestReport) -> Result<bool> {
        let mut pruned = self.enforce_quota()?;
        pruned.add(self.prune_for(bytes)?);
        report.pruned.add(pruned);
        self.db().age_free_pages()?;
        Ok(pruned != PruneCounts::default())
    }
}

/// Whether the disk had room for a whole group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Ample,
    Short,
}
