//! Lanes: what may be sent now. Records of a lane go out in the order they were recorded, and what comes next waits for what is
//! on its way. Lane 0 keeps no order.

use std::ops::Bound;

use heed::RoTxn;

use crate::state::State;
use crate::store::Store;
use crate::store::db::tables::{Tables, outbox_key, parked_key, tail_seq};
use crate::store::records::transition::load;
use crate::{Error, Result};

/// The lane of records that need not stay in order.
const FREE: u8 = 0;

/// States whose records hold up what follows them in their lane.
const ON_THEIR_WAY: [State; 2] = [State::Leased, State::InDoubt];

impl Store {
    /// When the next record that waits is due, to be sent or to be looked up. None when none waits for a moment.
    pub fn next_due(&self, now_ms: u64) -> Result<Option<u64>> {
        self.db().read(|txn, tables| {
            let mut next = None;
            let mut earliest = |at: u64| next = Some(next.map_or(at, |known: u64| known.min(at)));
            for lane in lanes(txn, tables)? {
                if let Some(key) = first_of(txn, tables, lane, now_ms.saturating_add(1))? {
                    earliest(not_before(&key)?);
                }
            }
            for seq in parked(txn, tables, State::InDoubt)? {
                earliest(load(txn, tables, seq)?.not_before);
            }
            Ok(next)
        })
    }

    /// Whether a record with this number or a lower one is still to be delivered: closed, and not yet acked, dead or held.
    pub fn is_unsettled(&self, seq: u64) -> Result<bool> {
        self.db().read(|txn, tables| {
            for state in ON_THEIR_WAY {
                let first = tables.parked.prefix_iter(txn, &parked_key(state, 0)[..1])?.next().transpose()?;
                if first.map(|(key, _)| tail_seq(key)).transpose()?.is_some_and(|first| first <= seq) {
                    return Ok(true);
                }
            }
            for lane in lanes(txn, tables)? {
                // Those that were never put off stand in order, so one look at the first tells of all of them.
                let mut seqs = waiting(txn, tables, lane, 0, 0, 1)?;
                seqs.extend(waiting(txn, tables, lane, 1, u64::MAX, usize::MAX)?);
                if seqs.into_iter().any(|waiting| waiting <= seq) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

/// Up to `limit` records that may be sent now, in order; no more than `of_lane` of a lane that keeps its order.
pub(super) fn due(txn: &RoTxn, tables: &Tables, now_ms: u64, limit: usize, of_lane: usize) -> Result<Vec<u64>> {
    let mut seqs = Vec::new();
    let mut busy = None;
    for lane in lanes(txn, tables)? {
        if lane == FREE {
            seqs.extend(waiting(txn, tables, lane, 0, now_ms, limit)?);
            continue;
        }
        let busy = match &busy {
            Some(busy) => busy,
            None => busy.insert(self::busy(txn, tables)?),
        };
        // One that has to wait holds up those behind it.
        if busy[usize::from(lane)] || first_of(txn, tables, lane, now_ms.saturating_add(1))?.is_some() {
            continue;
        }
        let mut next = waiting(txn, tables, lane, 0, 0, of_lane)?;
        next.extend(waiting(txn, tables, lane, 1, now_ms, usize::MAX)?);
        next.sort_unstable();
        next.truncate(of_lane);
        seqs.extend(next);
    }
    seqs.sort_unstable();
    seqs.truncate(limit);
    Ok(seqs)
}

/// What of each lane that keeps its order may still be taken at once.
pub(super) struct Room {
    most: u64,
    taken: [u64; 256],
}

impl Room {
    /// No more than about `most` bytes of each; one record always.
    pub(super) fn new(most: u64) -> Self {
        Self { most, taken: [0; 256] }
    }

    /// Takes a record, the next of its lane, if there is room: once there is none, there is none for those behind it.
    pub(super) fn take(&mut self, lane: u8, size: u64) -> bool {
        let taken = &mut self.taken[usize::from(lane)];
        if lane == FREE {
            return true;
        }
        let with_it = taken.saturating_add(size.max(1));
        let fits = *taken == 0 || with_it <= self.most;
        *taken = if fits { with_it } else { u64::MAX };
        fits
    }
}

/// The records of a state that is kept in `parked`.
pub(super) fn parked(txn: &RoTxn, tables: &Tables, state: State) -> Result<Vec<u64>> {
    let entries = tables.parked.prefix_iter(txn, &parked_key(state, 0)[..1])?;
    entries.map(|entry| tail_seq(entry?.0)).collect()
}

/// The lanes that have records waiting.
pub(super) fn lanes(txn: &RoTxn, tables: &Tables) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    let mut from = vec![0];
    while let Some((key, _)) = tables.outbox.get_greater_than_or_equal_to(txn, &from)? {
        let lane = *key.first().ok_or_else(too_short)?;
        found.push(lane);
        from = outbox_key(lane, u64::MAX, u64::MAX).to_vec();
        from.push(0);
    }
    Ok(found)
}

/// The lanes of which something is on its way.
fn busy(txn: &RoTxn, tables: &Tables) -> Result<[bool; 256]> {
    let mut busy = [false; 256];
    for state in ON_THEIR_WAY {
        for entry in tables.parked.prefix_iter(txn, &parked_key(state, 0)[..1])? {
            let (key, lane) = entry?;
            let lane = match lane.first() {
                Some(lane) => *lane,
                // Stored by a version that kept the lane in the row alone.
                None => load(txn, tables, tail_seq(key)?)?.lane,
            };
            busy[usize::from(lane)] = true;
        }
    }
    Ok(busy)
}

/// Up to `limit` records of a lane that wait for a moment from `first` to `last`.
pub(super) fn waiting(txn: &RoTxn, tables: &Tables, lane: u8, first: u64, last: u64, limit: usize) -> Result<Vec<u64>> {
    let (first, last) = (outbox_key(lane, first, 0), outbox_key(lane, last, u64::MAX));
    let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    tables.outbox.range(txn, &range)?.take(limit).map(|entry| tail_seq(entry?.0)).collect()
}

/// The first record of a lane that waits for `from` or a later moment.
fn first_of(txn: &RoTxn, tables: &Tables, lane: u8, from: u64) -> Result<Option<Vec<u8>>> {
    let found = tables.outbox.get_greater_than_or_equal_to(txn, &outbox_key(lane, from, 0))?;
    Ok(found.map(|(key, _)| key.to_vec()).filter(|key| key.first() == Some(&lane)))
}

fn not_before(key: &[u8]) -> Result<u64> {
    let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok()).ok_or_else(too_short)?;
    Ok(u64::from_be_bytes(bytes))
}

fn too_short() -> Error {
    Error::Corrupt("a key of the outbox is too short".into())
}
