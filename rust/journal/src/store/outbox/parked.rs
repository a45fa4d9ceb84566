//! The records of a state that the work list `parked` has.

use heed::RoTxn;

use crate::state::State;
use crate::store::Store;
use crate::store::db::trees::{Trees, parked_prefix, tail_seq};
use crate::{Result, Seq};

/// The records of a state that `parked` lists.
pub(crate) fn parked_records(txn: &RoTxn, trees: &Trees, state: State) -> Result<Vec<Seq>> {
    let entries = trees.parked.prefix_iter(txn, &parked_prefix(state))?;
    entries.map(|entry| tail_seq(entry?.0)).collect()
}

impl Store {
    /// Like [`parked_records`], for a list of all records: the pages that were read are released.
    pub(crate) fn all_parked(&self, txn: &RoTxn, trees: &Trees, state: State) -> Result<Vec<Seq>> {
        let mut seqs = Vec::new();
        for entry in trees.parked.prefix_iter(txn, &parked_prefix(state))? {
            seqs.push(tail_seq(entry?.0)?);
            self.db().trimmer.release_if_due(txn, trees);
        }
        Ok(seqs)
    }
}
