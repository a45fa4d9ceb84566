//! Trees that grow: a record that has ended waits for the end of its tree's root, so that one request sends the whole tree.
//!
//! A root may run for hours, and a living process may never end it. So a record waits for [`TREE_WAIT`] at most, or for the time of
//! [`Store::set_tree_wait`].

use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heed::RoTxn;

use super::parts::in_fitting_parts;
use crate::state::CallEnd;
use crate::store::Store;
use crate::store::db::trees::{GROWING, Trees, growing_key, tail_seq};
use crate::store::records::row::StateRow;
use crate::store::records::transition::{Change, load};
use crate::{Error, Millis, RecordId, Result, Seq};

/// How long a record waits for the end of its tree's root by default. The store lists each record with the end of this wait.
pub const TREE_WAIT: Duration = Duration::from_mins(1);

/// Whether the root of a tree may still end. The start of an unknown root may not be ingested yet.
pub(crate) fn is_root_open(txn: &RoTxn, trees: &Trees, root: RecordId) -> Result<bool> {
    let Some(seq) = trees.ids.get(txn, &root.0)?.map(tail_seq).transpose()? else { return Ok(true) };
    Ok(load(txn, trees, seq)?.ended == CallEnd::No)
}

/// The listed end of the first wait.
fn next(txn: &RoTxn, trees: &Trees) -> Result<Option<Millis>> {
    let first = trees.parked.prefix_iter(txn, &[GROWING])?.next().transpose()?;
    first.map(|(key, _)| until(key)).transpose()
}

/// The records that wait beyond a moment.
pub(super) fn waiting_after(txn: &RoTxn, trees: &Trees, moment: Millis) -> Result<Vec<Seq>> {
    let first = growing_key(moment, Seq::MAX);
    let end = [GROWING + 1];
    let range = (Bound::Excluded(&first[..]), Bound::Excluded(&end[..]));
    trees.parked.range(txn, &range)?.map(|entry| tail_seq(entry?.0)).collect()
}

fn until(key: &[u8]) -> Result<Millis> {
    let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or_else(|| Error::Corrupt("a key of a growing tree is too short".into()))?;
    Ok(Millis(u64::from_be_bytes(bytes)))
}

impl Store {
    /// Sets how long records wait for the end of their tree's root, for all leases of this process.
    pub fn set_tree_wait(&self, wait: Duration) {
        self.shared.tree_wait.store((Millis::EPOCH + wait).0, Ordering::Relaxed);
    }

    /// When the first of the records that wait is due.
    pub(super) fn next_growing(&self, txn: &RoTxn, trees: &Trees) -> Result<Option<Millis>> {
        let wait = self.shared.tree_wait.load(Ordering::Relaxed);
        Ok(next(txn, trees)?.map(|until| Millis((until - TREE_WAIT).0.saturating_add(wait))))
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
        in_fitting_parts(&overdue, |part| self.release_part(part, now)).map(drop)
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
