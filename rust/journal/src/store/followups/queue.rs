//! The queue of one record, or of one request without a record, and its entry in the work list.
//!
//! This module keeps two invariants. A queue that may be sent is in the list of due queues exactly once, under the due time of its first
//! follow-up. Every dead follow-up is in the list of dead ones.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::entry::FollowUpEntry;
use crate::store::db::trees::{Trees, number_key, seq_key, with_seal, without_seal};
use crate::store::records::row::Ack;
use crate::{Error, Millis, RequestId, Result, Seq};

/// The key of a follow-up: kind u8 | record's seq or request id u64 | its number u64.
pub type FollowUpKey = [u8; 17];
/// A key of the work list.
pub(super) type WorkKey = [u8; 18];

const RECORD: u8 = 0;
const REQUEST: u8 = 1;
/// The list of due queues: due u64 | kind u8 | seq or request id u64.
const DUE: u8 = 0;
/// The list of dead follow-ups: the follow-up's whole key.
const DEAD: u8 = 1;

/// Follow-ups that are sent in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Queue {
    /// The follow-ups of a record, by its sequence number.
    Record(Seq),
    /// The follow-ups of a request that no record has.
    Request(RequestId),
}

impl Queue {
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let id = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
        match key[0] {
            RECORD => Some(Self::Record(Seq(id))),
            REQUEST => Some(Self::Request(RequestId(id))),
            _ => None,
        }
    }

    pub(crate) fn prefix(self) -> [u8; 9] {
        let (kind, id) = match self {
            Self::Record(Seq(seq)) => (RECORD, seq),
            Self::Request(RequestId(id)) => (REQUEST, id),
        };
        let mut prefix = [kind; 9];
        prefix[1..].copy_from_slice(&number_key(id));
        prefix
    }

    pub(crate) fn key(self, number: u64) -> FollowUpKey {
        let mut key = [0; 17];
        key[..9].copy_from_slice(&self.prefix());
        key[9..].copy_from_slice(&number_key(number));
        key
    }

    /// Whether the request id is known, so that follow-ups may be sent.
    pub(crate) fn is_released(self, txn: &RoTxn, trees: &Trees) -> Result<bool> {
        match self {
            Self::Record(seq) => {
                let key = seq_key(seq);
                let Some(stored) = trees.acks.get(txn, &key)? else { return Ok(false) };
                // A run that is not a call has no request id.
                Ok(without_seal(&key, stored).and_then(Ack::read).is_none_or(Ack::is_of_call))
            }
            Self::Request(_) => Ok(true),
        }
    }

    /// The follow-ups of the queue in order. One that cannot be read is left out, so it blocks no other; `check` reports it.
    pub(crate) fn entries(self, txn: &RoTxn, trees: &Trees) -> Result<Vec<(FollowUpKey, FollowUpEntry)>> {
        self.walk(txn, trees, |_| true)
    }

    /// The follow-ups that are not dead, up to the first that is not `wanted`.
    pub(crate) fn waiting(
        self,
        txn: &RoTxn,
        trees: &Trees,
        mut wanted: impl FnMut(&FollowUpEntry) -> bool,
    ) -> Result<Vec<(FollowUpKey, FollowUpEntry)>> {
        let mut found = self.walk(txn, trees, |entry| entry.is_dead || wanted(entry))?;
        found.retain(|(_, entry)| !entry.is_dead);
        Ok(found)
    }

    fn walk(
        self,
        txn: &RoTxn,
        trees: &Trees,
        mut wanted: impl FnMut(&FollowUpEntry) -> bool,
    ) -> Result<Vec<(FollowUpKey, FollowUpEntry)>> {
        let mut found = Vec::new();
        for stored in trees.followups.prefix_iter(txn, &self.prefix())? {
            let (key, value) = stored?;
            let (Ok(key), Ok(entry)) = (FollowUpKey::try_from(key), FollowUpEntry::decode(key, value)) else {
                continue;
            };
            if !wanted(&entry) {
                break;
            }
            found.push((key, entry));
        }
        Ok(found)
    }

    /// The key under which the work list must list the queue; `None` when nothing can be sent.
    pub(super) fn work_key(self, txn: &RoTxn, trees: &Trees) -> Result<Option<WorkKey>> {
        if !self.is_released(txn, trees)? {
            return Ok(None);
        }
        let mut first = true;
        let head = self.waiting(txn, trees, |_| std::mem::take(&mut first))?;
        Ok(head.first().map(|(_, entry)| self.due_key(entry.due)))
    }

    /// Changes follow-ups of the queue, or its request id, and updates its entry in the work list.
    pub(crate) fn change(
        self,
        txn: &mut RwTxn,
        trees: &Trees,
        edit: impl FnOnce(&mut RwTxn) -> Result<()>,
    ) -> Result<()> {
        let before = self.work_key(txn, trees)?;
        edit(txn)?;
        let after = self.work_key(txn, trees)?;
        if before != after {
            if let Some(key) = before {
                trees.followup_work.delete(txn, &key)?;
            }
            if let Some(key) = after {
                put_work(txn, trees, &key)?;
            }
        }
        Ok(())
    }

    fn due_key(self, due: Millis) -> WorkKey {
        let mut key = [DUE; 18];
        key[1..9].copy_from_slice(&number_key(due.0));
        key[9..].copy_from_slice(&self.prefix());
        key
    }
}

/// The queues of requests that no record has.
pub(super) fn bare(txn: &RoTxn, trees: &Trees) -> Result<Vec<Queue>> {
    let mut found = Vec::new();
    for entry in trees.followups.prefix_iter(txn, &[REQUEST])? {
        if let Some(queue) = Queue::of(entry?.0)
            && found.last() != Some(&queue)
        {
            found.push(queue);
        }
    }
    Ok(found)
}

/// Lists the queue of a record that has just got its request id.
pub(crate) fn release(txn: &mut RwTxn, trees: &Trees, seq: Seq) -> Result<()> {
    if let Some(key) = Queue::Record(seq).work_key(txn, trees)? {
        put_work(txn, trees, &key)?;
    }
    Ok(())
}

/// Stores a new or changed follow-up. For use within [`Queue::change`].
pub(crate) fn put(txn: &mut RwTxn, trees: &Trees, key: &FollowUpKey, entry: &FollowUpEntry) -> Result<()> {
    trees.followups.put(txn, key, &entry.encode(key))?;
    if entry.is_dead {
        put_work(txn, trees, &dead_key(key))?;
    } else {
        trees.followup_work.delete(txn, &dead_key(key))?;
    }
    Ok(())
}

/// Removes a follow-up. For use within [`Queue::change`].
pub(super) fn remove(txn: &mut RwTxn, trees: &Trees, key: &FollowUpKey) -> Result<()> {
    trees.followups.delete(txn, key)?;
    trees.followup_work.delete(txn, &dead_key(key))?;
    Ok(())
}

/// Up to `limit` entries of the work list that are due at `last` or before, each with its queue.
pub(super) fn due(txn: &RoTxn, trees: &Trees, last: Millis, limit: usize) -> Result<Vec<(WorkKey, Queue)>> {
    let (first, mut last_key) = ([DUE; 9], [0xff; 18]);
    last_key[0] = DUE;
    last_key[1..9].copy_from_slice(&number_key(last.0));
    let range = (Bound::Included(&first[..]), Bound::Included(&last_key[..]));
    let entries = trees.followup_work.range(txn, &range)?.take(limit);
    entries
        .map(|entry| {
            let key = WorkKey::try_from(entry?.0).map_err(|_| malformed())?;
            Ok((key, Queue::of(&key[9..]).ok_or_else(malformed)?))
        })
        .collect()
}

/// When the first queue is due.
pub(super) fn first_due(txn: &RoTxn, trees: &Trees) -> Result<Option<Millis>> {
    let first = due(txn, trees, Millis::MAX, 1)?;
    Ok(first.first().and_then(|(key, _)| key[1..9].try_into().ok()).map(u64::from_be_bytes).map(Millis))
}

/// Up to `limit` keys of dead follow-ups, of one queue or of all.
pub(super) fn dead_keys(txn: &RoTxn, trees: &Trees, of: Option<Queue>, limit: usize) -> Result<Vec<FollowUpKey>> {
    let mut prefix = vec![DEAD];
    prefix.extend(of.map(Queue::prefix).into_iter().flatten());
    let entries = trees.followup_work.prefix_iter(txn, &prefix)?.take(limit);
    entries.map(|entry| entry?.0[1..].try_into().map_err(|_| malformed())).collect()
}

pub(super) fn is_listed_dead(txn: &RoTxn, trees: &Trees, key: &FollowUpKey) -> Result<bool> {
    Ok(trees.followup_work.get(txn, &dead_key(key))?.is_some())
}

pub(super) fn put_work(txn: &mut RwTxn, trees: &Trees, key: &WorkKey) -> Result<()> {
    Ok(trees.followup_work.put(txn, key, &with_seal(key, Vec::new()))?)
}

/// The first and the last possible key of a dead follow-up.
pub(super) fn dead_range() -> (WorkKey, WorkKey) {
    let mut last = [0xff; 18];
    last[0] = DEAD;
    (dead_key(&[0; 17]), last)
}

pub(super) fn dead_key(key: &FollowUpKey) -> WorkKey {
    let mut dead = [DEAD; 18];
    dead[1..].copy_from_slice(key);
    dead
}

fn malformed() -> Error {
    Error::Corrupt("an entry of the follow-ups' work list is malformed".into())
}
