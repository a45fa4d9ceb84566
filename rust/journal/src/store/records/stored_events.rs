//! Reads the events of many records, without the rest of a row.

use crate::state::{CallEnd, Lane, State};
use crate::store::Store;
use crate::store::db::trees::{PART_END, PART_START};
use crate::store::db::walk::Walk;
use crate::store::records::body;
use crate::store::records::transition::row_of;
use crate::{RecordId, Result, Seq};

/// A record with the bodies of its events.
#[derive(Debug)]
pub struct StoredEvents<'b> {
    /// Its place in the order of ingestion.
    pub seq: Seq,
    /// Its id.
    pub id: RecordId,
    /// Its state.
    pub state: State,
    /// How it ended.
    pub ended: CallEnd,
    /// Its flags.
    pub flags: u8,
    /// Its lane.
    pub lane: Lane,
    /// The start event's body.
    pub start: Option<&'b [u8]>,
    /// The end event's body.
    pub end: Option<&'b [u8]>,
    /// Why a body cannot be read.
    pub damage: Option<String>,
}

impl Store {
    /// How many of the first records fit into `bytes` together, by their events and `more` bytes each. At least one fits, of any size.
    pub fn fitting(&self, seqs: &(impl Iterator<Item = Seq> + Clone), bytes: u64, more: u64) -> Result<usize> {
        self.db().read(|txn, trees| {
            let (mut sum, mut fitting) = (0, 0);
            let mut bodies = Walk::new(txn, trees.records);
            for seq in seqs.clone() {
                bodies.each(seq, |_, stored| sum += body::raw_len(stored))?;
                sum += more;
                if sum > bytes && fitting > 0 {
                    break;
                }
                fitting += 1;
            }
            Ok(fitting)
        })
    }

    /// Passes records on with their events, in this order and each once.
    pub fn stored_events<E: From<crate::Error>>(
        &self,
        seqs: &[Seq],
        mut each: impl FnMut(StoredEvents<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (mut start, mut end) = (Vec::new(), Vec::new());
        // A read may run again after the store was replaced.
        let (mut passed, mut failed) = (0, None);
        self.db().read(|txn, trees| {
            let (mut rows, mut bodies) = (Walk::new(txn, trees.state), Walk::new(txn, trees.records));
            for seq in &seqs[passed..] {
                let row = row_of(*seq, rows.value(*seq)?)?;
                let (mut damage, mut parts) = (None, [None; 2]);
                bodies.each(*seq, |part, stored| {
                    if let Some(place) = part.first().and_then(|part| parts.get_mut(usize::from(*part))) {
                        *place = Some(stored);
                    }
                })?;
                let mut read = |part, body: &mut Vec<u8>| -> Result<bool> {
                    let Some(stored) = parts[usize::from(part)] else { return Ok(false) };
                    match body::decode_into(txn, trees, row.id, part, stored, body) {
                        Ok(()) => Ok(true),
                        Err(error) if error.lacks_memory() => Err(error),
                        Err(error) => {
                            damage = Some(error.to_string());
                            Ok(false)
                        }
                    }
                };
                let (has_start, has_end) = (read(PART_START, &mut start)?, read(PART_END, &mut end)?);
                let events = StoredEvents {
                    seq: *seq,
                    id: row.id,
                    state: row.state,
                    ended: row.ended,
                    flags: row.flags,
                    lane: row.lane,
                    start: has_start.then_some(&start[..]),
                    end: has_end.then_some(&end[..]),
                    damage,
                };
                passed += 1;
                if let Err(error) = each(events) {
                    failed = Some(error);
                    break;
                }
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }
}
