//! The deliverer's side: entries are leased, kept for longer, and settled.

use heed::RwTxn;

use super::Place;
use super::owners::Owners;
use super::sinks;
use crate::store::Store;
use crate::store::db::tables::{PART_END, PART_START, Tables, record_key};
use crate::store::outbox::ack_order;
use crate::store::records::payload;
use crate::store::records::read::read_row;
use crate::store::records::row::Row;
use crate::store::records::transition::load;
use crate::{Error, RecordId, Result};

/// Bytes of bodies that are claimed at once, beyond the first.
const MAX_BYTES: u64 = 4 << 20;

/// A claimed entry.
#[derive(Clone, Debug)]
pub struct Callback {
    /// The record's sequence number, which with the sink names the entry.
    pub seq: u64,
    /// Deliveries that were tried before.
    pub attempts: u32,
    /// The record, with its request id.
    pub row: Row,
}

/// What became of a delivery that did not succeed.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The record's sequence number.
    pub seq: u64,
    /// Why.
    pub error: String,
    /// When to try again, in milliseconds since the epoch.
    pub not_before: u64,
    /// Whether it is not to be tried again.
    pub dead: bool,
}

/// What one claim comes to hold.
struct Claim {
    limit: usize,
    now_ms: u64,
    lease_until: u64,
    bytes: u64,
    taken: Vec<Callback>,
}

impl Claim {
    /// Leases one more entry, a new one or one that is listed under a time; false when the claim is full.
    fn take(&mut self, txn: &mut RwTxn, tables: &Tables, place: Place, at: Option<u64>) -> Result<bool> {
        let mut entry = place.get(txn, tables)?.unwrap_or_default();
        let mut bytes = 0;
        for part in [PART_START, PART_END] {
            bytes += tables.records.get(txn, &record_key(place.seq, part))?.map_or(0, payload::raw_len);
        }
        let is_full = self.taken.len() == self.limit || self.bytes + bytes > MAX_BYTES;
        // One that was tried before may be why its process died, and goes alone: the others of a batch are not tried so often.
        if !self.taken.is_empty() && (is_full || entry.attempts > 0 || self.taken[0].attempts > 0) {
            return Ok(false);
        }
        match load(txn, tables, place.seq).and_then(|state| read_row(txn, tables, place.seq, state)) {
            Ok(row) => {
                // A due time that a wrong clock set has been overruled.
                (entry.due, entry.lease_until) = (entry.due.min(self.now_ms), self.lease_until);
                entry.attempts += 1;
                self.bytes += bytes;
                self.taken.push(Callback { seq: place.seq, attempts: entry.attempts - 1, row });
            }
            // One damaged record must not keep the others from being delivered.
            Err(Error::Corrupt(what)) => {
                (entry.dead, entry.last_error) = (true, format!("its record is damaged: {what}"));
            }
            Err(error) => return Err(error),
        }
        if let Some(at) = at {
            // Of a damaged entry the list alone knows the time.
            place.unlist(txn, tables, at)?;
        }
        place.put(txn, tables, &entry)?;
        Ok(true)
    }
}

impl Store {
    /// Up to `limit` due entries of a sink, leased to the caller. Entries of records whose process still lives are given only to
    /// that process, which names itself by its `writer`. An entry that was tried before comes alone.
    pub fn claim_callbacks(
        &self,
        sink: &str,
        writer: Option<RecordId>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
    ) -> Result<Vec<Callback>> {
        let mut owners = Owners::new(self, writer);
        // A commit costs a disk sync even when it changes nothing.
        let nothing = self.db().read(|txn, tables| {
            let Some(sink) = sinks::number(txn, tables, sink.as_bytes())? else { return Ok(true) };
            Ok(ack_order::unseen(txn, tables, sink, 1)?.is_empty()
                && owners.due(txn, tables, sink, now_ms, 1)?.is_empty())
        })?;
        if nothing || limit == 0 {
            return Ok(Vec::new());
        }
        self.db().write(|txn, tables| {
            let lease_until = now_ms.saturating_add(lease_ms);
            let mut claim = Claim { limit, now_ms, lease_until, bytes: 0, taken: Vec::new() };
            let Some(sink) = sinks::number(txn, tables, sink.as_bytes())? else { return Ok(claim.taken) };
            for (number, seq) in ack_order::unseen(txn, tables, sink, limit)? {
                if !claim.take(txn, tables, Place::of_nobody(sink, seq), None)? {
                    break;
                }
                ack_order::set_position(txn, tables, sink, number)?;
            }
            for (place, at) in owners.due(txn, tables, sink, now_ms, limit)? {
                if !claim.take(txn, tables, place, Some(at))? {
                    break;
                }
            }
            Ok(claim.taken)
        })
    }

    /// Keeps claimed entries leased until `lease_until`, in milliseconds since the epoch.
    pub fn extend_callbacks(&self, sink: &str, seqs: &[u64], lease_until: u64) -> Result<()> {
        self.db().write(|txn, tables| {
            let Some(sink) = sinks::number(txn, tables, sink.as_bytes())? else { return Ok(()) };
            for seq in seqs {
                Place::of(txn, tables, sink, *seq)?.change(txn, tables, |entry| entry.lease_until = lease_until)?;
            }
            Ok(())
        })
    }

    /// What became of claimed entries. `done`: the sink has the id, they are removed. `released`: they were not tried after all,
    /// and are due again at once.
    pub fn settle_callbacks(&self, sink: &str, done: &[u64], failed: &[Refusal], released: &[u64]) -> Result<()> {
        self.db().write(|txn, tables| {
            let Some(sink) = sinks::number(txn, tables, sink.as_bytes())? else { return Ok(()) };
            for seq in done {
                Place::of(txn, tables, sink, *seq)?.remove(txn, tables)?;
            }
            for refusal in failed {
                Place::of(txn, tables, sink, refusal.seq)?.change(txn, tables, |entry| {
                    (entry.due, entry.lease_until, entry.dead) = (refusal.not_before, 0, refusal.dead);
                    entry.last_error.clone_from(&refusal.error);
                })?;
            }
            for seq in released {
                Place::of(txn, tables, sink, *seq)?.change(txn, tables, |entry| {
                    (entry.due, entry.lease_until) = (0, 0);
                    entry.attempts = entry.attempts.saturating_sub(1);
                })?;
            }
            Ok(())
        })
    }
}
