//! Restores the entries about bundles. The records of a salvaged store have new numbers.

use std::collections::BTreeMap;

use heed::RwTxn;

use super::arrived::{self, ARRIVED, Arrived};
use super::carried::{self, CarriedEntry};
use super::written::{self, WrittenBundle, put_rows, runs};
use super::{arrivals, followups, one_way, returns};
use crate::store::Store;
use crate::store::db::trees::{Trees, seq_key, with_seal, without_seal};
use crate::store::followups::queue::{FollowUpKey, Queue};
use crate::store::records::transition::Change;
use crate::{Result, Seq};

/// The intact entries of a damaged store.
#[derive(Default)]
pub(crate) struct SalvagedBundles {
    pub(crate) carried: BTreeMap<Seq, CarriedEntry>,
    bundles: Vec<WrittenBundle>,
    rows: Vec<(u64, Seq, Seq)>,
    known_hubs: Vec<(Vec<u8>, Vec<u8>)>,
    returns: Vec<(Vec<u8>, Vec<u8>)>,
}

impl SalvagedBundles {
    /// Takes an entry of a tree; `None` when it is damaged.
    pub(crate) fn take(&mut self, tree: &[u8], key: &[u8], stored: &[u8]) -> Option<()> {
        let value = without_seal(key, stored)?;
        match tree {
            b"carried" => {
                let seq = Seq(u64::from_be_bytes(key.try_into().ok()?));
                self.carried.insert(seq, CarriedEntry::read(key, stored)?);
            }
            b"bundles" => self.bundles.push(WrittenBundle::read(key, stored)?),
            b"bundle_rows" => self.rows.push(written::read_row(key, stored)?),
            b"hubs" => self.known_hubs.push((key.to_vec(), value.to_vec())),
            _ => self.returns.push((key.to_vec(), value.to_vec())),
        }
        Some(())
    }

    /// Whether the store has bundles, so that the new numbers of records are needed.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.known_hubs.is_empty() && self.returns.is_empty()
    }

    /// Writes the hubs of a record that was written.
    pub(crate) fn copy_carried(&self, change: &mut Change, old: Seq, new: Seq) -> Result<()> {
        match self.carried.get(&old) {
            Some(entry) => carried::put(change.txn, change.trees, new, entry),
            None => Ok(()),
        }
    }

    /// Writes the rest. `numbers` has the new number of each old one. A hub begins a new log.
    pub(crate) fn copy(&self, store: &Store, numbers: &BTreeMap<Seq, Seq>) -> Result<()> {
        store.db().write(|txn, trees| {
            for bundle in &self.bundles {
                bundle.put(txn, trees)?;
            }
            for (number, first, last) in &self.rows {
                let seqs: Vec<Seq> = numbers.range(*first..=*last).map(|(_, new)| *new).collect();
                for (first, last) in runs(&seqs) {
                    put_rows(txn, trees, *number, first, last)?;
                }
            }
            for (key, value) in &self.known_hubs {
                let value =
                    if key.first() == Some(&followups::OUT) { renumbered(value, numbers) } else { Some(value.clone()) };
                if let Some(value) = value {
                    trees.hubs.put(txn, key, &with_seal(key, value))?;
                }
            }
            // The records have other numbers than before.
            if let Some(setting) = one_way::setting(txn, trees)? {
                one_way::put(txn, trees, &one_way::OneWay { pruned_to: Seq(0), ..setting })?;
            }
            self.copy_returns(txn, trees, numbers)
        })
    }

    fn copy_returns(&self, txn: &mut RwTxn, trees: &Trees, numbers: &BTreeMap<Seq, Seq>) -> Result<()> {
        for (key, value) in &self.returns {
            let stored = with_seal(key, value.clone());
            match key.first() {
                Some(&ARRIVED) => {
                    if let Some(found) = arrived::read(key, &stored) {
                        arrived::put(txn, trees, &Arrived { is_reported: false, ..found })?;
                    }
                }
                Some(&arrivals::HOLE) => trees.returns.put(txn, key, &stored)?,
                Some(&(followups::WAITING | followups::REPORTED)) => {
                    if let Some(value) = renumbered(value, numbers) {
                        trees.returns.put(txn, key, &with_seal(key, value))?;
                    }
                }
                _ => {}
            }
        }
        if self.returns.is_empty() { Ok(()) } else { returns::begin_epoch(txn, trees) }
    }
}

/// The key of a follow-up with the new number of its record.
fn renumbered(value: &[u8], numbers: &BTreeMap<Seq, Seq>) -> Option<Vec<u8>> {
    let mut key: FollowUpKey = value.try_into().ok()?;
    if let Queue::Record(old) = Queue::of(&key)? {
        key[1..9].copy_from_slice(&seq_key(*numbers.get(&old)?));
    }
    Some(key.to_vec())
}
