//! Lists the follow-ups of a state, the newest records first.

use std::ops::Bound;

use heed::RoTxn;

use super::entry::FollowUpEntry;
use super::queue::{FollowUpKey, Queue, dead_key, dead_range};
use super::{FollowUp, SentEntry, read, sent, stored};
use crate::Result;
use crate::store::Store;
use crate::store::db::trees::{Tree, Trees};

/// A state whose follow-ups can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedState {
    /// Follow-ups that wait.
    Waiting,
    /// Follow-ups that `PromptLayer` refused.
    Dead,
    /// Follow-ups that `PromptLayer` has.
    Sent,
}

impl ListedState {
    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "pending" => Some(Self::Waiting),
            "dead" => Some(Self::Dead),
            "sent" => Some(Self::Sent),
            _ => None,
        }
    }
}

impl Store {
    /// Up to `limit` follow-ups of a state: first of bare requests, then of records, the newest first. `before` is the key of the last one
    /// that the caller has.
    pub fn list_followups(
        &self,
        state: ListedState,
        before: Option<FollowUpKey>,
        limit: usize,
    ) -> Result<Vec<FollowUp>> {
        self.db().read(|txn, trees| match state {
            ListedState::Waiting => list(txn, trees.followups, before, limit, |key, value| {
                let Some((queue, entry)) = Queue::of(&key).zip(FollowUpEntry::decode(&key, value).ok()) else {
                    return Ok(None);
                };
                (!entry.is_dead).then(|| read(txn, trees, queue, key, entry)).transpose()
            }),
            ListedState::Sent => list(txn, trees.followups_sent, before, limit, |key, value| {
                let Some((queue, entry)) = Queue::of(&key).zip(SentEntry::decode(&key, value).ok()) else {
                    return Ok(None);
                };
                sent::read(txn, trees, queue, key, entry).map(Some)
            }),
            ListedState::Dead => list_dead(txn, trees, before, limit),
        })
    }
}

/// Walks a tree backwards, and leaves out entries without a result.
fn list(
    txn: &RoTxn,
    tree: Tree,
    before: Option<FollowUpKey>,
    limit: usize,
    read: impl Fn(FollowUpKey, &[u8]) -> Result<Option<FollowUp>>,
) -> Result<Vec<FollowUp>> {
    let mut found = Vec::new();
    let end = before.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
    for entry in tree.rev_range(txn, &(Bound::Unbounded, end))? {
        if found.len() == limit {
            break;
        }
        let (key, value) = entry?;
        // `check` reports an entry that cannot be read.
        if let Ok(key) = FollowUpKey::try_from(key) {
            found.extend(read(key, value)?);
        }
    }
    Ok(found)
}

fn list_dead(txn: &RoTxn, trees: &Trees, before: Option<FollowUpKey>, limit: usize) -> Result<Vec<FollowUp>> {
    let mut found = Vec::new();
    let (first, last) = dead_range();
    let before = before.as_ref().map(dead_key);
    let end = before.as_ref().map_or(Bound::Included(&last[..]), |key| Bound::Excluded(&key[..]));
    for entry in trees.followup_work.rev_range(txn, &(Bound::Included(&first[..]), end))? {
        if found.len() == limit {
            break;
        }
        let Ok(key) = FollowUpKey::try_from(&entry?.0[1..]) else { continue };
        if let (Some(queue), Some(entry)) = (Queue::of(&key), stored(txn, trees, &key)?) {
            found.push(read(txn, trees, queue, key, entry)?);
        }
    }
    Ok(found)
}
