//! Which records of an import the journal has already.

use crate::state::CallEnd;
use crate::store::Store;
use crate::store::db::trees::{PART_END, record_key, tail_seq};
use crate::store::records::transition::load;
use crate::{RecordId, Result};

/// How much of a record the journal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    No,
    /// A record that may still get its end: an interrupted import has stored the start alone.
    WithoutEnd,
    /// All of it, or its state alone after its content was removed.
    Yes,
}

impl Store {
    /// How much of each record the journal has. Reads no body.
    pub fn known(&self, ids: &[RecordId]) -> Result<Vec<Known>> {
        self.db().read(|txn, trees| {
            let known = |id: &RecordId| {
                let Some(seq) = trees.ids.get(txn, &id.0)?.map(tail_seq).transpose()? else { return Ok(Known::No) };
                let is_open = matches!(load(txn, trees, seq)?.ended, CallEnd::No | CallEnd::Abandoned);
                let has_end = || Ok(trees.records.get(txn, &record_key(seq, PART_END))?.is_some());
                let lacks_end: Result<bool> = if is_open { has_end().map(|has_end: bool| !has_end) } else { Ok(false) };
                Ok(if lacks_end? { Known::WithoutEnd } else { Known::Yes })
            };
            ids.iter().map(known).collect()
        })
    }
}
