//! Upgrades a store of an earlier version when it is opened: adds its missing trees and entries.

use heed::{Env, RoTxn, WithoutTls};

use super::stamp::Stamp;
use super::trees::{self, Trees};
use crate::Result;
use crate::store::callbacks;
use crate::store::outbox::{ack_order, request_index};
use crate::store::records::counts::Counts;
use crate::store::records::dictionary;

/// The handles to every tree, after the upgrade.
pub(crate) fn open(env: &Env<WithoutTls>, stamp: &Stamp) -> Result<Trees> {
    let txn = env.read_txn()?;
    if trees::lacks_later_trees(env, &txn)? {
        drop(txn);
    } else {
        let trees = Trees::open(env, &txn)?;
        let is_current = is_current(&txn, &trees)?;
        // LMDB keeps handles of a read transaction only if it is committed.
        txn.commit()?;
        if is_current {
            return Ok(trees);
        }
    }
    let mut txn = env.write_txn()?;
    trees::create_later_trees(env, &mut txn)?;
    let trees = Trees::open(env, &txn)?;
    if !dictionary::has_current(&txn, &trees)? {
        // This process may store bodies that need the dictionary.
        dictionary::keep_current(&mut txn, &trees)?;
    }
    if !has_all_acks(&txn, &trees)? {
        ack_order::list_missing(&mut txn, &trees)?;
    }
    for (request, seq) in request_index::missing(&txn, &trees)? {
        request_index::list(&mut txn, &trees, request, seq)?;
    }
    if !has_all_callbacks(&txn, &trees)? {
        callbacks::rebuild_due_list(&mut txn, &trees)?;
    }
    stamp.commit(|| Ok(txn.commit()?))?;
    Ok(trees)
}

fn is_current(txn: &RoTxn, trees: &Trees) -> Result<bool> {
    Ok(dictionary::has_current(txn, trees)?
        && has_all_acks(txn, trees)?
        && has_all_callbacks(txn, trees)?
        && request_index::missing(txn, trees)?.is_empty())
}

fn has_all_acks(txn: &RoTxn, trees: &Trees) -> Result<bool> {
    Ok(trees.ack_order.len(txn)? + Counts::load(txn, trees)?.acked_runs() == trees.acks.len(txn)?)
}

fn has_all_callbacks(txn: &RoTxn, trees: &Trees) -> Result<bool> {
    Ok(trees.callbacks_due.len(txn)? == trees.callbacks.len(txn)?)
}
