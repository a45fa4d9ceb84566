//! Trees that grow: a record that has ended waits for the end of its tree's root, so that one request sends the whole tree.
//!
//! A root may run for hours, and a living process may never end it. So a record waits for [`TREE_WAIT`] at most, or for the time of
//! [`Store::set_tree_wait`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use heed::RoTxn;

use super::parts::in_fitting_parts;
use super::tree_wait::{TREE_WAIT, first_until, until};
use crate::store::Store;
use crate::store::db::trees::{GROWING, Trees, tail_seq};
use crate::store::records::row::StateRow;
use crate::store::records::transition::{Change, load};
use crate::{Millis, Result, Seq};

impl Store {
    /// Sets how long records wait for the end of their tree's root, for all leases of this process.
    pub fn set_tree_wait(&self, wait: Duration) {
        self.shared.tree_wait.store((Millis::EPOCH + wait).0, Ordering::Relaxed);
    }

    /// When the first of the records that wait is due.
    pub(super) fn next_growing(&self, txn: &RoTxn, trees: &Trees) -> Result<Option<Millis>> {
        let wait = self.shared.tree_wait.load(Ordering::Relaxed);
        Ok(first_until(txn, trees)?.map(|until| Millis((until - TREE_WAIT).0.saturating_add(wait))))
    }

    /// Makes the records due whose wait is over. Their trees are sent in parts.
    pub(super) fn release_overdue(&self, now: Millis) -> Result<()> {
        let wait = self.shared.tree_wait.load(Ordering::Relaxed);
        let last = Millis((now + TREE_WAIT).0.saturating_sub(wait));
        let overdue = self.db().read(|txn, trees| {
            let mut seqs = Vec::new();
            for entry in trees.parked.prefix_iter(txn, &[GROWING])? {
                let (key, _) = entry?;
                if until(key)? > last {
                    break;
                }
                seqs.push(tail_seq(key)?);
            }
            Ok(seqs)
        })?;
        if overdue.is_empty() {
            return Ok(());
        }
        in_fitting_parts(&overdue, |part| self.db().in_room(|| self.release_part(part, now))).map(drop)
    }

    fn release_part(&self, seqs: &[Seq], now: Millis) -> Result<u64> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, now)?;
            for seq in seqs {
                // The end of the root may have come meanwhile.
                if load(change.txn, trees, *seq)?.is_growing() {
                    change.update(*seq, StateRow::stop_growing)?;
                }
            }
            change.finish()?;
            Ok(seqs.len() as u64)
        })
    }
}
