//! Bundles that arrived at a hub, and bundles that did not.

use heed::{RoTxn, RwTxn};

use super::arrived::{self, ARRIVED, Arrived};
use super::followups::id_key;
use super::place::Place;
use super::returns::{self, Head};
use super::{BATCH, BundleId, carried};
use crate::state::State;
use crate::store::Store;
use crate::store::db::trees::{Trees, tail_seq, with_seal, without_seal};
use crate::store::records::transition::{Change, load};
use crate::{Millis, RecordId, Result, Seq};

/// A key of `returns`: a bundle that an origin wrote, and that has not arrived.
pub(super) const HOLE: u8 = b'h';

/// A bundle whose records and follow-ups are in the journal.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its id.
    pub id: BundleId,
    /// The number of the export.
    pub serial: u64,
    /// This part, and the number of parts.
    pub part: [u32; 2],
    /// How far the origin has read the log.
    pub place: Option<Place>,
    /// Earlier bundles of the origin, each with the number of its export.
    pub recent: Vec<(BundleId, u64)>,
    /// Earlier bundles whose records this bundle repeats, as far as the origin waits for them.
    pub repeats: Vec<BundleId>,
}

/// A bundle that has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// The number of the export.
    pub serial: u64,
    /// Its id.
    pub id: BundleId,
    /// Whether a later bundle, which has arrived, repeats its records.
    pub is_repeated: bool,
}

impl Store {
    /// Notes that a bundle is in the journal. Returns whether the place that the origin states shows that this journal was put back from
    /// a copy. Then a new log begins, and the waiting records are in doubt: the journal may have sent them after the copy was made.
    ///
    /// The caller holds the lock of the sender.
    pub fn arrive(&self, arrival: &Arrival) -> Result<bool> {
        let was_put_back = self.db().read(|txn, trees| is_behind(txn, trees, arrival.place.as_ref()))?;
        if was_put_back {
            self.doubt_waiting()?;
        }
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                if was_put_back || returns::head(txn, trees)?.is_none() {
                    returns::begin_epoch(txn, trees)?;
                }
                let Some(head) = returns::head(txn, trees)? else { return Ok(()) };
                let place = arrival.place.as_ref().filter(|place| place.epoch == head.epoch);
                returns::put_head(txn, trees, &Head { told: place.map_or(0, |place| place.number), ..head })?;
                if arrived::get(txn, trees, &arrival.id)?.is_none() {
                    let &Arrival { id, serial, part, .. } = arrival;
                    arrived::put(txn, trees, &Arrived { id, serial, part, at: Millis::now(), is_reported: false })?;
                }
                trees.returns.delete(txn, &id_key(HOLE, &arrival.id))?;
                for (id, serial) in &arrival.recent {
                    if arrived::get(txn, trees, id)?.is_none() {
                        let known = hole(txn, trees, id)?;
                        let is_repeated = known.is_some_and(|known| known.is_repeated) || arrival.repeats.contains(id);
                        put_hole(txn, trees, &Hole { serial: *serial, id: *id, is_repeated })?;
                    }
                }
                // An export may repeat bundles that are no longer among the recent ones.
                for id in &arrival.repeats {
                    if let Some(known) = hole(txn, trees, id)? {
                        put_hole(txn, trees, &Hole { is_repeated: true, ..known })?;
                    }
                }
                Ok(())
            })
        })?;
        Ok(was_put_back)
    }

    /// dead or held -> pending, for records that a person sent again at their origin: those whose round is higher than before. Returns how
    /// many.
    pub fn raise_rounds(&self, rounds: &[(RecordId, u32)]) -> Result<u64> {
        let mut moved = 0;
        for batch in rounds.chunks(BATCH) {
            moved += self.db().in_room(|| self.db().write(|txn, trees| raise(txn, trees, batch)))?;
        }
        Ok(moved)
    }

    /// The bundles that have arrived, by the numbers of their exports.
    pub fn arrived(&self) -> Result<Vec<Arrived>> {
        self.db().read(|txn, trees| {
            let mut found = Vec::new();
            for entry in trees.returns.prefix_iter(txn, &[ARRIVED])? {
                let (key, stored) = entry?;
                found.extend(arrived::read(key, stored));
            }
            found.sort_unstable_by_key(|arrived| (arrived.serial, arrived.part));
            Ok(found)
        })
    }

    /// The bundles that the origin has written and that have not arrived, by the numbers of their exports.
    pub fn holes(&self) -> Result<Vec<Hole>> {
        self.db().read(|txn, trees| {
            let mut found = Vec::new();
            for entry in trees.returns.prefix_iter(txn, &[HOLE])? {
                let (key, stored) = entry?;
                found.extend(read_hole(key, stored));
            }
            found.sort_unstable();
            Ok(found)
        })
    }

    /// pending -> in doubt, for all records that wait to be sent.
    fn doubt_waiting(&self) -> Result<()> {
        loop {
            let seqs: Vec<Seq> = self.db().read(|txn, trees| {
                trees.outbox.iter(txn)?.take(BATCH).map(|entry| tail_seq(entry?.0)).collect::<Result<_>>()
            })?;
            if seqs.is_empty() {
                return Ok(());
            }
            self.db().in_room(|| {
                self.db().write(|txn, trees| {
                    let mut change = Change::begin(txn, trees, Millis::now())?;
                    for seq in &seqs {
                        change.update(*seq, |row| {
                            (row.state, row.not_before) = (State::InDoubt, Millis::EPOCH);
                            "the journal was put back from a copy, and may have sent it before"
                                .clone_into(&mut row.last_error);
                        })?;
                    }
                    change.finish()
                })
            })?;
        }
    }
}

fn hole(txn: &RoTxn, trees: &Trees, id: &BundleId) -> Result<Option<Hole>> {
    let key = id_key(HOLE, id);
    Ok(trees.returns.get(txn, &key)?.and_then(|stored| read_hole(&key, stored)))
}

/// serial u64 | 1 if a later bundle repeats the records, else nothing.
fn read_hole(key: &[u8], stored: &[u8]) -> Option<Hole> {
    let (serial, rest) = without_seal(key, stored)?.split_first_chunk()?;
    let id = key.get(1..)?.try_into().ok()?;
    Some(Hole { serial: u64::from_le_bytes(*serial), id, is_repeated: !rest.is_empty() })
}

fn put_hole(txn: &mut RwTxn, trees: &Trees, hole: &Hole) -> Result<()> {
    let mut value = hole.serial.to_le_bytes().to_vec();
    if hole.is_repeated {
        value.push(1);
    }
    let key = id_key(HOLE, &hole.id);
    Ok(trees.returns.put(txn, &key, &with_seal(&key, value))?)
}

/// Whether the origin has read more of the log than this journal has, another log of the same epoch, or a later epoch. A journal without a
/// log takes the place of one that was lost.
fn is_behind(txn: &RoTxn, trees: &Trees, place: Option<&Place>) -> Result<bool> {
    let Some(place) = place else { return Ok(false) };
    let Some(head) = returns::head(txn, trees)? else { return Ok(true) };
    if place.epoch == head.epoch {
        return Ok(returns::chain(txn, trees, place.number)? != Some(place.chain));
    }
    Ok(place.ended.contains(&head.epoch))
}

fn raise(txn: &mut RwTxn, trees: &Trees, rounds: &[(RecordId, u32)]) -> Result<u64> {
    let mut change = Change::begin(txn, trees, Millis::now())?;
    let mut moved = 0;
    for (record, round) in rounds {
        let Some(seq) = trees.ids.get(change.txn, &record.0)?.map(tail_seq).transpose()? else { continue };
        let mut entry = carried::get(change.txn, trees, seq)?;
        if entry.round >= *round {
            continue;
        }
        entry.round = *round;
        carried::put(change.txn, trees, seq, &entry)?;
        let row = load(change.txn, trees, seq)?;
        if matches!(row.state, State::Dead | State::Held) && !row.is_pruned() {
            change.update(seq, |row| (row.state, row.not_before) = (State::Pending, Millis::EPOCH))?;
            moved += 1;
        }
    }
    change.finish()?;
    Ok(moved)
}
