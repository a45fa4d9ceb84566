//! The quota: how much a journal may hold, and which records are pruned first when it holds more.
//!
//! A pruned record loses its bodies and its sent follow-ups. Its id, labels, state and ack stay. So its request id can still be found,
//! and a repeated event is recognised. Nothing is removed unless a quota is set.

use std::ops::Bound;
use std::time::Duration;

use super::row::StateRow;
use super::transition::{Change, load};
use super::{base, body};
use crate::frame::array;
use crate::state::{Custody, FLAG_PRUNED, State, stored_as_u8};
use crate::store::Store;
use crate::store::bundles::{carried, one_way};
use crate::store::callbacks::CallbackEntry;
use crate::store::db::Pace;
use crate::store::db::trees::{
    PART_END, PART_START, callback_key, parked_key, record_key, seq_key, tail_seq, with_seal, without_seal,
};
use crate::store::followups::queue::Queue;
use crate::store::followups::sent::{prune_requests, remove_sent};
use crate::time::whole_ms;
use crate::{Millis, Result, Seq};

pub(crate) const KEY: &[u8] = b"quota";
/// Bytes of a stored quota without a seal.
const UNSEALED: usize = 17;
/// The number of records pruned in one transaction.
const BATCH: usize = 1000;

/// Which records may be pruned when a journal is over its quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum QuotaPolicy {
    /// Acked records, the oldest first. Records that were not sent stay, even over the quota.
    #[default]
    KeepUnsent = 0,
    /// Acked records first, then the oldest records that wait, are dead or are held. Each of these becomes dead, and is counted.
    DropOldest = 1,
}

stored_as_u8!(QuotaPolicy { KeepUnsent, DropOldest });

impl QuotaPolicy {
    /// The name users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepUnsent => "keep-unsent",
            Self::DropOldest => "drop-oldest",
        }
    }
}

/// How much a journal may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of the store's pages in use; `None` for no limit.
    pub max_bytes: Option<u64>,
    /// Time since a record's start; `None` for no limit.
    pub max_age: Option<Duration>,
    /// Which records are pruned.
    pub policy: QuotaPolicy,
}

/// How many records a quota pruned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneCounts {
    /// Acked records.
    pub acked: u64,
    /// Records that were never sent.
    pub unsent: u64,
}

impl PruneCounts {
    pub(crate) fn add(&mut self, more: Self) {
        self.acked += more.acked;
        self.unsent += more.unsent;
    }
}

impl Quota {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.max_bytes.unwrap_or(u64::MAX).to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.max_age.map_or(u64::MAX, whole_ms).to_le_bytes());
        bytes.push(self.policy as u8);
        with_seal(KEY, bytes)
    }

    /// `None` when the quota is damaged. With a policy that this version does not know there is no limit.
    fn decode(stored: &[u8]) -> Option<Self> {
        // The first versions stored no seal.
        let bytes = if stored.len() == UNSEALED { stored } else { without_seal(KEY, stored)? };
        let limit = |at| Some(u64::from_le_bytes(array(bytes, at))).filter(|limit| *limit != u64::MAX);
        let policy = bytes.get(16).and_then(|policy| QuotaPolicy::from_u8(*policy));
        Some(policy.map_or_else(Self::default, |policy| Self {
            max_bytes: limit(0),
            max_age: limit(8).map(Duration::from_millis),
            policy,
        }))
    }
}

/// How much one transaction may prune.
#[derive(Clone, Copy)]
struct Share {
    records: usize,
    bytes: u64,
    /// Only records that started before this.
    before: Millis,
}

/// Whether a stored quota is intact.
pub(crate) fn is_whole(stored: &[u8]) -> bool {
    Quota::decode(stored).is_some()
}

impl Store {
    /// The journal's quota. It has no limits when none was set, or when the stored one is damaged.
    pub fn quota(&self) -> Result<Quota> {
        self.db().read(|txn, trees| Ok(trees.meta.get(txn, KEY)?.and_then(Quota::decode).unwrap_or_default()))
    }

    /// Sets the journal's quota. Every later ingest applies it, in any process.
    pub fn set_quota(&self, quota: &Quota) -> Result<()> {
        self.db().in_room(|| self.db().write(|txn, trees| Ok(trees.meta.put(txn, KEY, &quota.encode())?)))
    }

    /// Prunes records beyond the quota. The caller holds the ingest lock.
    pub(crate) fn enforce_quota(&self) -> Result<PruneCounts> {
        let quota = self.quota()?;
        let mut total = PruneCounts::default();
        if let Some(age) = quota.max_age {
            let before = Millis::now() - age;
            let share = Share { records: BATCH, bytes: u64::MAX, before };
            let mut pace = Pace::new(BATCH);
            while self.prune_in_room(quota.policy, share, &mut pace, &mut total)? {}
        }
        self.prune_to_size(&quota, 0, &mut total)?;
        Ok(total)
    }

    /// Prunes records, so that `bytes` more are within the quota. The caller holds the ingest lock.
    pub(crate) fn prune_for(&self, bytes: u64) -> Result<PruneCounts> {
        let mut total = PruneCounts::default();
        self.prune_to_size(&self.quota()?, bytes, &mut total)?;
        Ok(total)
    }

    fn prune_to_size(&self, quota: &Quota, more: u64, total: &mut PruneCounts) -> Result<()> {
        let Some(max) = quota.max_bytes else { return Ok(()) };
        let mut pace = Pace::new(BATCH);
        loop {
            let over = self.db().sizes()?.1.saturating_add(more).saturating_sub(max);
            let share = Share { records: BATCH, bytes: over, before: Millis::MAX };
            if over == 0 || !self.prune_in_room(quota.policy, share, &mut pace, total)? {
                return Ok(());
            }
        }
    }

    /// Prunes in one transaction, on a full disk over fewer records. Returns whether it found something to prune.
    fn prune_in_room(
        &self,
        policy: QuotaPolicy,
        share: Share,
        pace: &mut Pace,
        total: &mut PruneCounts,
    ) -> Result<bool> {
        loop {
            let share = Share { records: pace.records(), ..share };
            let pruned = if share.records > 1 {
                self.prune(policy, share, total)
            } else {
                self.db().in_room(|| self.prune(policy, share, total))
            };
            match pruned {
                Ok(found) => {
                    pace.committed();
                    return Ok(found);
                }
                Err(error) => pace.failed(error)?,
            }
        }
    }

    /// Prunes in one transaction. Returns whether it found something to prune.
    fn prune(&self, policy: QuotaPolicy, share: Share, total: &mut PruneCounts) -> Result<bool> {
        let (pruned, requests) = self.db().write(|txn, trees| {
            // Nothing depends on a sent follow-up without a record.
            let requests = prune_requests(txn, trees, share.records, share.bytes, share.before)?;
            if requests > 0 {
                return Ok((PruneCounts::default(), requests));
            }
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let before = change.counts.clone();
            let mut left = share;
            let mut acked = prune_acked(&mut change, &mut left)?;
            if acked == 0 {
                // Where no file comes back, they are delivered as far as this journal can know.
                acked = prune_rested(&mut change, &mut left)?;
            }
            let takes_unsent = policy == QuotaPolicy::DropOldest && acked == 0;
            let unsent = if takes_unsent { prune_unsent(&mut change, &mut left)? } else { 0 };
            change.counts.pruned_acked += acked;
            change.counts.pruned_unsent += unsent;
            // A transaction that changes nothing costs no sync.
            if change.counts != before {
                change.finish()?;
            }
            Ok((PruneCounts { acked, unsent }, 0))
        })?;
        total.add(pruned);
        Ok(pruned != PruneCounts::default() || requests > 0)
    }
}

impl Share {
    fn is_used_up(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

fn prune_acked(change: &mut Change, left: &mut Share) -> Result<u64> {
    let (mut chosen, mut from) = (Vec::new(), None);
    let first = seq_key(change.counts.acked_from);
    for entry in change.trees.acks.range(change.txn, &(Bound::Included(&first[..]), Bound::Unbounded))? {
        let seq = tail_seq(entry?.0)?;
        let row = load(change.txn, change.trees, seq)?;
        if row.is_pruned() {
            continue;
        }
        if chosen.len() == left.records || row.id.made_at() >= left.before {
            from.get_or_insert(seq);
            break;
        }
        // The sink receives the record together with the request id.
        let key = callback_key(row.sink, seq);
        let waiting = change.trees.callbacks.get(change.txn, &key)?.map(|value| CallbackEntry::decode(&key, value));
        if waiting.transpose()?.is_some_and(|entry| !entry.is_dead()) {
            from.get_or_insert(seq);
        } else {
            chosen.push((seq, row));
        }
    }
    let (mut pruned, mut repeated) = (0, Vec::new());
    for (seq, row) in chosen {
        if left.is_used_up() {
            from = Some(from.map_or(seq, |from| from.min(seq)));
            break;
        }
        if is_repeated(change, seq, &row)? {
            repeated.push((seq, row));
            continue;
        }
        remove_acked(change, seq, row, left)?;
        pruned += 1;
    }
    for (seq, row) in repeated {
        if is_repeated(change, seq, &row)? {
            from = Some(from.map_or(seq, |from| from.min(seq)));
        } else {
            remove_acked(change, seq, row, left)?;
            pruned += 1;
        }
    }
    change.counts.acked_from = from.unwrap_or(change.counts.last_seq.next());
    Ok(pruned)
}

fn remove_acked(change: &mut Change, seq: Seq, mut row: StateRow, left: &mut Share) -> Result<()> {
    remove_content(change, seq, left)?;
    row.flags |= FLAG_PRUNED;
    change.save(seq, &row)
}

/// Prunes carried records that went out in as many exports as the setting of the journal has.
fn prune_rested(change: &mut Change, left: &mut Share) -> Result<u64> {
    let Some(setting) = one_way::setting(change.txn, change.trees)? else { return Ok(0) };
    let (mut chosen, mut from) = (Vec::new(), None);
    let (first, last) = (parked_key(State::InDoubt, setting.pruned_to), parked_key(State::InDoubt, Seq::MAX));
    let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    for entry in change.trees.parked.range(change.txn, &range)? {
        let seq = tail_seq(entry?.0)?;
        let row = load(change.txn, change.trees, seq)?;
        if row.is_pruned() {
            continue;
        }
        if chosen.len() == left.records || row.id.made_at() >= left.before {
            from.get_or_insert(seq);
            break;
        }
        let rests = row.custody() == Some(Custody::Carried)
            && carried::get(change.txn, change.trees, seq)?.went_out(setting.repeat)
            && !is_repeated(change, seq, &row)?;
        if rests {
            chosen.push((seq, row));
        } else {
            from.get_or_insert(seq);
        }
    }
    let mut pruned = 0;
    for (seq, row) in chosen {
        if left.is_used_up() {
            from = Some(from.map_or(seq, |from| from.min(seq)));
            break;
        }
        remove_acked(change, seq, row, left)?;
        pruned += 1;
    }
    if pruned > 0 {
        let pruned_to = from.unwrap_or(change.counts.last_seq.next());
        one_way::put(change.txn, change.trees, &one_way::OneWay { pruned_to, ..setting })?;
    }
    Ok(pruned)
}

/// Whether bodies of other records repeat the start of this root. They are pruned first.
fn is_repeated(change: &Change, seq: Seq, row: &StateRow) -> Result<bool> {
    Ok(row.is_run() && base::is_repeated(change.txn, change.trees, row.id, seq)?)
}

/// Prunes the oldest records that were not sent. Leased records and records in doubt stay: they may have arrived.
fn prune_unsent(change: &mut Change, left: &mut Share) -> Result<u64> {
    let mut seqs = Vec::new();
    for state in [State::Dead, State::Held] {
        let (first, last) = (parked_key(state, change.counts.parked_from), parked_key(state, Seq::MAX));
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        for entry in change.trees.parked.range(change.txn, &range)? {
            seqs.push(tail_seq(entry?.0)?);
        }
    }
    for entry in change.trees.outbox.iter(change.txn)? {
        seqs.push(tail_seq(entry?.0)?);
    }
    seqs.sort_unstable();
    let (mut pruned, mut repeated, mut parked_from) = (0, Vec::new(), change.counts.last_seq.next());
    for seq in seqs {
        let row = load(change.txn, change.trees, seq)?;
        if row.is_pruned() {
            continue;
        }
        if left.is_used_up() || row.id.made_at() >= left.before {
            parked_from = seq;
            break;
        }
        if is_repeated(change, seq, &row)? {
            repeated.push((seq, row));
            continue;
        }
        remove_content(change, seq, left)?;
        change.update(seq, mark_pruned)?;
        pruned += 1;
    }
    for (seq, row) in repeated {
        if is_repeated(change, seq, &row)? {
            parked_from = parked_from.min(seq);
        } else {
            remove_content(change, seq, left)?;
            change.update(seq, mark_pruned)?;
            pruned += 1;
        }
    }
    change.counts.parked_from = parked_from;
    Ok(pruned)
}

fn mark_pruned(row: &mut StateRow) {
    row.flags |= FLAG_PRUNED;
    if row.state == State::Pending {
        row.state = State::Dead;
        "never sent: the quota of the journal removed its content".clone_into(&mut row.last_error);
    }
}

/// Removes the bodies of a record, and its sent follow-ups.
fn remove_content(change: &mut Change, seq: Seq, left: &mut Share) -> Result<()> {
    for part in [PART_START, PART_END] {
        let key = record_key(seq, part);
        let Some(stored) = change.trees.records.get(change.txn, &key)? else { continue };
        let (raw, bytes) = (body::raw_len(stored), stored.len() as u64);
        change.trees.records.delete(change.txn, &key)?;
        change.counts.raw_bytes = change.counts.raw_bytes.saturating_sub(raw);
        change.counts.stored_bytes = change.counts.stored_bytes.saturating_sub(bytes);
        left.bytes = left.bytes.saturating_sub(bytes);
    }
    let sent = remove_sent(change.txn, change.trees, Queue::Record(seq))?;
    left.bytes = left.bytes.saturating_sub(sent);
    left.records = left.records.saturating_sub(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_reads_back_with_and_without_a_seal() {
        let quota = Quota { max_bytes: Some(7), max_age: None, policy: QuotaPolicy::DropOldest };
        let stored = quota.encode();
        assert_eq!(Quota::decode(&stored), Some(quota));
        assert_eq!(Quota::decode(&stored[..UNSEALED]), Some(quota));
        for at in 0..stored.len() {
            let mut flipped = stored.clone();
            flipped[at] ^= 1;
            assert_eq!(Quota::decode(&flipped), None);
        }
        assert_eq!(Quota::decode(&stored[..16]), None);
    }

    #[test]
    fn a_quota_with_an_unknown_or_missing_policy_has_no_limits() {
        let mut stored = Quota { max_bytes: Some(7), ..Quota::default() }.encode();
        stored.truncate(16);
        stored.push(9);
        assert_eq!(Quota::decode(&with_seal(KEY, stored)), Some(Quota::default()));
        assert_eq!(Quota::decode(&with_seal(KEY, Vec::new())), Some(Quota::default()));
    }
}
