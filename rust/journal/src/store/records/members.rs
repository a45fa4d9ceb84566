//! The members of a tree: the records with its root's label.

use heed::RoTxn;

use crate::labels::ROOT;
use crate::store::db::trees::{Trees, label_prefix, tail_seq};
use crate::{RecordId, Result, Seq};

/// The records of a tree in the order of their ids: the root first.
pub(crate) fn members(txn: &RoTxn, trees: &Trees, root: RecordId) -> Result<Vec<Seq>> {
    let entries = trees.labels.prefix_iter(txn, &label_prefix(ROOT, &root.0))?;
    entries.map(|entry| tail_seq(entry?.1)).collect()
}
