//! How far the log of each hub was read, and the facts that it has about records that are not here.
//!
//! Receipts count only where the log joins the place that was read. A journal of a hub that was put back from a copy may have confirmed
//! bundles that it lacks now.

use heed::{RoTxn, RwTxn};

use super::hubs::HubNumber;
use super::{BATCH, LogId, carried, written};
use crate::frame::array;
use crate::state::{Custody, State};
use crate::store::Store;
use crate::store::db::trees::{Trees, seq_key, tail_seq, with_seal, without_seal};
use crate::store::records::transition::{Change, load};
use crate::{Millis, RecordId, RequestId, Result, Seq};

/// A key of `hubs`: the place of a hub.
const PLACE: u8 = b'p';
/// A key of `hubs`: a request id for a record that the journal does not have.
pub(super) const ORPHAN: u8 = b'o';
/// A key of `hubs`: a second request id for a record.
pub(super) const CONFLICT: u8 = b'c';
/// epoch [16] | number u64 | chain [16] | serial u64 | at u64, then the ended epochs.
const FIXED: usize = 56;

/// How far the log of a hub was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The epoch of the log.
    pub epoch: LogId,
    /// The number of the last entry.
    pub number: u64,
    /// The chain hash after that entry.
    pub chain: LogId,
    /// The newest export of the hub that was read.
    pub serial: u64,
    /// When it was read.
    pub at: Millis,
    /// Epochs that ended before.
    pub ended: Vec<LogId>,
}

/// A request id that no record takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The record, which the journal does not have, or which has another request id.
    pub record: RecordId,
    /// The request id.
    pub request: RequestId,
    /// The hub that reported it.
    pub hub: HubNumber,
    /// When it was read.
    pub at: Millis,
    /// Whether the record has another request id.
    pub is_conflict: bool,
}

impl Place {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + 16 * self.ended.len() + 4);
        bytes.extend_from_slice(&self.epoch);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.chain);
        bytes.extend_from_slice(&self.serial.to_le_bytes());
        bytes.extend_from_slice(&self.at.0.to_le_bytes());
        self.ended.iter().for_each(|epoch| bytes.extend_from_slice(epoch));
        bytes
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (fixed, ended) = value.split_at_checked(FIXED)?;
        (ended.len() % 16 == 0).then(|| Self {
            epoch: array(fixed, 0),
            number: u64::from_le_bytes(array(fixed, 16)),
            chain: array(fixed, 24),
            serial: u64::from_le_bytes(array(fixed, 40)),
            at: Millis(u64::from_le_bytes(array(fixed, 48))),
            ended: ended.chunks_exact(16).map(|epoch| array(epoch, 0)).collect(),
        })
    }
}

impl Orphan {
    pub(super) fn key(&self) -> [u8; 17] {
        let mut key = [if self.is_conflict { CONFLICT } else { ORPHAN }; 17];
        key[1..].copy_from_slice(&self.record.0);
        key
    }

    pub(super) fn put(&self, txn: &mut RwTxn, trees: &Trees) -> Result<()> {
        let mut bytes = self.request.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.hub.0.to_le_bytes());
        bytes.extend_from_slice(&self.at.0.to_le_bytes());
        let key = self.key();
        Ok(trees.hubs.put(txn, &key, &with_seal(&key, bytes))?)
    }

    fn read(key: &[u8], stored: &[u8]) -> Option<Self> {
        let value = without_seal(key, stored).filter(|value| value.len() == 20)?;
        let (kind, record) = key.split_first()?;
        Some(Self {
            record: RecordId(record.try_into().ok()?),
            request: RequestId(u64::from_le_bytes(array(value, 0))),
            hub: HubNumber(u32::from_le_bytes(array(value, 8))),
            at: Millis(u64::from_le_bytes(array(value, 12))),
            is_conflict: *kind == CONFLICT,
        })
    }
}

impl Store {
    /// How far the log of a hub was read; `None` before the first.
    pub fn place(&self, hub: HubNumber) -> Result<Option<Place>> {
        self.db().read(|txn, trees| get(txn, trees, hub))
    }

    /// Request ids for records that the journal does not have, and second request ids.
    pub fn orphans(&self) -> Result<Vec<Orphan>> {
        self.db().read(|txn, trees| {
            let mut found = Vec::new();
            for kind in [ORPHAN, CONFLICT] {
                for entry in trees.hubs.prefix_iter(txn, &[kind])? {
                    let (key, stored) = entry?;
                    found.extend(Orphan::read(key, stored));
                }
            }
            Ok(found)
        })
    }

    /// The place at which a log of this epoch may join; `None` for an epoch that is over. A new epoch voids the receipts of the one
    /// before: the hub's journal was put back from a copy, or made anew.
    pub fn enter_epoch(&self, hub: HubNumber, epoch: LogId) -> Result<Option<Place>> {
        let place = self.place(hub)?;
        if let Some(place) = &place {
            if place.epoch == epoch {
                return Ok(Some(place.clone()));
            }
            if place.ended.contains(&epoch) {
                return Ok(None);
            }
            self.void_receipts(hub)?;
        }
        let ended = place.map(|Place { epoch, mut ended, .. }| {
            ended.push(epoch);
            ended
        });
        let place = Place { epoch, ended: ended.unwrap_or_default(), ..Place::default() };
        self.set_place(hub, &place)?;
        Ok(Some(place))
    }

    /// Stores how far the log of a hub was read.
    pub fn set_place(&self, hub: HubNumber, place: &Place) -> Result<()> {
        self.db().in_room(|| self.db().write(|txn, trees| put(txn, trees, hub, place)))
    }

    /// received -> carried, for the records of a hub that are not acked. The hub lost a journal that may have sent them.
    fn void_receipts(&self, hub: HubNumber) -> Result<()> {
        let mut after = Some(Seq(0));
        while let Some(last) = after {
            after = self.db().in_room(|| {
                self.db().write(|txn, trees| {
                    let (seqs, next) = given_after(txn, trees, hub, last)?;
                    let mut change = Change::begin(txn, trees, Millis::now())?;
                    for seq in seqs {
                        let mut entry = carried::get(change.txn, trees, seq)?;
                        entry.receive(hub, false);
                        entry.is_doubtful = true;
                        carried::put(change.txn, trees, seq, &entry)?;
                        let is_received = load(change.txn, trees, seq)?.custody() == Some(Custody::Received);
                        if is_received && !entry.is_received() {
                            change.update(seq, |row| row.carry(Custody::Carried))?;
                        }
                    }
                    change.finish()?;
                    Ok(next)
                })
            })?;
        }
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                for mut bundle in written::all(txn, trees)? {
                    if bundle.hub == hub && bundle.is_received {
                        bundle.is_received = false;
                        bundle.put(txn, trees)?;
                    }
                }
                Ok(())
            })
        })
    }
}

/// Some records after a number that a hub got, and that have no request id yet. And the number to go on from.
fn given_after(txn: &RoTxn, trees: &Trees, hub: HubNumber, after: Seq) -> Result<(Vec<Seq>, Option<Seq>)> {
    let first = seq_key(after);
    let (mut seqs, mut left) = (Vec::new(), 16 * BATCH);
    let range = (std::ops::Bound::Excluded(&first[..]), std::ops::Bound::Unbounded);
    for item in trees.carried.range(txn, &range)? {
        let (key, stored) = item?;
        let entry = carried::CarriedEntry::read(key, stored).unwrap_or_default();
        let seq = tail_seq(key)?;
        if entry.was_given_to(hub) && load(txn, trees, seq)?.state != State::Acked {
            seqs.push(seq);
        }
        left -= 1;
        if seqs.len() == BATCH || left == 0 {
            return Ok((seqs, Some(seq)));
        }
    }
    Ok((seqs, None))
}

pub(super) fn get(txn: &RoTxn, trees: &Trees, hub: HubNumber) -> Result<Option<Place>> {
    let key = key(hub);
    let stored = trees.hubs.get(txn, &key)?;
    Ok(stored.and_then(|stored| without_seal(&key, stored)).and_then(Place::decode))
}

fn put(txn: &mut RwTxn, trees: &Trees, hub: HubNumber, place: &Place) -> Result<()> {
    let key = key(hub);
    Ok(trees.hubs.put(txn, &key, &with_seal(&key, place.encode()))?)
}

fn key(hub: HubNumber) -> [u8; 5] {
    let mut key = [PLACE; 5];
    key[1..].copy_from_slice(&hub.0.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let place = Place {
            epoch: [1; 16],
            number: 2,
            chain: [3; 16],
            serial: 4,
            at: Millis(5),
            ended: vec![[6; 16], [7; 16]],
        };
        assert_eq!(Place::decode(&place.encode()), Some(place.clone()));
        assert_eq!(Place::decode(&place.encode()[1..]), None);
    }
}
