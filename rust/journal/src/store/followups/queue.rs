//! The queue of one record, or of one bare request id, and where it stands in the work list.
//!
//! The invariant kept here: a queue that may be sent stands in the list of what is due exactly once, at the moment its first
//! follow-up is due; and every dead follow-up stands in the list of those.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::entry::Entry;
use crate::store::db::tables::{Tables, sealed, seq_key};
use crate::{Error, Result};

/// The key of a follow-up: kind u8 | record's seq or request id u64 | its number u64.
pub type FollowUpKey = [u8; 17];
/// A key of the work list.
pub(super) type WorkKey = [u8; 18];

const RECORD: u8 = 0;
const REQUEST: u8 = 1;
/// due u64 | kind u8 | seq or request id u64
const DUE: u8 = 0;
/// A follow-up's whole key.
const DEAD: u8 = 1;

/// Follow-ups that are sent one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Queue {
    /// Of a record of the journal, by its sequence number.
    Record(u64),
    /// Of a request that the journal does not know.
    Request(u64),
}

impl Queue {
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let id = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
        match key[0] {
            RECORD => Some(Self::Record(id)),
            REQUEST => Some(Self::Request(id)),
            _ => None,
        }
    }

    pub(crate) fn prefix(self) -> [u8; 9] {
        let (kind, id) = match self {
            Self::Record(seq) => (RECORD, seq),
            Self::Request(id) => (REQUEST, id),
        };
        let mut prefix = [kind; 9];
        prefix[1..].copy_from_slice(&id.to_be_bytes());
        prefix
    }

    pub(crate) fn key(self, number: u64) -> FollowUpKey {
        let mut key = [0; 17];
        key[..9].copy_from_slice(&self.prefix());
        key[9..].copy_from_slice(&number.to_be_bytes());
        key
    }

    /// Whether there is a request to follow up.
    pub(crate) fn is_released(self, txn: &RoTxn, tables: &Tables) -> Result<bool> {
        match self {
            Self::Record(seq) => Ok(tables.acks.get(txn, &seq_key(seq))?.is_some()),
            Self::Request(_) => Ok(true),
        }
    }

    /// Its follow-ups in order. One that cannot be read holds up no other: it is left out here, and told by `check`.
    pub(crate) fn entries(self, txn: &RoTxn, tables: &Tables) -> Result<Vec<(FollowUpKey, Entry)>> {
        self.walk(txn, tables, |_| true)
    }

    /// Those that wait, from the first on, as long as `wanted`.
    pub(crate) fn waiting(
        self,
        txn: &RoTxn,
        tables: &Tables,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Result<Vec<(FollowUpKey, Entry)>> {
        let mut found = self.walk(txn, tables, |entry| entry.is_dead || wanted(entry))?;
        found.retain(|(_, entry)| !entry.is_dead);
        Ok(found)
    }

    fn walk(
        self,
        txn: &RoTxn,
        tables: &Tables,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Result<Vec<(FollowUpKey, Entry)>> {
        let mut found = Vec::new();
        for stored in tables.followups.prefix_iter(txn, &self.prefix())? {
            let (key, value) = stored?;
            let (Ok(key), Ok(entry)) = (FollowUpKey::try_from(key), Entry::decode(key, value)) else { continue };
            if !wanted(&entry) {
                break;
            }
            found.push((key, entry));
        }
        Ok(found)
    }

    /// The place in the work list where it belongs.
    pub(super) fn listing(self, txn: &RoTxn, tables: &Tables) -> Result<Option<WorkKey>> {
        if !self.is_released(txn, tables)? {
            return Ok(None);
        }
        let mut first = true;
        let head = self.waiting(txn, tables, |_| std::mem::take(&mut first))?;
        Ok(head.first().map(|(_, entry)| self.due_key(entry.due)))
    }

    /// Changes follow-ups of the queue, and moves it in the work list as that asks.
    pub(super) fn change(
        self,
        txn: &mut RwTxn,
        tables: &Tables,
        edit: impl FnOnce(&mut RwTxn) -> Result<()>,
    ) -> Result<()> {
        let before = self.listing(txn, tables)?;
        edit(txn)?;
        let after = self.listing(txn, tables)?;
        if before != after {
            if let Some(key) = before {
                tables.followup_work.delete(txn, &key)?;
            }
            if let Some(key) = after {
                put_work(txn, tables, &key)?;
            }
        }
        Ok(())
    }

    fn due_key(self, due: u64) -> WorkKey {
        let mut key = [DUE; 18];
        key[1..9].copy_from_slice(&due.to_be_bytes());
        key[9..].copy_from_slice(&self.prefix());
        key
    }
}

/// Brings the queue of a record, which has its request id since a moment ago, into the work list.
pub(crate) fn release(txn: &mut RwTxn, tables: &Tables, seq: u64) -> Result<()> {
    if let Some(key) = Queue::Record(seq).listing(txn, tables)? {
        put_work(txn, tables, &key)?;
    }
    Ok(())
}

/// Stores a follow-up, new or changed. Called within [`Queue::change`].
pub(crate) fn put(txn: &mut RwTxn, tables: &Tables, key: &FollowUpKey, entry: &Entry) -> Result<()> {
    tables.followups.put(txn, key, &entry.encode(key))?;
    if entry.is_dead {
        put_work(txn, tables, &dead_key(key))?;
    } else {
        tables.followup_work.delete(txn, &dead_key(key))?;
    }
    Ok(())
}

/// Removes a follow-up. Called within [`Queue::change`].
pub(super) fn remove(txn: &mut RwTxn, tables: &Tables, key: &FollowUpKey) -> Result<()> {
    tables.followups.delete(txn, key)?;
    tables.followup_work.delete(txn, &dead_key(key))?;
    Ok(())
}

/// Up to `limit` entries of the work list that are due at `last` or before, with the queues they lead to.
pub(super) fn due(txn: &RoTxn, tables: &Tables, last: u64, limit: usize) -> Result<Vec<(WorkKey, Queue)>> {
    let (first, mut last_key) = ([DUE; 9], [0xff; 18]);
    last_key[0] = DUE;
    last_key[1..9].copy_from_slice(&last.to_be_bytes());
    let range = (Bound::Included(&first[..]), Bound::Included(&last_key[..]));
    let entries = tables.followup_work.range(txn, &range)?.take(limit);
    entries
        .map(|entry| {
            let key = WorkKey::try_from(entry?.0).map_err(|_| malformed())?;
            Ok((key, Queue::of(&key[9..]).ok_or_else(malformed)?))
        })
        .collect()
}

/// When the first queue is due.
pub(super) fn first_due(txn: &RoTxn, tables: &Tables) -> Result<Option<u64>> {
    let first = due(txn, tables, u64::MAX, 1)?;
    Ok(first.first().and_then(|(key, _)| key[1..9].try_into().ok()).map(u64::from_be_bytes))
}

/// Up to `limit` keys of dead follow-ups: of one queue, or of all.
pub(super) fn dead(txn: &RoTxn, tables: &Tables, of: Option<Queue>, limit: usize) -> Result<Vec<FollowUpKey>> {
    let mut prefix = vec![DEAD];
    prefix.extend(of.map(Queue::prefix).into_iter().flatten());
    let entries = tables.followup_work.prefix_iter(txn, &prefix)?.take(limit);
    entries.map(|entry| entry?.0[1..].try_into().map_err(|_| malformed())).collect()
}

pub(super) fn is_listed_dead(txn: &RoTxn, tables: &Tables, key: &FollowUpKey) -> Result<bool> {
    Ok(tables.followup_work.get(txn, &dead_key(key))?.is_some())
}

pub(super) fn put_work(txn: &mut RwTxn, tables: &Tables, key: &WorkKey) -> Result<()> {
    Ok(tables.followup_work.put(txn, key, &sealed(key, Vec::new()))?)
}

fn dead_key(key: &FollowUpKey) -> WorkKey {
    let mut dead = [DEAD; 18];
    dead[1..].copy_from_slice(key);
    dead
}

fn malformed() -> Error {
    Error::Corrupt("an entry of the follow-ups' work list is malformed".into())
}
