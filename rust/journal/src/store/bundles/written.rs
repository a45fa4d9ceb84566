//! The bundles that this journal has written, and their records.
//!
//! A bundle is stored with its records before its file is made. If the process is killed in between, the file may be on its way. Then the
//! reports of the hub about this bundle count.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::hubs::HubNumber;
use super::{BundleId, RECORDS, carried};
use crate::frame::array;
use crate::state::{Custody, State};
use crate::store::Store;
use crate::store::db::trees::{Trees, number_key, seq_key, tail_seq, with_seal, without_seal};
use crate::store::outbox::in_fitting_parts;
use crate::store::records::transition::{Change, load};
use crate::{Millis, Result, Seq};

/// A bundle that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewBundle {
    /// Its id.
    pub id: BundleId,
    /// The number of the export, for people.
    pub serial: u64,
    /// This part, and the number of parts.
    pub part: [u32; 2],
    /// The recipient.
    pub hub: HubNumber,
}

/// A bundle that this journal has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenBundle {
    /// Its id.
    pub id: BundleId,
    /// Its number in this journal.
    pub number: u64,
    /// The number of the export, for people.
    pub serial: u64,
    /// This part, and the number of parts.
    pub part: [u32; 2],
    /// The recipient.
    pub hub: HubNumber,
    /// When it was written.
    pub at: Millis,
    /// Its records.
    pub records: u64,
    /// Whether the file was written and read back. Otherwise the export was interrupted.
    pub is_whole: bool,
    /// Whether the hub has confirmed it.
    pub is_received: bool,
}

impl WrittenBundle {
    pub(super) fn read(key: &[u8], stored: &[u8]) -> Option<Self> {
        let value = without_seal(key, stored).filter(|value| value.len() == 46)?;
        let number = |at| u64::from_le_bytes(array(value, at));
        let part = |at| u32::from_le_bytes(array(value, at));
        Some(Self {
            id: key.try_into().ok()?,
            number: number(0),
            serial: number(8),
            part: [part(16), part(20)],
            hub: HubNumber(part(24)),
            at: Millis(number(28)),
            records: number(36),
            is_whole: value[44] != 0,
            is_received: value[45] != 0,
        })
    }

    pub(super) fn put(&self, txn: &mut RwTxn, trees: &Trees) -> Result<()> {
        let mut bytes = Vec::with_capacity(50);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.serial.to_le_bytes());
        bytes.extend_from_slice(&self.part[0].to_le_bytes());
        bytes.extend_from_slice(&self.part[1].to_le_bytes());
        bytes.extend_from_slice(&self.hub.0.to_le_bytes());
        bytes.extend_from_slice(&self.at.0.to_le_bytes());
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&[u8::from(self.is_whole), u8::from(self.is_received)]);
        Ok(trees.bundles.put(txn, &self.id, &with_seal(&self.id, bytes))?)
    }
}

impl Store {
    /// Stores a bundle and its records, before its file is made. From now on the records belong to the hub. `seqs` are in order.
    pub fn begin_bundle(&self, bundle: &NewBundle, seqs: &[Seq]) -> Result<()> {
        let now = Millis::now();
        self.in_transactions(seqs, |txn, trees, batch| {
            for seq in batch {
                let mut entry = carried::get(txn, trees, *seq)?;
                entry.is_doubtful |= carried::is_unclear(&load(txn, trees, *seq)?, &entry);
                entry.assign(bundle.hub, now);
                carried::put(txn, trees, *seq, &entry)?;
                self.db().trimmer.release_if_due(txn, trees);
            }
            Ok(0)
        })?;
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                let number = next_number(txn, trees)?;
                for (first, last) in runs(seqs) {
                    put_rows(txn, trees, number, first, last)?;
                }
                let &NewBundle { id, serial, part, hub } = bundle;
                let records = seqs.len() as u64;
                let (is_whole, is_received) = (false, false);
                WrittenBundle { id, number, serial, part, hub, at: now, records, is_whole, is_received }.put(txn, trees)
            })
        })
    }

    /// pending or in doubt -> carried, for the records of a bundle whose file was read back. A record that a sender has leased stays.
    pub fn bundle_written(&self, id: &BundleId) -> Result<()> {
        let Some(mut bundle) = self.db().read(|txn, trees| get(txn, trees, id))? else { return Ok(()) };
        let is_one_way = self.repeat()?.is_some();
        self.change_rows(&bundle, |change, seqs| {
            for seq in seqs {
                if is_one_way {
                    let mut entry = carried::get(change.txn, change.trees, *seq)?;
                    entry.count_export(bundle.hub);
                    carried::put(change.txn, change.trees, *seq, &entry)?;
                }
                let row = load(change.txn, change.trees, *seq)?;
                if matches!(row.state, State::Pending | State::InDoubt) {
                    change.update(*seq, |row| row.carry(Custody::Carried))?;
                }
                self.db().trimmer.release_if_due(change.txn, change.trees);
            }
            Ok(0)
        })?;
        bundle.is_whole = true;
        self.db().in_room(|| self.db().write(|txn, trees| bundle.put(txn, trees)))
    }

    /// Removes a bundle whose file could not be written. Its records keep their states.
    pub fn bundle_failed(&self, id: &BundleId) -> Result<()> {
        self.db().write(|txn, trees| {
            if let Some(bundle) = get(txn, trees, id)? {
                for (first, _) in rows(txn, trees, bundle.number)? {
                    trees.bundle_rows.delete(txn, &row_key(bundle.number, first))?;
                }
                trees.bundles.delete(txn, id)?;
            }
            Ok(())
        })
    }

    /// The bundles that this journal has written, in order.
    pub fn bundles(&self) -> Result<Vec<WrittenBundle>> {
        self.db().read(all)
    }

    /// Notes that the hub has received bundles, as a person has read there. Returns how many records are newly received.
    pub fn receive_bundles(&self, ids: &[BundleId]) -> Result<u64> {
        let mut received = 0;
        for id in ids {
            if let Some(bundle) = self.db().read(|txn, trees| get(txn, trees, id))? {
                received += self.receive_bundle(bundle)?;
            }
        }
        Ok(received)
    }

    /// Notes that the hub has received a bundle. Returns how many records are newly received.
    pub(super) fn receive_bundle(&self, mut bundle: WrittenBundle) -> Result<u64> {
        let received = self.change_rows(&bundle, |change, seqs| receive(change, &bundle, seqs))?;
        bundle.is_received = true;
        self.db().in_room(|| self.db().write(|txn, trees| bundle.put(txn, trees)))?;
        Ok(received)
    }

    /// Changes the rows of a bundle's records. Returns the sum of the results.
    fn change_rows(
        &self,
        bundle: &WrittenBundle,
        mut work: impl FnMut(&mut Change, &[Seq]) -> Result<u64>,
    ) -> Result<u64> {
        let ranges = self.db().read(|txn, trees| rows(txn, trees, bundle.number))?;
        let seqs: Vec<Seq> = ranges.into_iter().flat_map(|(first, last)| (first.0..=last.0).map(Seq)).collect();
        self.in_transactions(&seqs, |txn, trees, seqs| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let done = work(&mut change, seqs)?;
            change.finish()?;
            Ok(done)
        })
    }

    /// Runs `work` over records in transactions over many of them, on a full disk over few. Returns the sum of the results.
    fn in_transactions(
        &self,
        seqs: &[Seq],
        mut work: impl FnMut(&mut RwTxn, &Trees, &[Seq]) -> Result<u64>,
    ) -> Result<u64> {
        let mut sum = 0;
        for batch in seqs.chunks(RECORDS) {
            sum += in_fitting_parts(batch, |part| {
                self.db().in_room(|| self.db().write(|txn, trees| work(txn, trees, part)))
            })?;
        }
        Ok(sum)
    }
}

/// Notes that the hub of a bundle has received these of its records. Returns how many are newly received.
pub(super) fn receive(change: &mut Change, bundle: &WrittenBundle, seqs: &[Seq]) -> Result<u64> {
    let mut received = 0;
    for seq in seqs {
        let mut entry = carried::get(change.txn, change.trees, *seq)?;
        // A person has sent the record again since, or taken it back.
        if bundle.number < entry.since || !entry.was_given_to(bundle.hub) {
            continue;
        }
        if entry.receive(bundle.hub, true) {
            carried::put(change.txn, change.trees, *seq, &entry)?;
        }
        let row = load(change.txn, change.trees, *seq)?;
        // A pending record was in the bundle of an export that was interrupted.
        let is_waiting = row.state == State::Pending || row.custody() == Some(Custody::Carried);
        if is_waiting && entry.owner() == Some(bundle.hub) {
            change.update(*seq, |row| row.carry(Custody::Received))?;
            received += 1;
        }
    }
    Ok(received)
}

pub(super) fn get(txn: &RoTxn, trees: &Trees, id: &BundleId) -> Result<Option<WrittenBundle>> {
    Ok(trees.bundles.get(txn, id)?.and_then(|stored| WrittenBundle::read(id, stored)))
}

pub(super) fn all(txn: &RoTxn, trees: &Trees) -> Result<Vec<WrittenBundle>> {
    let mut found = Vec::new();
    for entry in trees.bundles.iter(txn)? {
        let (key, stored) = entry?;
        found.extend(WrittenBundle::read(key, stored));
    }
    found.sort_unstable_by_key(|bundle| bundle.number);
    Ok(found)
}

/// The ranges of the records that exports carried to a hub, in order and without an overlap.
pub(super) fn ranges_of(txn: &RoTxn, trees: &Trees, hub: HubNumber, exports: &[u64]) -> Result<Vec<(Seq, Seq)>> {
    let mut ranges = Vec::new();
    for bundle in all(txn, trees)? {
        if bundle.hub == hub && exports.contains(&bundle.serial) {
            ranges.extend(rows(txn, trees, bundle.number)?);
        }
    }
    ranges.sort_unstable();
    let mut merged: Vec<(Seq, Seq)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    Ok(merged)
}

/// The number of the next bundle. Rows of a lost bundle keep their number in use.
pub(crate) fn next_number(txn: &RoTxn, trees: &Trees) -> Result<u64> {
    let listed = trees.bundle_rows.last(txn)?.and_then(|(key, _)| read_row_key(key)).map_or(0, |(number, _)| number);
    let last = all(txn, trees)?.last().map_or(0, |bundle| bundle.number);
    Ok(listed.max(last) + 1)
}

/// The ranges of a bundle's records: the first and the last of each. A damaged one is left out: its records go out again.
pub(super) fn rows(txn: &RoTxn, trees: &Trees, number: u64) -> Result<Vec<(Seq, Seq)>> {
    let (first, last) = (row_key(number, Seq(0)), row_key(number, Seq::MAX));
    let mut found = Vec::new();
    for entry in trees.bundle_rows.range(txn, &(Bound::Included(&first[..]), Bound::Included(&last[..])))? {
        let (key, stored) = entry?;
        found.extend(read_row(key, stored).map(|(_, first, last)| (first, last)));
    }
    Ok(found)
}

/// The number of the bundle, and the first and the last record of a range.
pub(crate) fn read_row(key: &[u8], stored: &[u8]) -> Option<(u64, Seq, Seq)> {
    let (number, first) = read_row_key(key)?;
    let value = without_seal(key, stored).filter(|value| value.len() == 8)?;
    let last = tail_seq(value).ok()?;
    (first <= last).then_some((number, first, last))
}

fn read_row_key(key: &[u8]) -> Option<(u64, Seq)> {
    let key: &[u8; 16] = key.try_into().ok()?;
    Some((u64::from_be_bytes(array(key, 0)), Seq(u64::from_be_bytes(array(key, 8)))))
}

pub(super) fn put_rows(txn: &mut RwTxn, trees: &Trees, number: u64, first: Seq, last: Seq) -> Result<()> {
    let key = row_key(number, first);
    Ok(trees.bundle_rows.put(txn, &key, &with_seal(&key, seq_key(last).to_vec()))?)
}

fn row_key(number: u64, first: Seq) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number_key(number));
    key[8..].copy_from_slice(&seq_key(first));
    key
}

/// The ranges of numbers without a gap, of numbers in order.
pub(super) fn runs(seqs: &[Seq]) -> Vec<(Seq, Seq)> {
    seqs.chunk_by(|one, next| one.0 + 1 == next.0).map(|run| (run[0], run[run.len() - 1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_no_gap() {
        let seqs = [1, 2, 3, 7, 9, 10].map(Seq);
        assert_eq!(runs(&seqs), [(1, 3), (7, 7), (9, 10)].map(|(first, last)| (Seq(first), Seq(last))));
        assert_eq!(runs(&[]), []);
    }
}
