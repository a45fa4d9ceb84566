//! Units: a tree that is due as a whole, or a single record. One request closes the trace of a whole tree.

use heed::RoTxn;

use super::lease_limits::{Limits, size};
use super::tree_wait::is_root_open;
use crate::state::{CallEnd, FLAG_RENEWED, Lane, State};
use crate::store::Store;
use crate::store::db::trees::Trees;
use crate::store::records::members::members;
use crate::store::records::transition::load;
use crate::{Millis, RecordId, Result, Seq};

/// Records that are leased together.
pub(super) struct Unit {
    /// In the order of the journal.
    pub(super) seqs: Vec<Seq>,
    pub(super) lane: Lane,
    /// The bytes of the events.
    pub(super) size: u64,
}

impl Unit {
    /// The unit of a record that is due. A root stands for its tree, if the tree is within the limits.
    pub(super) fn of(txn: &RoTxn, trees: &Trees, seq: Seq, limits: Limits, now: Millis) -> Result<Self> {
        let row = load(txn, trees, seq)?;
        let single = Self { seqs: vec![seq], lane: row.lane, size: size(txn, trees, seq)? };
        if !row.is_run() {
            return Ok(single);
        }
        let mut tree = Self { seqs: Vec::new(), lane: row.lane, size: 0 };
        for member in members(txn, trees, row.id)? {
            let of = load(txn, trees, member)?;
            let is_pending = of.state == State::Pending && of.ended != CallEnd::No && !of.is_growing();
            if !is_pending || of.not_before > now || of.lane != row.lane {
                continue;
            }
            tree.size += size(txn, trees, member)?;
            tree.seqs.push(member);
            if tree.size > limits.bytes || tree.seqs.len() > limits.records {
                return Ok(single);
            }
        }
        tree.seqs.sort_unstable();
        Ok(if tree.seqs.is_empty() { single } else { tree })
    }

    pub(super) fn is_tree(&self) -> bool {
        self.seqs.len() > 1
    }
}

/// The records of a tree that are still to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRest {
    /// Whether the root has ended.
    pub has_ended: bool,
    /// The records that have ended, and are not yet acked, dead or held.
    pub unsettled: Vec<Seq>,
}

impl Store {
    /// The rests of trees, by their roots.
    pub fn tree_rests(&self, roots: &[RecordId]) -> Result<Vec<TreeRest>> {
        self.db().read(|txn, trees| roots.iter().map(|root| rest(txn, trees, *root)).collect())
    }
}

fn rest(txn: &RoTxn, trees: &Trees, root: RecordId) -> Result<TreeRest> {
    let mut unsettled = Vec::new();
    for seq in members(txn, trees, root)? {
        let row = load(txn, trees, seq)?;
        let is_settled = matches!(row.state, State::Acked | State::Dead | State::Held);
        // A renewed record has another trace.
        if row.ended != CallEnd::No && !is_settled && row.flags & FLAG_RENEWED == 0 {
            unsettled.push(seq);
        }
    }
    Ok(TreeRest { has_ended: !is_root_open(txn, trees, root)?, unsettled })
}
