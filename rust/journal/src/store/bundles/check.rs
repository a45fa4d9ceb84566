//! Checks the entries about bundles.

use heed::RoTxn;

use super::carried::{self, CarriedEntry};
use super::returns;
use super::written::{self, WrittenBundle};
use crate::Result;
use crate::state::State;
use crate::store::db::trees::{Trees, tail_seq, without_seal};
use crate::store::outbox::parked_records;
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;

/// The problems of the entries about bundles, in words.
pub(crate) fn problems(txn: &RoTxn, trees: &Trees) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let last = Counts::load(txn, trees)?.last_seq;
    for entry in trees.carried.iter(txn)? {
        let (key, stored) = entry?;
        if CarriedEntry::read(key, stored).is_none() || tail_seq(key)? > last {
            found.push("the hubs of a record are damaged: it is exported again".to_owned());
        }
    }
    if Counts::load(txn, trees)?.carried() > 0 {
        for seq in parked_records(txn, trees, State::InDoubt)? {
            if load(txn, trees, seq).is_ok_and(|row| row.custody().is_some())
                && carried::get(txn, trees, seq)?.given.is_empty()
            {
                found.push(format!("record {seq} is carried, and its hub is lost: it is exported again"));
            }
        }
    }
    for entry in trees.bundles.iter(txn)? {
        let (key, stored) = entry?;
        if WrittenBundle::read(key, stored).is_none() {
            found.push("the entry of a bundle is damaged: its records are exported again".to_owned());
        }
    }
    for entry in trees.bundle_rows.iter(txn)? {
        let (key, stored) = entry?;
        if written::read_row(key, stored).is_none_or(|(_, _, end)| end > last) {
            found.push("the records of a bundle are damaged: they are exported again".to_owned());
        }
    }
    for entry in trees.hubs.iter(txn)? {
        let (key, stored) = entry?;
        if without_seal(key, stored).is_none() {
            found.push("an entry about a hub is damaged: its log is read again".to_owned());
        }
    }
    for entry in trees.returns.iter(txn)? {
        let (key, stored) = entry?;
        if without_seal(key, stored).is_none() {
            found.push("the log for the origin is damaged; salvage begins a new one".to_owned());
        }
    }
    if let Some(problem) = returns::problem(txn, trees)? {
        found.push(problem);
    }
    Ok(found)
}
