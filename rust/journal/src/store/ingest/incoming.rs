//! Events that come from elsewhere than the spool, such as a bundle. They go into the store without a segment: their source can be read
//! again after a crash.

use std::collections::VecDeque;

use super::bases::Bases;
use super::chunk::Chunk;
use super::pipeline::{self, Chunks};
use super::report::IngestReport;
use crate::frame::MAX_PAYLOAD;
use crate::store::Store;
use crate::{Error, Event, RecordId, Result};

/// Takes the events of records.
pub struct Incoming {
    /// The records have no process here.
    writer: RecordId,
    bases: Bases,
    /// Chunks that are full.
    full: VecDeque<Chunk>,
    /// The chunk that is being filled.
    open: Chunk,
    spare: Vec<Vec<u8>>,
}

impl Incoming {
    fn new(store: &Store) -> Self {
        let (full, open, spare) = (VecDeque::new(), Chunk::default(), Vec::new());
        Self { writer: RecordId::new(), bases: Bases::new(store), full, open, spare }
    }

    /// Adds the events of one record, which one transaction stores. A start whose end is [`crate::CallEnd::Abandoned`] closes its record.
    ///
    /// # Errors
    /// When an event is too large, or there is no memory for it.
    pub fn push(&mut self, events: &[Event<'_>]) -> Result<()> {
        for Event { head, labels, body } in events {
            let len = labels.len() + body.len();
            if len > MAX_PAYLOAD {
                return Err(Error::TooLarge { len, max: MAX_PAYLOAD });
            }
            let base = self.bases.of(head, labels, body);
            self.open.push(self.writer, head, labels, body, base)?;
        }
        if self.open.is_full() {
            let next = Chunk::reusing(self.spare.pop().unwrap_or_default());
            self.full.push_back(std::mem::replace(&mut self.open, next));
        }
        Ok(())
    }
}

/// The chunks of a function that adds events.
struct Source<N> {
    incoming: Incoming,
    next: N,
    ended: bool,
}

impl<N: FnMut(&mut Incoming) -> Result<bool> + Send> Chunks for Source<N> {
    fn take(&mut self, spare: Vec<u8>) -> Result<Chunk> {
        if spare.capacity() > 0 {
            self.incoming.spare.push(spare);
        }
        if self.incoming.full.is_empty() && !self.ended {
            self.ended = !(self.next)(&mut self.incoming)?;
        }
        Ok(match self.incoming.full.pop_front() {
            Some(full) => full,
            None if self.ended => std::mem::take(&mut self.incoming.open),
            None => Chunk::followed(),
        })
    }
}

impl Store {
    /// Stores events that come from elsewhere than the spool. `next` adds the events of a few records, and returns false when there are
    /// no more. `turn` is called between chunks, in this thread.
    ///
    /// # Errors
    /// As [`Self::ingest`], and the errors of both functions. The events of earlier commits stay.
    pub fn take_events(
        &self,
        next: impl FnMut(&mut Incoming) -> Result<bool> + Send,
        turn: impl FnMut() -> Result<()>,
    ) -> Result<IngestReport> {
        self.db().require_writable()?;
        self.db().clear_stale_readers()?;
        let mut report = IngestReport { ran: true, ..IngestReport::default() };
        let mut source = Source { incoming: Incoming::new(self), next, ended: false };
        let taken = pipeline::run(&mut source, turn, |group| {
            // Others ingest and compact between two commits.
            let _held = self.hold_ingest()?;
            self.store_group(group, &mut report, |_, _, _| Ok(()))
        });
        self.stored_as_far_as_possible(taken, &mut report)?;
        report.pruned.add(self.enforce_quota()?);
        self.db().return_free_pages_if_short()?;
        Ok(report)
    }
}
