//! Upgrades a store of an earlier version when it is opened: adds its missing trees and entries.

use heed::{Env, RoTxn, WithoutTls};

use super::tables::{self, Tables};
use crate::Result;
use crate::store::callbacks;
use crate::store::outbox::ack_order;
use crate::store::records::dictionary;

/// The handles to every tree, after the upgrade.
pub(crate) fn open(env: &Env<WithoutTls>) -> Result<Tables> {
    let txn = env.read_txn()?;
    if tables::lacks_added(env, &txn)? {
        drop(txn);
    } else {
        let tables = Tables::open(env, &txn)?;
        let is_current = is_current(&txn, &tables)?;
        // LMDB keeps handles of a read transaction only if it is committed.
        txn.commit()?;
        if is_current {
            return Ok(tables);
        }
    }
    let mut txn = env.write_txn()?;
    tables::create_added(env, &mut txn)?;
    let tables = Tables::open(env, &txn)?;
    if !dictionary::has_current(&txn, &tables)? {
        // This process may store bodies that need the dictionary.
        dictionary::keep_current(&mut txn, &tables)?;
    }
    if !has_all_acks(&txn, &tables)? {
        ack_order::list_missing(&mut txn, &tables)?;
    }
    if !has_all_callbacks(&txn, &tables)? {
        callbacks::rebuild_due_list(&mut txn, &tables)?;
    }
    txn.commit()?;
    Ok(tables)
}

fn is_current(txn: &RoTxn, tables: &Tables) -> Result<bool> {
    Ok(dictionary::has_current(txn, tables)? && has_all_acks(txn, tables)? && has_all_callbacks(txn, tables)?)
}

fn has_all_acks(txn: &RoTxn, tables: &Tables) -> Result<bool> {
    Ok(tables.ack_order.len(txn)? == tables.acks.len(txn)?)
}

fn has_all_callbacks(txn: &RoTxn, tables: &Tables) -> Result<bool> {
    Ok(tables.callbacks_due.len(txn)? == tables.callbacks.len(txn)?)
}
