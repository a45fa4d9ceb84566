//! The sender's side: leases, acks, and where a record goes when there was no clear answer.

use heed::RoTxn;

use super::ack_order;
use super::lanes::{Room, due, parked};
use crate::state::{FLAG_RENEWED, State};
use crate::store::Store;
use crate::store::callbacks::{Entry, Place};
use crate::store::db::tables::{PART_END, PART_START, Tables, record_key, sealed, seq_key};
use crate::store::followups;
use crate::store::records::payload;
use crate::store::records::read::read_row;
use crate::store::records::row::Row;
use crate::store::records::transition::{Change, load};
use crate::{Error, Result, ids};

impl Store {
    /// pending -> leased, for up to `limit` closed records that are due, whose bodies together stay within `max_bytes` (one
    /// record is always given).
    pub fn lease(&self, limit: usize, lease_ms: u64, now_ms: u64, max_bytes: u64) -> Result<Vec<Row>> {
        self.lease_of_lanes(limit, limit, lease_ms, now_ms, max_bytes, max_bytes)
    }

    /// As [`Self::lease`], and of a lane that keeps its order no more than `of_lane` records and about `lane_bytes` bytes: what
    /// follows in it waits for these.
    pub fn lease_of_lanes(
        &self,
        limit: usize,
        of_lane: usize,
        lease_ms: u64,
        now_ms: u64,
        max_bytes: u64,
        lane_bytes: u64,
    ) -> Result<Vec<Row>> {
        // A commit costs a disk sync even when it changes nothing, and an idle sender asks every few seconds.
        if self.db().read(|txn, tables| due(txn, tables, now_ms, 1, 1))?.is_empty() {
            return Ok(Vec::new());
        }
        self.db().write(|txn, tables| {
            let seqs = due(txn, tables, now_ms, limit, of_lane)?;
            let mut bytes = 0;
            let mut room = Room::new(lane_bytes);
            let mut leased = Vec::new();
            let mut change = Change::begin(txn, tables, now_ms)?;
            for seq in seqs {
                let size = size(change.txn, tables, seq)?;
                if !room.take(load(change.txn, tables, seq)?.lane, size) {
                    continue;
                }
                bytes += size;
                if bytes > max_bytes && !leased.is_empty() {
                    break;
                }
                let row = change.update(seq, |row| {
                    row.state = State::Leased;
                    row.attempts += 1;
                    row.lease_until = now_ms + lease_ms;
                })?;
                leased.push((seq, row));
            }
            change.finish()?;
            leased.into_iter().map(|(seq, row)| read_row(txn, tables, seq, row)).collect()
        })
    }

    /// leased -> in doubt: whoever leased them is gone, and may have been heard. They are due to be looked up at `due_ms`; those
    /// leased before `old_ms` at once. Returns how many.
    pub fn orphan_leases(&self, old_ms: u64, due_ms: u64) -> Result<u64> {
        if self.db().read(|txn, tables| parked(txn, tables, State::Leased))?.is_empty() {
            return Ok(0);
        }
        self.db().write(|txn, tables| {
            let leased = parked(txn, tables, State::Leased)?;
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            for seq in &leased {
                change.update(*seq, |row| {
                    row.state = State::InDoubt;
                    row.not_before = if row.changed_at < old_ms { 0 } else { due_ms };
                    row.last_error = "its sender stopped before the answer was stored".into();
                })?;
            }
            change.finish()?;
            Ok(leased.len() as u64)
        })
    }

    /// Up to `limit` records in doubt that are due to be looked up.
    pub fn in_doubt(&self, limit: usize, now_ms: u64) -> Result<Vec<Row>> {
        self.db().read(|txn, tables| {
            let mut rows = Vec::new();
            for seq in parked(txn, tables, State::InDoubt)? {
                let state = load(txn, tables, seq)?;
                if state.not_before <= now_ms {
                    rows.push(read_row(txn, tables, seq, state)?);
                    if rows.len() == limit {
                        break;
                    }
                }
            }
            Ok(rows)
        })
    }

    /// Stores request ids: `(seq, request id)` each. Ack, its number, index and callback entry come into being together, and
    /// follow-ups of the record may be sent from then on. A record that is
    /// already acked keeps its first id. Returns how many were new.
    pub fn ack(&self, acked: &[(u64, u64)]) -> Result<u64> {
        self.db().write(|txn, tables| {
            let now_ms = ids::now_ms();
            let mut change = Change::begin(txn, tables, now_ms)?;
            let mut new = 0;
            let mut number = ack_order::last(change.txn, tables)?;
            for (seq, request_id) in acked {
                if load(change.txn, tables, *seq)?.state == State::Acked {
                    continue;
                }
                let row = change.update(*seq, |row| {
                    row.state = State::Acked;
                    row.last_error.clear();
                })?;
                let value = [request_id.to_le_bytes(), now_ms.to_le_bytes()].concat();
                tables.acks.put(change.txn, &seq_key(*seq), &sealed(&seq_key(*seq), value))?;
                tables.by_request.put(change.txn, &request_id.to_be_bytes(), &seq_key(*seq))?;
                number += 1;
                ack_order::list(change.txn, tables, number, *seq)?;
                if row.sink != 0 {
                    Place::of_writer(row.sink, *seq, row.writer).put(change.txn, tables, &Entry::default())?;
                }
                followups::queue::release(change.txn, tables, *seq)?;
                new += 1;
            }
            change.finish()?;
            Ok(new)
        })
    }

    /// leased or in doubt -> pending, due at `not_before` (milliseconds since the epoch).
    pub fn release(&self, seqs: &[u64], not_before: u64, error: &str) -> Result<()> {
        self.move_to(seqs, State::Pending, not_before, error)
    }

    /// -> in doubt, dead or held, with the reason.
    pub fn park(&self, seqs: &[u64], state: State, error: &str, not_before: u64) -> Result<()> {
        self.move_to(seqs, state, not_before, error)
    }

    fn move_to(&self, seqs: &[u64], state: State, not_before: u64, error: &str) -> Result<()> {
        if state == State::Acked || state == State::Leased {
            return Err(Error::Corrupt(format!("a record becomes {} in another way", state.name())));
        }
        self.db().write(|txn, tables| {
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            for seq in seqs {
                if load(change.txn, tables, *seq)?.state == State::Acked {
                    continue;
                }
                change.update(*seq, |row| {
                    row.state = state;
                    row.not_before = not_before;
                    error.clone_into(&mut row.last_error);
                })?;
            }
            change.finish()
        })
    }

    /// in doubt -> pending, to be sent as a new trace: `PromptLayer` has the first one and will make no log of it.
    pub fn renew(&self, seqs: &[u64], error: &str) -> Result<()> {
        self.db().write(|txn, tables| {
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            for seq in seqs {
                if load(change.txn, tables, *seq)?.state != State::InDoubt {
                    continue;
                }
                change.update(*seq, |row| {
                    row.state = State::Pending;
                    row.flags |= FLAG_RENEWED;
                    row.not_before = 0;
                    error.clone_into(&mut row.last_error);
                })?;
            }
            change.finish()
        })
    }

    /// dead or held -> pending, due now. Opaque and pruned records stay where they are. Returns how many moved.
    pub fn requeue(&self, seqs: &[u64]) -> Result<u64> {
        self.db().write(|txn, tables| {
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            let mut moved = 0;
            for seq in seqs {
                let raw = tables.records.get(change.txn, &record_key(*seq, PART_START))?.is_some_and(payload::is_raw);
                let row = load(change.txn, tables, *seq)?;
                if !raw && !row.is_pruned() && matches!(row.state, State::Dead | State::Held) {
                    change.update(*seq, |row| {
                        row.state = State::Pending;
                        row.not_before = 0;
                    })?;
                    moved += 1;
                }
            }
            change.finish()?;
            Ok(moved)
        })
    }
}

/// Bytes of a record's events.
fn size(txn: &RoTxn, tables: &Tables, seq: u64) -> Result<u64> {
    let bytes = |part| Ok(tables.records.get(txn, &record_key(seq, part))?.map_or(0, payload::raw_len));
    bytes(PART_START).and_then(|start: u64| Ok(start + bytes(PART_END)?))
}
