//! The sender's side: it leases records, and acks, releases or parks them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::acking;
use super::lanes::{LaneBytes, due_records, in_doubt_here};
use super::lease_limits::{LeaseLimits, size};
use super::parked::parked_records;
use super::parts::in_fitting_parts;
use super::units::Unit;
use crate::state::{FLAG_RENEWED, ParkedState, State};
use crate::store::Store;
use crate::store::bundles::{carried, next_bundle};
use crate::store::db::trees::{PART_START, record_key};
use crate::store::records::body;
use crate::store::records::read::{PAGE_BYTES, read_row};
use crate::store::records::row::Row;
use crate::store::records::transition::{Change, load};
use crate::{Millis, RequestId, Result, Seq};

impl Store {
    /// pending -> leased, for closed records that are due, within the limits. The lease ends `lease` from `now`.
    pub fn lease(&self, limits: impl Into<LeaseLimits>, lease: Duration, now: Millis) -> Result<Vec<Row>> {
        let mut limits = limits.into();
        let LeaseLimits { total, per_tree, fitting, .. } = limits;
        self.release_overdue(now)?;
        // A commit costs a disk sync even when it changes nothing, and an idle sender calls this every few seconds.
        let is_due = self.db().read(|txn, trees| match due_records(txn, trees, now, 1, 1)?.first() {
            Some(first) => Ok(!fitting || size(txn, trees, *first)? <= total.bytes.max(per_tree.bytes)),
            None => Ok(false),
        })?;
        if !is_due {
            return Ok(Vec::new());
        }
        loop {
            match self.lease_once(limits, lease, now) {
                Err(error) if error.is_full_disk() && limits.total.records > 1 => limits.total.records /= 2,
                Err(error) if error.is_full_disk() => return self.db().in_room(|| self.lease_once(limits, lease, now)),
                leased => return leased,
            }
        }
    }

    fn lease_once(&self, limits: LeaseLimits, lease: Duration, now: Millis) -> Result<Vec<Row>> {
        let LeaseLimits { total, per_lane, per_tree, fitting } = limits;
        self.db().write(|txn, trees| {
            let seqs = due_records(txn, trees, now, total.records, per_lane.records)?;
            let mut bytes = 0;
            let mut lane_bytes = LaneBytes::new(per_lane.bytes);
            let mut leased = BTreeMap::new();
            let mut change = Change::begin(txn, trees, now)?;
            for seq in seqs {
                if leased.contains_key(&seq) {
                    continue;
                }
                let unit = Unit::of(change.txn, trees, seq, per_tree, now)?;
                if !lane_bytes.take(unit.lane, unit.size) {
                    continue;
                }
                bytes += unit.size;
                let room =
                    if leased.is_empty() && unit.is_tree() { total.bytes.max(per_tree.bytes) } else { total.bytes };
                if bytes > room && (fitting || !leased.is_empty()) {
                    break;
                }
                for seq in unit.seqs {
                    let row = change.update(seq, |row| {
                        row.state = State::Leased;
                        row.attempts += 1;
                        row.lease_until = now + lease;
                    })?;
                    leased.insert(seq, row);
                }
            }
            change.finish()?;
            leased.into_iter().map(|(seq, row)| read_row(txn, trees, seq, row)).collect()
        })
    }

    /// Whether a record may be leased now, or its wait for the end of its root is over, which the next lease notes.
    pub fn has_due(&self, now: Millis) -> Result<bool> {
        self.db().read(|txn, trees| {
            let is_overdue = self.next_growing(txn, trees)?.is_some_and(|until| until <= now);
            Ok(is_overdue || !due_records(txn, trees, now, 1, 1)?.is_empty())
        })
    }

    /// leased -> in doubt, for all leases: their sender is gone, and its requests may have arrived. The records are due to be looked
    /// up at `due`, and those leased before `old` at once. Returns how many.
    pub fn orphan_leases(&self, old: Millis, due: Millis) -> Result<u64> {
        let leased = self.db().read(|txn, trees| parked_records(txn, trees, State::Leased))?;
        if leased.is_empty() {
            return Ok(0);
        }
        in_fitting_parts(&leased, |part| self.db().in_room(|| self.orphan(part, old, due)))
    }

    fn orphan(&self, leased: &[Seq], old: Millis, due: Millis) -> Result<u64> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let mut orphaned = 0;
            for seq in leased {
                if load(change.txn, trees, *seq)?.state != State::Leased {
                    continue;
                }
                orphaned += 1;
                change.update(*seq, |row| {
                    row.state = State::InDoubt;
                    row.not_before = if row.changed_at < old { Millis::EPOCH } else { due };
                    row.last_error = "its sender stopped before the response was stored".into();
                })?;
            }
            change.finish()?;
            Ok(orphaned)
        })
    }

    /// Up to `limit` records in doubt that are due to be looked up at the bound server; fewer with [`PAGE_BYTES`] of bodies.
    pub fn in_doubt(&self, limit: usize, now: Millis) -> Result<Vec<Row>> {
        self.db().read(|txn, trees| {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for seq in in_doubt_here(txn, trees)? {
                let state = load(txn, trees, seq)?;
                if state.not_before <= now {
                    let row = read_row(txn, trees, seq, state)?;
                    bytes += row.size();
                    rows.push(row);
                    if rows.len() == limit || bytes >= PAGE_BYTES {
                        break;
                    }
                }
            }
            Ok(rows)
        })
    }

    /// Stores request ids of the bound server, of calls alone. See [`Self::ack_tree`].
    pub fn ack(&self, acks: &[(Seq, RequestId)]) -> Result<u64> {
        let acks: Vec<_> = acks.iter().map(|(seq, request_id)| (*seq, Some(*request_id))).collect();
        self.ack_tree(&acks)
    }

    /// Stores request ids of the bound server. A run that is not a call is acked without a request id. One transaction stores the ack of a record, its number, its index entry and its callback
    /// entry, and releases the record's follow-ups. A record that is already acked keeps its first id. Returns how many acks were new.
    ///
    /// A call without a request id keeps its state.
    pub fn ack_tree(&self, acks: &[(Seq, Option<RequestId>)]) -> Result<u64> {
        in_fitting_parts(acks, |part| self.db().in_room(|| self.ack_once(part)))
    }

    fn ack_once(&self, acks: &[(Seq, Option<RequestId>)]) -> Result<u64> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let new = acking::store(&mut change, acks)?;
            change.finish()?;
            Ok(new)
        })
    }

    /// leased or in doubt -> pending, due at `not_before`.
    pub fn release(&self, seqs: &[Seq], not_before: Millis, error: &str) -> Result<()> {
        self.move_to(State::Pending, seqs, not_before, error)
    }

    /// -> in doubt, dead or held, with the reason. A record in doubt is due to be looked up at `not_before`.
    pub fn park(&self, seqs: &[Seq], state: ParkedState, not_before: Millis, error: &str) -> Result<()> {
        self.move_to(state.into(), seqs, not_before, error)
    }

    fn move_to(&self, state: State, seqs: &[Seq], not_before: Millis, error: &str) -> Result<()> {
        let move_part = |part: &_| self.db().in_room(|| self.move_once(state, part, not_before, error));
        in_fitting_parts(seqs, |part| move_part(part).map(|()| 0)).map(drop)
    }

    fn move_once(&self, state: State, seqs: &[Seq], not_before: Millis, error: &str) -> Result<()> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            for seq in seqs {
                if load(change.txn, trees, *seq)?.state == State::Acked {
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

    /// in doubt -> pending, to be sent as a new trace: `PromptLayer` has the first trace and will make no log of it.
    pub fn renew(&self, seqs: &[Seq], error: &str) -> Result<()> {
        let renew = |part: &_| self.db().in_room(|| self.renew_once(part, error));
        in_fitting_parts(seqs, |part| renew(part).map(|()| 0)).map(drop)
    }

    fn renew_once(&self, seqs: &[Seq], error: &str) -> Result<()> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            for seq in seqs {
                if load(change.txn, trees, *seq)?.state != State::InDoubt {
                    continue;
                }
                change.update(*seq, |row| {
                    row.state = State::Pending;
                    row.flags |= FLAG_RENEWED;
                    row.not_before = Millis::EPOCH;
                    error.clone_into(&mut row.last_error);
                })?;
            }
            change.finish()
        })
    }

    /// dead or held -> pending, due now. Opaque and pruned records do not move. Returns how many moved.
    pub fn requeue(&self, seqs: &[Seq]) -> Result<u64> {
        in_fitting_parts(seqs, |part| self.db().in_room(|| self.requeue_once(part)))
    }

    fn requeue_once(&self, seqs: &[Seq]) -> Result<u64> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let mut moved = 0;
            let since = next_bundle(change.txn, trees)?;
            for seq in seqs {
                let raw = trees.records.get(change.txn, &record_key(*seq, PART_START))?.is_some_and(body::is_raw);
                let row = load(change.txn, trees, *seq)?;
                if !raw && !row.is_pruned() && matches!(row.state, State::Dead | State::Held) {
                    carried::start_round(change.txn, trees, *seq, since)?;
                    change.update(*seq, |row| {
                        row.state = State::Pending;
                        row.not_before = Millis::EPOCH;
                    })?;
                    moved += 1;
                }
            }
            change.finish()?;
            Ok(moved)
        })
    }
}
