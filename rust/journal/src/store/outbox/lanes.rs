//! Lanes: which records may be sent now. The records of a lane are sent in the order they were recorded, and each waits until the
//! records before it are settled. Lane 0 keeps no order.

use std::ops::{Bound, RangeInclusive};
use std::time::Duration;

use heed::RoTxn;

use super::away::Away;
use super::tree_wait;
use crate::state::{Lane, State};
use crate::store::Store;
use crate::store::db::trees::{Trees, outbox_key, parked_prefix, tail_seq};
use crate::store::records::transition::load;
use crate::{Error, Millis, Result, Seq};

/// States whose records block the records after them in their lane.
const IN_FLIGHT: [State; 2] = [State::Leased, State::InDoubt];

const MILLISECOND: Duration = Duration::from_millis(1);

/// A set of lanes.
type LaneSet = [bool; 256];

impl Store {
    /// When the next waiting record is due, to be sent or to be looked up; `None` when no record waits.
    pub fn next_due(&self, now: Millis) -> Result<Option<Millis>> {
        self.next_due_of(now, true)
    }

    /// Like [`Self::next_due`]. Records that wait for the end of their tree's root are left out unless `growing`.
    pub fn next_due_of(&self, now: Millis, growing: bool) -> Result<Option<Millis>> {
        self.db().read(|txn, trees| {
            let mut next = None;
            let mut earliest = |at: Millis| next = Some(next.map_or(at, |known: Millis| known.min(at)));
            for lane in lanes(txn, trees)? {
                if let Some(key) = first_of(txn, trees, lane, now + MILLISECOND)? {
                    earliest(not_before(&key)?);
                }
            }
            for seq in in_doubt_here(txn, trees)? {
                earliest(load(txn, trees, seq)?.not_before);
            }
            if growing && let Some(until) = self.next_growing(txn, trees)?.filter(|until| *until > now) {
                earliest(until);
            }
            Ok(next)
        })
    }

    /// Whether a record with this number or a lower one is still to be delivered: closed, and not yet acked, dead or held.
    pub fn is_unsettled(&self, seq: Seq) -> Result<bool> {
        self.db().read(|txn, trees| {
            let away = Away::load(txn, trees)?;
            for state in IN_FLIGHT {
                if state == State::InDoubt && away.is_every_record() {
                    continue;
                }
                for entry in trees.parked.prefix_iter(txn, &parked_prefix(state))? {
                    let waiting = tail_seq(entry?.0)?;
                    if !away.has(txn, trees, waiting)? {
                        if waiting <= seq {
                            return Ok(true);
                        }
                        break;
                    }
                }
            }
            for lane in lanes(txn, trees)? {
                // Records that never waited are in order, so only the first of them matters.
                let mut seqs = waiting_records(txn, trees, lane, Millis::EPOCH..=Millis::EPOCH, 1)?;
                seqs.extend(waiting_records(txn, trees, lane, Millis(1)..=Millis::MAX, usize::MAX)?);
                if seqs.into_iter().any(|waiting| waiting <= seq) {
                    return Ok(true);
                }
            }
            Ok(tree_wait::waiting_after(txn, trees, Millis::EPOCH)?.into_iter().any(|waiting| waiting <= seq))
        })
    }
}

/// Up to `limit` records that may be sent now, in order, and at most `per_lane` of each ordered lane.
pub(super) fn due_records(txn: &RoTxn, trees: &Trees, now: Millis, limit: usize, per_lane: usize) -> Result<Vec<Seq>> {
    let mut seqs = Vec::new();
    let mut blocked = None;
    for lane in lanes(txn, trees)? {
        if lane == Lane::UNORDERED {
            seqs.extend(waiting_records(txn, trees, lane, Millis::EPOCH..=now, limit)?);
            continue;
        }
        let blocked = match &blocked {
            Some(blocked) => blocked,
            None => blocked.insert(lanes_in_flight(txn, trees)?),
        };
        // A record that waits blocks the records after it.
        if blocked[usize::from(lane.0)] || first_of(txn, trees, lane, now + MILLISECOND)?.is_some() {
            continue;
        }
        let mut next = waiting_records(txn, trees, lane, Millis::EPOCH..=Millis::EPOCH, per_lane)?;
        next.extend(waiting_records(txn, trees, lane, Millis(1)..=now, usize::MAX)?);
        next.sort_unstable();
        next.truncate(per_lane);
        seqs.extend(next);
    }
    seqs.sort_unstable();
    seqs.truncate(limit);
    Ok(seqs)
}

/// How many bytes one lease may still take of each ordered lane.
pub(super) struct LaneBytes {
    max: u64,
    taken: [u64; 256],
}

impl LaneBytes {
    /// About `max` bytes of each lane, and at least one record.
    pub(super) fn new(max: u64) -> Self {
        Self { max, taken: [0; 256] }
    }

    /// Takes the next record of its lane, if it fits. After one that does not fit, no record of the lane is taken.
    pub(super) fn take(&mut self, lane: Lane, size: u64) -> bool {
        if lane == Lane::UNORDERED {
            return true;
        }
        let taken = &mut self.taken[usize::from(lane.0)];
        let total = taken.saturating_add(size.max(1));
        let fits = *taken == 0 || total <= self.max;
        *taken = if fits { total } else { u64::MAX };
        fits
    }
}

/// The records in doubt at the server that the journal is bound to.
pub(super) fn in_doubt_here(txn: &RoTxn, trees: &Trees) -> Result<Vec<Seq>> {
    Away::load(txn, trees)?.in_doubt_here(txn, trees)
}

/// The lanes that have records in the outbox.
pub(super) fn lanes(txn: &RoTxn, trees: &Trees) -> Result<Vec<Lane>> {
    let mut found = Vec::new();
    let mut from = vec![0];
    while let Some((key, _)) = trees.outbox.get_greater_than_or_equal_to(txn, &from)? {
        let lane = Lane(*key.first().ok_or_else(too_short)?);
        found.push(lane);
        from = outbox_key(lane, Millis::MAX, Seq::MAX).to_vec();
        from.push(0);
    }
    Ok(found)
}

fn lanes_in_flight(txn: &RoTxn, trees: &Trees) -> Result<LaneSet> {
    let mut found = [false; 256];
    // No response comes here for the records that are away, so they block no lane.
    let away = Away::load(txn, trees)?;
    for state in IN_FLIGHT {
        if state == State::InDoubt && away.is_every_record() {
            continue;
        }
        for entry in trees.parked.prefix_iter(txn, &parked_prefix(state))? {
            let (key, lane) = entry?;
            if away.has(txn, trees, tail_seq(key)?)? {
                continue;
            }
            let lane = match lane.first() {
                Some(lane) => *lane,
                // An earlier version stored the lane in the row alone.
                None => load(txn, trees, tail_seq(key)?)?.lane.0,
            };
            found[usize::from(lane)] = true;
        }
    }
    Ok(found)
}

/// Up to `limit` records of a lane in the outbox that are due within a range of time.
pub(super) fn waiting_records(
    txn: &RoTxn,
    trees: &Trees,
    lane: Lane,
    due: RangeInclusive<Millis>,
    limit: usize,
) -> Result<Vec<Seq>> {
    let (first, last) = (outbox_key(lane, *due.start(), Seq(0)), outbox_key(lane, *due.end(), Seq::MAX));
    let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    trees.outbox.range(txn, &range)?.take(limit).map(|entry| tail_seq(entry?.0)).collect()
}

/// The key of the first record of a lane that is due at `from` or later.
fn first_of(txn: &RoTxn, trees: &Trees, lane: Lane, from: Millis) -> Result<Option<Vec<u8>>> {
    let found = trees.outbox.get_greater_than_or_equal_to(txn, &outbox_key(lane, from, Seq(0)))?;
    Ok(found.map(|(key, _)| key.to_vec()).filter(|key| key.first() == Some(&lane.0)))
}

fn not_before(key: &[u8]) -> Result<Millis> {
    let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok()).ok_or_else(too_short)?;
    Ok(Millis(u64::from_be_bytes(bytes)))
}

fn too_short() -> Error {
    Error::Corrupt("a key of the outbox is too short".into())
}
