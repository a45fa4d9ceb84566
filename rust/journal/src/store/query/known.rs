//! Which records of an import the journal has already.

use crate::state::{CallEnd, State};
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
    /// How much of each record the journal has, and whether the record is dead or held. Reads no body.
    pub fn known(&self, ids: &[RecordId]) -> Result<Vec<(Known, bool)>> {
        self.db().read(|txn, trees| {
            let known = |id: &RecordId| {
                let Some(seq) = trees.ids.get(txn, &id.0)?.map(tail_seq).transpose()? else {
                    return Ok((Known::No, false));
                };
                let row = load(txn, trees, seq)?;
                let is_open = matches!(row.ended, CallEnd::No | CallEnd::Abandoned);
                let has_end = || Ok(trees.records.get(txn, &record_key(seq, PART_END))?.is_some());
                let lacks_end: Result<bool> = if is_open { has_end().map(|has_end: bool| !has_end) } else { Ok(false) };
                let found = if lacks_end? { Known::WithoutEnd } else { Known::Yes };
                Ok((found, matches!(row.state, State::Dead | State::Held)))
            };
            ids.iter().map(known).collect()
        })
    }
}
