//! Follow-ups that cross an air gap: out from an origin, and into the queues of a hub.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::hubs::HubNumber;
use super::{FollowUpId, carried, one_way};
use crate::state::{CallEnd, State};
use crate::store::Store;
use crate::store::db::trees::{Tree, Trees, tail_seq, with_seal, without_seal};
use crate::store::followups::queue::{FollowUpKey, Queue, put};
use crate::store::followups::{self, FollowUp, FollowUpEntry, Op};
use crate::store::outbox::acking;
use crate::store::records::transition::{Change, load};
use crate::{Millis, RecordId, RequestId, Result, Seq};

/// A key of `hubs`, at an origin: the follow-up of an id in bundles.
pub(super) const OUT: u8 = b'f';
/// A key of `returns`, at a hub: a follow-up that the log has still to report.
pub(super) const WAITING: u8 = b'u';
/// A key of `returns`, at a hub: a follow-up that the log has reported.
pub(super) const REPORTED: u8 = b'v';

/// A follow-up that may go into a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingFollowUp {
    /// The follow-up. Its record is known.
    pub followup: FollowUp,
    /// The record.
    pub record: RecordId,
}

/// A follow-up of a bundle, at the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedFollowUp {
    /// Its id in bundles.
    pub id: FollowUpId,
    /// The record.
    pub record: RecordId,
    /// The request id, where the origin has it.
    pub request: Option<RequestId>,
    /// The operation.
    pub op: Op,
    /// When it was queued at the origin.
    pub queued_at: Millis,
    /// The operation's arguments as JSON.
    pub payload: Vec<u8>,
}

impl Store {
    /// The waiting follow-ups for a hub after a key, up to `limit`, and the key to go on from. They belong to records that the hub got
    /// last, and to records that no hub got.
    pub fn outgoing_followups(
        &self,
        hub: HubNumber,
        after: Option<FollowUpKey>,
        limit: usize,
    ) -> Result<(Vec<OutgoingFollowUp>, Option<FollowUpKey>)> {
        self.db().read(|txn, trees| {
            let mut found = Vec::new();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let from = from.as_ref().map(|key| &key[..]);
            for stored in trees.followups.range(txn, &(from, Bound::Unbounded))? {
                let (key, value) = stored?;
                let (Ok(key), Ok(entry)) = (FollowUpKey::try_from(key), FollowUpEntry::decode(key, value)) else {
                    continue;
                };
                let Some(Queue::Record(seq)) = Queue::of(&key) else { continue };
                if entry.is_dead || !is_theirs(txn, trees, seq, hub)? {
                    continue;
                }
                let followup = followups::read(txn, trees, Queue::Record(seq), key, entry)?;
                let Some(record) = followup.record else { continue };
                found.push(OutgoingFollowUp { followup, record });
                if found.len() == limit {
                    return Ok((found, Some(key)));
                }
            }
            Ok((found, None))
        })
    }

    /// Stores the ids of follow-ups in bundles, so that a log finds them.
    pub fn note_followups(&self, ids: &[(FollowUpId, FollowUpKey)]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                for (id, key) in ids {
                    put_key(txn, trees.hubs, OUT, id, key)?;
                }
                Ok(())
            })
        })
    }

    /// Queues follow-ups of a bundle at the hub. One that was delivered before is reported again, and a refused one is tried again.
    /// Returns how many are new. A follow-up whose record is unknown waits for a bundle with the record or its request id.
    pub fn take_followups(&self, followups: &[CarriedFollowUp]) -> Result<u64> {
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                let mut change = Change::begin(txn, trees, Millis::now())?;
                let mut new = 0;
                for followup in followups {
                    new += u64::from(take(&mut change, followup)?);
                }
                change.finish()?;
                Ok(new)
            })
        })
    }
}

/// Whether the follow-ups of a record go to a hub.
fn is_theirs(txn: &RoTxn, trees: &Trees, seq: Seq, hub: HubNumber) -> Result<bool> {
    let row = load(txn, trees, seq)?;
    // A record that waits goes with the same bundle.
    let may_go =
        matches!(row.state, State::Acked | State::InDoubt) || (row.state == State::Pending && row.ended != CallEnd::No);
    Ok(may_go && carried::get(txn, trees, seq)?.owner().is_none_or(|owner| owner == hub))
}

fn take(change: &mut Change, followup: &CarriedFollowUp) -> Result<bool> {
    let trees = change.trees;
    if let Some(key) = get_key(change.txn, trees.returns, REPORTED, &followup.id)? {
        // The origin has not read the report. A follow-up that was refused may have been sent again by a person there.
        remove_key(change.txn, trees.returns, REPORTED, &followup.id)?;
        put_key(change.txn, trees.returns, WAITING, &followup.id, &key)?;
        if let (Some(queue), Some(entry)) = (Queue::of(&key), followups::stored(change.txn, trees, &key)?)
            && entry.is_dead
        {
            let waiting = FollowUpEntry { is_dead: false, due: Millis::EPOCH, ..entry };
            queue.change(change.txn, trees, |txn| put(txn, trees, &key, &waiting))?;
        }
        return Ok(false);
    }
    let known = get_key(change.txn, trees.returns, WAITING, &followup.id)?;
    let seq = trees.ids.get(change.txn, &followup.record.0)?.map(tail_seq).transpose()?;
    if let (Some(seq), Some(request)) = (seq, followup.request)
        && !matches!(load(change.txn, trees, seq)?.state, State::Acked | State::Leased)
    {
        // The origin has the request id: the record is delivered.
        acking::store(change, &[(seq, Some(request))])?;
    }
    if known.is_some() {
        return Ok(false);
    }
    let queue = match (seq, followup.request) {
        (Some(seq), _) => Queue::Record(seq),
        (None, Some(request)) => Queue::Request(request),
        (None, None) => return Ok(false),
    };
    change.counts.last_followup += 1;
    let key = queue.key(change.counts.last_followup);
    let CarriedFollowUp { id, op, queued_at, payload, .. } = followup.clone();
    let (due, last_error) = (Millis::EPOCH, String::new());
    let entry = FollowUpEntry { is_dead: false, op, attempts: 0, due, queued_at, last_error, payload };
    queue.change(change.txn, trees, |txn| put(txn, trees, &key, &entry))?;
    put_key(change.txn, trees.returns, WAITING, &id, &key)?;
    Ok(true)
}

/// waiting -> sent, at the origin. Returns whether it waited.
pub(super) fn done(change: &mut Change, id: &FollowUpId) -> Result<bool> {
    let Some(key) = get_key(change.txn, change.trees.hubs, OUT, id)? else { return Ok(false) };
    remove_key(change.txn, change.trees.hubs, OUT, id)?;
    one_way::forget_followup(change.txn, change.trees, id)?;
    followups::sent::store_sent(change.txn, change.trees, &key, 0, change.now)
}

/// waiting -> dead, at the origin. Returns whether it waited.
pub(super) fn refused(change: &mut Change, id: &FollowUpId, reason: &str) -> Result<bool> {
    let (txn, trees) = (&mut *change.txn, change.trees);
    let Some(key) = get_key(txn, trees.hubs, OUT, id)? else { return Ok(false) };
    let (Some(queue), Some(entry)) = (Queue::of(&key), followups::stored(txn, trees, &key)?) else { return Ok(false) };
    if entry.is_dead {
        return Ok(false);
    }
    followups::refuse(txn, trees, queue, &key, entry, reason)?;
    Ok(true)
}

/// Where a follow-up of the hub is on its way.
pub(super) enum Outcome {
    Waits,
    /// It was sent, and perhaps removed since with the content of its record.
    Done,
    /// With the reason.
    Refused(String),
}

pub(super) fn outcome(txn: &RoTxn, trees: &Trees, key: &FollowUpKey) -> Result<Outcome> {
    Ok(match followups::stored(txn, trees, key)? {
        Some(entry) if entry.is_dead => Outcome::Refused(entry.last_error),
        Some(_) => Outcome::Waits,
        None => Outcome::Done,
    })
}

pub(super) fn id_key(kind: u8, id: &FollowUpId) -> [u8; 33] {
    let mut key = [kind; 33];
    key[1..].copy_from_slice(id);
    key
}

pub(super) fn read_key(key: &[u8], stored: &[u8]) -> Option<(FollowUpId, FollowUpKey)> {
    let id = key.get(1..)?.try_into().ok()?;
    Some((id, without_seal(key, stored)?.try_into().ok()?))
}

pub(super) fn get_key(txn: &RoTxn, tree: Tree, kind: u8, id: &FollowUpId) -> Result<Option<FollowUpKey>> {
    let key = id_key(kind, id);
    Ok(tree.get(txn, &key)?.and_then(|stored| read_key(&key, stored)).map(|(_, followup)| followup))
}

pub(super) fn put_key(txn: &mut RwTxn, tree: Tree, kind: u8, id: &FollowUpId, followup: &FollowUpKey) -> Result<()> {
    let key = id_key(kind, id);
    Ok(tree.put(txn, &key, &with_seal(&key, followup.to_vec()))?)
}

pub(super) fn remove_key(txn: &mut RwTxn, tree: Tree, kind: u8, id: &FollowUpId) -> Result<()> {
    tree.delete(txn, &id_key(kind, id))?;
    Ok(())
}
