//! The labels of a group of records, on their way into the index.
//!
//! Most labels are the same few tags and models. Sorted in the order of the index, equal labels are put one after the other, which
//! costs LMDB no search.

use crate::store::db::trees::{Puts, push_label, sealed_seq};
use crate::store::records::transition::Change;
use crate::{RecordId, Result, Seq, labels};

/// The entries of a group.
#[derive(Default)]
pub(super) struct Index<'g> {
    /// Run ids: all different, and mostly in order already.
    runs: Vec<LabelEntry<'g>>,
    others: Vec<LabelEntry<'g>>,
}

struct LabelEntry<'g> {
    kind: u8,
    value: &'g [u8],
    id: RecordId,
    seq: Seq,
}

impl<'g> Index<'g> {
    pub(super) fn add(&mut self, kind: u8, value: &'g [u8], id: RecordId, seq: Seq) {
        let entries = if kind == labels::RUN { &mut self.runs } else { &mut self.others };
        entries.push(LabelEntry { kind, value, id, seq });
    }

    pub(super) fn write(mut self, change: &mut Change<'_, '_>) -> Result<()> {
        // Stable sorts: they keep the order of the records, which nearly equals the order of ids, and are fast on sorted input.
        self.runs.sort_by_key(|entry| entry.value);
        self.others.sort_by_key(|entry| (entry.kind, entry.value.len(), entry.value));
        let mut puts = Puts::into(change.trees.labels, change.txn)?;
        let mut key = Vec::with_capacity(64);
        for LabelEntry { kind, value, id, seq } in self.runs.iter().chain(&self.others) {
            key.clear();
            push_label(&mut key, *kind, value, *id);
            puts.put(&key, &sealed_seq(&key, *seq))?;
        }
        Ok(())
    }
}
