//! The list of the records that wait for the end of their tree's root.

use std::ops::Bound;
use std::time::Duration;

use heed::RoTxn;

use crate::state::CallEnd;
use crate::store::db::trees::{GROWING, Trees, growing_key, tail_seq};
use crate::store::records::transition::load;
use crate::{Error, Millis, RecordId, Result, Seq};

/// How long a record waits for the end of its tree's root by default. The store lists each record with the end of this wait.
pub const TREE_WAIT: Duration = Duration::from_mins(1);

/// Whether the root of a tree may still end. The start of an unknown root may not be ingested yet.
pub(crate) fn is_root_open(txn: &RoTxn, trees: &Trees, root: RecordId) -> Result<bool> {
    let Some(seq) = trees.ids.get(txn, &root.0)?.map(tail_seq).transpose()? else { return Ok(true) };
    Ok(load(txn, trees, seq)?.ended == CallEnd::No)
}

/// The listed end of the first wait.
pub(super) fn first_until(txn: &RoTxn, trees: &Trees) -> Result<Option<Millis>> {
    let first = trees.parked.prefix_iter(txn, &[GROWING])?.next().transpose()?;
    first.map(|(key, _)| until(key)).transpose()
}

/// How many calls, and how many other runs, wait beyond a moment.
pub(crate) fn count_growing(txn: &RoTxn, trees: &Trees, moment: Millis) -> Result<(u64, u64)> {
    let (mut calls, mut runs) = (0, 0);
    for seq in waiting_after(txn, trees, moment)? {
        *(if load(txn, trees, seq)?.is_run() { &mut runs } else { &mut calls }) += 1;
    }
    Ok((calls, runs))
}

/// The records that wait beyond a moment.
pub(super) fn waiting_after(txn: &RoTxn, trees: &Trees, moment: Millis) -> Result<Vec<Seq>> {
    let first = growing_key(moment, Seq::MAX);
    let end = [GROWING + 1];
    let range = (Bound::Excluded(&first[..]), Bound::Excluded(&end[..]));
    trees.parked.range(txn, &range)?.map(|entry| tail_seq(entry?.0)).collect()
}

/// The end of the wait in a key of the list.
pub(crate) fn until(key: &[u8]) -> Result<Millis> {
    let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or_else(|| Error::Corrupt("a key of a growing tree is too short".into()))?;
    Ok(Millis(u64::from_be_bytes(bytes)))
}
