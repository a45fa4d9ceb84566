//! Trees of runs: their roots by time, and the members of one tree.

use std::ops::Bound;

use crate::labels::ROOT;
use crate::store::Store;
use crate::store::db::trees::{label_key, label_prefix, tail_seq};
use crate::store::records::read::{PAGE_BYTES, read_row};
use crate::store::records::row::Row;
use crate::store::records::transition::load;
use crate::{RecordId, Result};

/// Bytes of a label's key in front of its value: its kind, and the length of the value.
const VALUE: usize = 2;
const ID: usize = 16;
/// The beginning of the keys of all roots' labels.
const FIRST: [u8; VALUE] = [ROOT, 16];
/// Behind the keys of all roots' labels.
const END: [u8; VALUE] = [ROOT, 17];

impl Store {
    /// Up to `limit` ids of roots, in the order of their starts. `beyond` is the last root of the page before.
    pub fn roots(&self, beyond: Option<RecordId>, oldest_first: bool, limit: usize) -> Result<Vec<RecordId>> {
        let after = |root: RecordId| label_key(ROOT, &root.0, RecordId([0xff; ID]));
        let mut from = match (beyond, oldest_first) {
            (Some(root), true) => after(root),
            (Some(root), false) => label_prefix(ROOT, &root.0),
            (None, true) => FIRST.to_vec(),
            (None, false) => END.to_vec(),
        };
        self.db().read(|txn, trees| {
            let mut found = Vec::new();
            while found.len() < limit {
                let next = if oldest_first {
                    trees.labels.get_greater_than(txn, &from)?
                } else {
                    trees.labels.get_lower_than(txn, &from)?
                };
                let Some((key, _)) = next.filter(|(key, _)| key.starts_with(&FIRST)) else { break };
                let Some(root) = key.get(VALUE..).and_then(|tail| tail.first_chunk::<ID>()) else { break };
                let root = RecordId(*root);
                found.push(root);
                // Past the other members of the tree.
                from = if oldest_first { after(root) } else { label_prefix(ROOT, &root.0) };
            }
            Ok(found)
        })
    }

    /// Up to `limit` members of a tree in the order of their starts, the root first; fewer with [`PAGE_BYTES`] of bodies. `after` is the
    /// last record of the page before.
    pub fn tree(&self, root: RecordId, after: Option<RecordId>, limit: usize) -> Result<Vec<Row>> {
        let from = after.map_or_else(|| label_prefix(ROOT, &root.0), |id| label_key(ROOT, &root.0, id));
        let to = label_key(ROOT, &root.0, RecordId([0xff; ID]));
        self.db().read(|txn, trees| {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for entry in trees.labels.range(txn, &(Bound::Excluded(&from[..]), Bound::Included(&to[..])))? {
                let seq = tail_seq(entry?.1)?;
                let row = read_row(txn, trees, seq, load(txn, trees, seq)?)?;
                bytes += row.size();
                rows.push(row);
                if rows.len() == limit || bytes >= PAGE_BYTES {
                    break;
                }
            }
            Ok(rows)
        })
    }
}
