//! Follow-ups that `PromptLayer` has. They are kept for their readers, until the quota removes the content of their record.
//!
//! A follow-up has one key. It is either in `followups` or in `followups_sent`.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::entry::{FIXED, FollowUpEntry, Op, SENT};
use super::queue::{FollowUpKey, Queue, put, remove};
use super::{FollowUp, FollowUpState, Target, find, stored, targets};
use crate::frame::array;
use crate::store::Store;
use crate::store::db::trees::{Trees, with_seal, without_seal};
use crate::store::records::transition::{Change, load};
use crate::store::servers;
use crate::{Error, Millis, Result};

/// A follow-up that was sent, and the response of `PromptLayer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentFollowUp {
    /// The follow-up.
    pub key: FollowUpKey,
    /// The HTTP status of the response; 0 when it is unknown.
    pub status: u16,
}

/// The stored value of a follow-up that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentEntry {
    pub(crate) op: Op,
    pub(crate) status: u16,
    pub(crate) attempts: u32,
    pub(crate) sent_at: Millis,
    pub(crate) queued_at: Millis,
    pub(crate) payload: Vec<u8>,
}

impl SentEntry {
    fn of(entry: FollowUpEntry, status: u16, sent_at: Millis) -> Self {
        let FollowUpEntry { op, attempts, queued_at, payload, .. } = entry;
        Self { op, status, attempts, sent_at, queued_at, payload }
    }

    /// The stored form: 2 u8 | op u8 | status u16 | failed attempts u32 | sent u64 | queued u64, then the payload and the seal.
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.payload.len() + 4);
        bytes.extend_from_slice(&[SENT, self.op as u8]);
        bytes.extend_from_slice(&self.status.to_le_bytes());
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        bytes.extend_from_slice(&self.sent_at.0.to_le_bytes());
        bytes.extend_from_slice(&self.queued_at.0.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        with_seal(key, bytes)
    }

    pub(crate) fn decode(key: &[u8], stored: &[u8]) -> Result<Self> {
        let damaged = || Error::Corrupt("a sent follow-up does not match its checksum, or is malformed".into());
        let bytes = without_seal(key, stored).filter(|bytes| bytes.len() >= FIXED).ok_or_else(damaged)?;
        Ok(Self {
            op: Some(bytes[0]).filter(|state| *state == SENT).and(Op::from_u8(bytes[1])).ok_or_else(damaged)?,
            status: u16::from_le_bytes(array(bytes, 2)),
            attempts: u32::from_le_bytes(array(bytes, 4)),
            sent_at: Millis(u64::from_le_bytes(array(bytes, 8))),
            queued_at: Millis(u64::from_le_bytes(array(bytes, 16))),
            payload: bytes[FIXED..].to_vec(),
        })
    }
}

impl Store {
    /// Stores that `PromptLayer` has these follow-ups since `now`. A missing one is skipped. A record whose content the quota removed
    /// keeps none.
    pub fn followups_done(&self, done: &[SentFollowUp], now: Millis) -> Result<()> {
        if done.is_empty() {
            return Ok(());
        }
        self.db().write(|txn, trees| {
            servers::note_use(txn, trees, now)?;
            for SentFollowUp { key, status } in done {
                store_sent(txn, trees, key, *status, now)?;
            }
            Ok(())
        })
    }

    /// Makes the sent follow-ups of a record or request wait again, due now. Returns how many.
    pub fn resend_followups(&self, target: Target) -> Result<u64> {
        self.db().write(|txn, trees| find(txn, trees, target)?.map_or(Ok(0), |queue| resend(txn, trees, queue)))
    }

    /// The sent follow-ups of a record or request, in order.
    pub fn sent_followups(&self, target: Target) -> Result<Vec<FollowUp>> {
        self.db().read(|txn, trees| {
            let Some(queue) = find(txn, trees, target)? else { return Ok(Vec::new()) };
            entries(txn, trees, queue)?.into_iter().map(|(key, entry)| read(txn, trees, queue, key, entry)).collect()
        })
    }
}

/// The sent follow-ups of a queue in order. One that cannot be read is left out; `check` reports it.
pub(super) fn entries(txn: &RoTxn, trees: &Trees, queue: Queue) -> Result<Vec<(FollowUpKey, SentEntry)>> {
    let mut found = Vec::new();
    for stored in trees.followups_sent.prefix_iter(txn, &queue.prefix())? {
        let (key, value) = stored?;
        if let (Ok(key), Ok(entry)) = (FollowUpKey::try_from(key), SentEntry::decode(key, value)) {
            found.push((key, entry));
        }
    }
    Ok(found)
}

pub(super) fn read(txn: &RoTxn, trees: &Trees, queue: Queue, key: FollowUpKey, entry: SentEntry) -> Result<FollowUp> {
    let (record, request) = targets(txn, trees, queue)?;
    Ok(FollowUp {
        key,
        op: entry.op,
        payload: entry.payload,
        record,
        request,
        state: FollowUpState::Sent { at: entry.sent_at, status: entry.status },
        attempts: entry.attempts,
        due: Millis::EPOCH,
        queued_at: entry.queued_at,
        last_error: String::new(),
    })
}

/// Makes a follow-up a sent one. Returns whether there is one under this key that was not sent.
pub(crate) fn store_sent(txn: &mut RwTxn, trees: &Trees, key: &FollowUpKey, status: u16, now: Millis) -> Result<bool> {
    let (Some(queue), Some(entry)) = (Queue::of(key), stored(txn, trees, key)?) else { return Ok(false) };
    queue.change(txn, trees, |txn| remove(txn, trees, key))?;
    if !is_pruned(txn, trees, queue) {
        put_sent(txn, trees, key, &SentEntry::of(entry, status, now))?;
    }
    Ok(true)
}

/// Stores a sent follow-up. Its key must not be in `followups`.
pub(crate) fn put_sent(txn: &mut RwTxn, trees: &Trees, key: &FollowUpKey, entry: &SentEntry) -> Result<()> {
    Ok(trees.followups_sent.put(txn, key, &entry.encode(key))?)
}

/// Stores the sent follow-ups of a queue. For salvage.
pub(crate) fn restore_sent<'e>(
    change: &mut Change,
    queue: Queue,
    entries: impl Iterator<Item = (u64, &'e SentEntry)>,
) -> Result<u64> {
    let mut restored = 0;
    for (number, entry) in entries {
        put_sent(change.txn, change.trees, &queue.key(number), entry)?;
        change.counts.last_followup = change.counts.last_followup.max(number);
        restored += 1;
    }
    Ok(restored)
}

/// Removes the sent follow-ups of a queue, and returns their bytes.
pub(crate) fn remove_sent(txn: &mut RwTxn, trees: &Trees, queue: Queue) -> Result<u64> {
    let mut sent = Vec::new();
    for stored in trees.followups_sent.prefix_iter(txn, &queue.prefix())? {
        let (key, value) = stored?;
        sent.push((key.to_vec(), value.len() as u64));
    }
    for (key, _) in &sent {
        trees.followups_sent.delete(txn, key)?;
    }
    Ok(sent.iter().map(|(_, bytes)| bytes).sum())
}

/// Makes the sent follow-ups of a queue wait again, for a record that is sent again to another server. Returns how many.
pub(crate) fn resend(txn: &mut RwTxn, trees: &Trees, queue: Queue) -> Result<u64> {
    let sent = entries(txn, trees, queue)?;
    queue.change(txn, trees, |txn| {
        for (key, entry) in &sent {
            trees.followups_sent.delete(txn, key)?;
            let SentEntry { op, queued_at, payload, .. } = entry.clone();
            let (due, last_error) = (Millis::EPOCH, String::new());
            let waiting = FollowUpEntry { is_dead: false, op, attempts: 0, due, queued_at, last_error, payload };
            put(txn, trees, key, &waiting)?;
        }
        Ok(())
    })?;
    Ok(sent.len() as u64)
}

/// Removes sent follow-ups of requests without a record, from the lowest request id on, and returns how many. It removes at most `limit`
/// follow-ups and about `bytes` bytes. It stops at the first follow-up that was sent at `before` or later.
pub(crate) fn prune_requests(txn: &mut RwTxn, trees: &Trees, limit: usize, bytes: u64, before: Millis) -> Result<u64> {
    let (mut chosen, mut left) = (Vec::new(), bytes);
    let first = Queue::Request(crate::RequestId(0)).prefix();
    for stored in trees.followups_sent.range(txn, &(Bound::Included(&first[..]), Bound::Unbounded))?.take(limit) {
        let (key, value) = stored?;
        // A damaged one has no time.
        let is_later = SentEntry::decode(key, value).is_ok_and(|entry| entry.sent_at >= before);
        if left == 0 || is_later {
            break;
        }
        left = left.saturating_sub(value.len() as u64);
        chosen.push(key.to_vec());
    }
    for key in &chosen {
        trees.followups_sent.delete(txn, key)?;
    }
    Ok(chosen.len() as u64)
}

fn is_pruned(txn: &RoTxn, trees: &Trees, queue: Queue) -> bool {
    matches!(queue, Queue::Record(seq) if load(txn, trees, seq).is_ok_and(|row| row.is_pruned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sent_entry_reads_back_and_is_no_waiting_one() {
        let (op, sent_at, queued_at) = (Op::Score, Millis(7), Millis(5));
        let entry = SentEntry { op, status: 201, attempts: 3, sent_at, queued_at, payload: b"{}".to_vec() };
        let stored = entry.encode(b"key");
        assert_eq!(SentEntry::decode(b"key", &stored).unwrap(), entry);
        assert!(SentEntry::decode(b"kez", &stored).is_err());
        assert!(FollowUpEntry::decode(b"key", &stored).is_err());
        let (due, last_error, payload) = (sent_at, String::new(), entry.payload);
        let waiting = FollowUpEntry { is_dead: true, op, attempts: 3, due, queued_at, last_error, payload };
        assert!(SentEntry::decode(b"key", &waiting.encode(b"key")).is_err());
    }
}
