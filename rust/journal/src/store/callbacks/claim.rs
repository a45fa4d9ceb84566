//! The deliverer's side: it claims entries, extends their leases, and settles them.

use std::time::Duration;

use heed::RwTxn;

use super::owners::Owners;
use super::{EntryKey, sinks};
use crate::store::Store;
use crate::store::db::trees::{PART_END, PART_START, Trees, record_key};
use crate::store::outbox::ack_order;
use crate::store::records::body;
use crate::store::records::read::read_row;
use crate::store::records::row::Row;
use crate::store::records::transition::load;
use crate::{Error, Millis, RecordId, Result, Seq};

/// Bytes of bodies that are claimed at once, beyond the first record.
const MAX_BYTES: u64 = 4 << 20;

/// A claimed entry.
#[derive(Clone, Debug)]
pub struct ClaimedCallback {
    /// The record's number. With the sink it identifies the entry.
    pub seq: Seq,
    /// How many deliveries were tried before.
    pub attempts: u32,
    /// The record, with its request id.
    pub row: Row,
}

/// A call of a sink that failed.
#[derive(Clone, Debug)]
pub struct FailedCallback {
    /// The record's number.
    pub seq: Seq,
    /// Why the delivery failed.
    pub error: String,
    /// When to try again.
    pub not_before: Millis,
    /// Whether the entry is dead: it is not tried again.
    pub dead: bool,
}

/// A claim that is being made.
struct Claim {
    limit: usize,
    now: Millis,
    lease_until: Millis,
    bytes: u64,
    taken: Vec<ClaimedCallback>,
}

impl Claim {
    /// Leases one more entry: a new one, or one that is listed under a due time. Returns false when the claim is full.
    fn take(&mut self, txn: &mut RwTxn, trees: &Trees, key: EntryKey, listed: Option<Millis>) -> Result<bool> {
        let mut entry = key.get(txn, trees)?.unwrap_or_default();
        let mut bytes = 0;
        for part in [PART_START, PART_END] {
            bytes += trees.records.get(txn, &record_key(key.seq, part))?.map_or(0, body::raw_len);
        }
        let is_full = self.taken.len() == self.limit || self.bytes + bytes > MAX_BYTES;
        // An entry that was tried before may have killed its process. It is claimed alone, so that the next death costs no other
        // entry an attempt.
        if !self.taken.is_empty() && (is_full || entry.attempts > 0 || self.taken[0].attempts > 0) {
            return Ok(false);
        }
        match load(txn, trees, key.seq).and_then(|state| read_row(txn, trees, key.seq, state)) {
            Ok(row) => {
                // Overrules a due time that a wrong clock set.
                (entry.due, entry.lease_until) = (entry.due.min(self.now), self.lease_until);
                entry.attempts += 1;
                self.bytes += bytes;
                self.taken.push(ClaimedCallback { seq: key.seq, attempts: entry.attempts - 1, row });
            }
            // One damaged record must not keep other entries from being delivered.
            Err(Error::Corrupt(damage)) => {
                (entry.dead, entry.last_error) = (true, format!("its record is damaged: {damage}"));
            }
            Err(error) => return Err(error),
        }
        if let Some(due) = listed {
            // Only the list has the due time of a damaged entry.
            key.unlist(txn, trees, due)?;
        }
        key.put(txn, trees, &entry)?;
        Ok(true)
    }
}

impl Store {
    /// Up to `limit` due entries of a sink, leased to the caller for `lease` from `now`. Entries of a record whose process lives go
    /// to that process only, which identifies itself by its `writer`. An entry that was tried before is returned alone.
    pub fn claim_callbacks(
        &self,
        sink: &str,
        writer: Option<RecordId>,
        limit: usize,
        lease: Duration,
        now: Millis,
    ) -> Result<Vec<ClaimedCallback>> {
        let mut owners = Owners::new(self, writer);
        // A commit costs a disk sync even when it changes nothing.
        let is_idle = self.db().read(|txn, trees| {
            let Some(sink) = sinks::number(txn, trees, sink.as_bytes())? else { return Ok(true) };
            let has_new = !ack_order::unreceived(txn, trees, sink, 1)?.is_empty();
            Ok(!has_new && owners.due(txn, trees, sink, now, 1)?.is_empty())
        })?;
        if is_idle || limit == 0 {
            return Ok(Vec::new());
        }
        self.db().write(|txn, trees| {
            let mut claim = Claim { limit, now, lease_until: now + lease, bytes: 0, taken: Vec::new() };
            let Some(sink) = sinks::number(txn, trees, sink.as_bytes())? else { return Ok(claim.taken) };
            for (number, seq) in ack_order::unreceived(txn, trees, sink, limit)? {
                // The user has removed this record, so no program receives it.
                if load(txn, trees, seq).is_ok_and(|row| row.is_forgotten()) {
                    ack_order::set_position(txn, trees, sink, number)?;
                    continue;
                }
                if !claim.take(txn, trees, EntryKey::unowned(sink, seq), None)? {
                    break;
                }
                ack_order::set_position(txn, trees, sink, number)?;
            }
            for (key, due) in owners.due(txn, trees, sink, now, limit)? {
                if !claim.take(txn, trees, key, Some(due))? {
                    break;
                }
            }
            Ok(claim.taken)
        })
    }

    /// Extends the leases of claimed entries until `lease_until`.
    pub fn extend_callbacks(&self, sink: &str, seqs: &[Seq], lease_until: Millis) -> Result<()> {
        self.db().write(|txn, trees| {
            let Some(sink) = sinks::number(txn, trees, sink.as_bytes())? else { return Ok(()) };
            for seq in seqs {
                let key = EntryKey::find(txn, trees, sink, *seq)?;
                key.change(txn, trees, |entry| entry.lease_until = lease_until)?;
            }
            Ok(())
        })
    }

    /// Settles claimed entries. `done`: the sink has the request id, and the entry is removed. `failed`: the entry waits, or is dead.
    /// `released`: the delivery was not tried, and the entry is due again at once.
    pub fn settle_callbacks(
        &self,
        sink: &str,
        done: &[Seq],
        failed: &[FailedCallback],
        released: &[Seq],
    ) -> Result<()> {
        self.db().write(|txn, trees| {
            let Some(sink) = sinks::number(txn, trees, sink.as_bytes())? else { return Ok(()) };
            for seq in done {
                EntryKey::find(txn, trees, sink, *seq)?.remove(txn, trees)?;
            }
            for FailedCallback { seq, error, not_before, dead } in failed {
                EntryKey::find(txn, trees, sink, *seq)?.change(txn, trees, |entry| {
                    (entry.due, entry.lease_until, entry.dead) = (*not_before, Millis::EPOCH, *dead);
                    entry.last_error.clone_from(error);
                })?;
            }
            for seq in released {
                EntryKey::find(txn, trees, sink, *seq)?.change(txn, trees, |entry| {
                    (entry.due, entry.lease_until) = (Millis::EPOCH, Millis::EPOCH);
                    entry.attempts = entry.attempts.saturating_sub(1);
                })?;
            }
            Ok(())
        })
    }
}
