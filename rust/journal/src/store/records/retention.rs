//! Retention: how much a journal may hold, and what goes first when it holds more.
//!
//! A record that goes loses its bodies. Its id, its labels, its state and its ack stay, so that a request id is found for ever and a
//! repeated event is still known for what it is. Nothing is removed unless a quota is set.

use std::ops::Bound;

use super::payload;
use super::row::StateRow;
use super::transition::{Change, load};
use crate::frame::array;
use crate::state::{FLAG_PRUNED, State};
use crate::store::Store;
use crate::store::callbacks::Entry;
use crate::store::db::tables::{
    PART_END, PART_START, callback_key, parked_key, record_key, sealed, seq_key, tail_seq, unsealed,
};
use crate::{Result, ids};

pub(crate) const KEY: &[u8] = b"quota";
/// Bytes of a quota without a seal.
const UNSEALED: usize = 17;
/// Records pruned in one transaction.
const BATCH: usize = 1000;

/// What may be removed when a journal is over its quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Bodies of acked records, the oldest first. What was not sent stays, whatever the quota says.
    #[default]
    KeepUnsent = 0,
    /// When that is not enough, the oldest records that wait, were refused or are held. Each becomes dead and is counted.
    DropOldest = 1,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::KeepUnsent, Self::DropOldest];

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
    /// Bytes of the store's pages in use; `None`: no limit.
    pub max_bytes: Option<u64>,
    /// Milliseconds since a record began; `None`: no limit.
    pub max_age_ms: Option<u64>,
    /// What goes first.
    pub policy: Policy,
}

/// What enforcing a quota removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Acked records that lost their bodies.
    pub acked: u64,
    /// Records never sent that did.
    pub unsent: u64,
}

impl Quota {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.max_bytes.unwrap_or(u64::MAX).to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.max_age_ms.unwrap_or(u64::MAX).to_le_bytes());
        bytes.push(self.policy as u8);
        sealed(KEY, bytes)
    }

    /// `None` when it is damaged. Under a policy this version does not know nothing is removed.
    fn decode(stored: &[u8]) -> Option<Self> {
        // The first versions set no seal.
        let bytes = if stored.len() == UNSEALED { stored } else { unsealed(KEY, stored)? };
        let limit = |at| Some(u64::from_le_bytes(array(bytes, at))).filter(|limit| *limit != u64::MAX);
        let policy = Policy::ALL.into_iter().find(|policy| Some(*policy as u8) == bytes.get(16).copied());
        Some(policy.map_or_else(Self::default, |policy| Self { max_bytes: limit(0), max_age_ms: limit(8), policy }))
    }
}

/// What a transaction may remove, at most.
#[derive(Clone, Copy)]
struct Share {
    records: usize,
    bytes: u64,
    /// Records that began before this, in milliseconds since the epoch.
    before_ms: u64,
}

/// Whether a stored quota is as it was set.
pub(crate) fn is_whole(stored: &[u8]) -> bool {
    Quota::decode(stored).is_some()
}

impl Store {
    /// The journal's quota; without limits unless one was set, and where what was set is damaged.
    pub fn quota(&self) -> Result<Quota> {
        self.db().read(|txn, tables| Ok(tables.meta.get(txn, KEY)?.and_then(Quota::decode).unwrap_or_default()))
    }

    /// Sets the journal's quota, for every process that ingests from now on.
    pub fn set_quota(&self, quota: &Quota) -> Result<()> {
        self.db().write(|txn, tables| Ok(tables.meta.put(txn, KEY, &quota.encode())?))
    }

    /// Removes what the quota does not allow. Called with the ingest lock held.
    pub(crate) fn enforce_quota(&self) -> Result<Pruned> {
        let quota = self.quota()?;
        let mut total = Pruned::default();
        if let Some(age) = quota.max_age_ms {
            let before_ms = ids::now_ms().saturating_sub(age);
            while self.prune(quota.policy, Share { records: BATCH, bytes: u64::MAX, before_ms }, &mut total)? {}
        }
        if let Some(max) = quota.max_bytes {
            loop {
                let over = self.db().sizes()?.1.saturating_sub(max);
                let share = Share { records: BATCH, bytes: over, before_ms: u64::MAX };
                if over == 0 || !self.prune(quota.policy, share, &mut total)? {
                    break;
                }
            }
        }
        Ok(total)
    }

    /// One transaction's worth; whether it found anything.
    fn prune(&self, policy: Policy, share: Share, total: &mut Pruned) -> Result<bool> {
        let pruned = self.db().write(|txn, tables| {
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            let before = change.counts.clone();
            let mut left = share;
            let acked = prune_acked(&mut change, &mut left)?;
            let unsent =
                if policy == Policy::DropOldest && acked == 0 { drop_unsent(&mut change, &mut left)? } else { 0 };
            change.counts.pruned += acked;
            change.counts.dropped += unsent;
            // A transaction that changes nothing costs no sync.
            if change.counts != before {
                change.finish()?;
            }
            Ok(Pruned { acked, unsent })
        })?;
        total.acked += pruned.acked;
        total.unsent += pruned.unsent;
        Ok(pruned != Pruned::default())
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
    for entry in change.tables.acks.range(change.txn, &(Bound::Included(&first[..]), Bound::Unbounded))? {
        let seq = tail_seq(entry?.0)?;
        let row = load(change.txn, change.tables, seq)?;
        if row.is_pruned() {
            continue;
        }
        if chosen.len() == left.records || row.id.unix_ms() >= left.before_ms {
            from.get_or_insert(seq);
            break;
        }
        // Its sink may ask for the record together with the request id.
        let key = callback_key(row.sink, seq);
        let waiting = change.tables.callbacks.get(change.txn, &key)?.map(|value| Entry::decode(&key, value));
        if waiting.transpose()?.is_some_and(|entry| !entry.is_dead()) {
            from.get_or_insert(seq);
        } else {
            chosen.push((seq, row));
        }
    }
    let mut pruned = 0;
    for (seq, mut row) in chosen {
        if left.is_used_up() {
            from = Some(from.map_or(seq, |from| from.min(seq)));
            break;
        }
        remove_bodies(change, seq, left)?;
        row.flags |= FLAG_PRUNED;
        change.save(seq, &row)?;
        pruned += 1;
    }
    change.counts.acked_from = from.unwrap_or(change.counts.last_seq + 1);
    Ok(pruned)
}

/// Drops the oldest records of those that are not on their way: records that are leased or in doubt may have arrived.
fn drop_unsent(change: &mut Change, left: &mut Share) -> Result<u64> {
    let mut seqs = Vec::new();
    for state in [State::Dead, State::Held] {
        let (first, last) = (parked_key(state, change.counts.parked_from), parked_key(state, u64::MAX));
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        for entry in change.tables.parked.range(change.txn, &range)? {
            seqs.push(tail_seq(entry?.0)?);
        }
    }
    for entry in change.tables.outbox.iter(change.txn)? {
        seqs.push(tail_seq(entry?.0)?);
    }
    seqs.sort_unstable();
    let (mut dropped, mut parked_from) = (0, change.counts.last_seq + 1);
    for seq in seqs {
        let row = load(change.txn, change.tables, seq)?;
        if row.is_pruned() {
            continue;
        }
        if left.is_used_up() || row.id.unix_ms() >= left.before_ms {
            parked_from = seq;
            break;
        }
        remove_bodies(change, seq, left)?;
        change.update(seq, drop_row)?;
        dropped += 1;
    }
    change.counts.parked_from = parked_from;
    Ok(dropped)
}

fn drop_row(row: &mut StateRow) {
    row.flags |= FLAG_PRUNED;
    if row.state == State::Pending {
        row.state = State::Dead;
        "never sent: the quota of the journal removed what it held".clone_into(&mut row.last_error);
    }
}

fn remove_bodies(change: &mut Change, seq: u64, left: &mut Share) -> Result<()> {
    for part in [PART_START, PART_END] {
        let key = record_key(seq, part);
        let Some(stored) = change.tables.records.get(change.txn, &key)? else { continue };
        let (raw, bytes) = (payload::raw_len(stored), stored.len() as u64);
        change.tables.records.delete(change.txn, &key)?;
        change.counts.raw_bytes = change.counts.raw_bytes.saturating_sub(raw);
        change.counts.stored_bytes = change.counts.stored_bytes.saturating_sub(bytes);
        left.bytes = left.bytes.saturating_sub(bytes);
    }
    left.records = left.records.saturating_sub(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_reads_back_with_its_seal_and_from_before_there_was_one() {
        let quota = Quota { max_bytes: Some(7), max_age_ms: None, policy: Policy::DropOldest };
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
    fn under_an_unknown_policy_nothing_is_removed() {
        let mut stored = Quota { max_bytes: Some(7), ..Quota::default() }.encode();
        stored.truncate(16);
        stored.push(9);
        assert_eq!(Quota::decode(&sealed(KEY, stored)), Some(Quota::default()));
    }
}
