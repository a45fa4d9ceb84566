//! The choice of the records that can leave the machine in a bundle: ended records without a request id.

use super::tree_wait::waiting_after;
use crate::state::State;
use crate::store::Store;
use crate::store::db::trees::{parked_prefix, tail_seq};
use crate::store::records::transition::load;
use crate::{Millis, Result, Seq};

/// A record on its way into a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Carriable {
    /// Its place in the order of ingestion.
    pub seq: Seq,
    /// Whether it may have been sent.
    pub doubt: bool,
}

/// The records for a bundle.
#[derive(Clone, Debug, Default)]
pub struct Carriables {
    /// In the order of ingestion.
    pub records: Vec<Carriable>,
    /// The number of calls that have not ended.
    pub running: u64,
}

impl Store {
    /// The records that can leave in a bundle. No body is read, so a record among them may be pruned.
    pub fn carriable(&self) -> Result<Carriables> {
        self.db().read(|txn, trees| {
            let mut found = Carriables::default();
            for entry in trees.open.iter(txn)? {
                found.running += u64::from(!load(txn, trees, tail_seq(entry?.0)?)?.is_run());
            }
            let mut add = |seq, doubt| found.records.push(Carriable { seq, doubt });
            for entry in trees.outbox.iter(txn)? {
                add(tail_seq(entry?.0)?, false);
            }
            for seq in waiting_after(txn, trees, Millis::EPOCH)? {
                add(seq, false);
            }
            for entry in trees.parked.prefix_iter(txn, &parked_prefix(State::InDoubt))? {
                add(tail_seq(entry?.0)?, true);
            }
            found.records.sort_unstable();
            Ok(found)
        })
    }
}
