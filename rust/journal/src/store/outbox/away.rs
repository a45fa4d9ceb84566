//! Records in doubt that this journal's sender leaves alone: another server has them, or a hub delivers them.

use std::collections::HashSet;

use heed::RoTxn;

use super::parked::parked_records;
use crate::state::State;
use crate::store::db::trees::{Trees, parked_prefix, tail_seq};
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;
use crate::store::servers::elsewhere;
use crate::{Result, Seq};

/// Those records.
pub(crate) struct Away {
    elsewhere: HashSet<Seq>,
    carried: u64,
    is_every_record: bool,
}

impl Away {
    pub(crate) fn load(txn: &RoTxn, trees: &Trees) -> Result<Self> {
        let counts = Counts::load(txn, trees)?;
        let carried = counts.carried();
        // An earlier version makes carried records ordinary ones, all at once, and does not count them.
        let is_every_record =
            carried > 0 && carried == counts.states[State::InDoubt as usize] && is_first_carried(txn, trees)?;
        Ok(Self { elsewhere: elsewhere::seqs(txn, trees)?, carried, is_every_record })
    }

    /// Whether every record in doubt is away. A gapped journal may have a million of them.
    pub(crate) fn is_every_record(&self) -> bool {
        self.is_every_record
    }

    pub(crate) fn has(&self, txn: &RoTxn, trees: &Trees, seq: Seq) -> Result<bool> {
        // It is empty in most journals.
        if !self.elsewhere.is_empty() && self.elsewhere.contains(&seq) {
            return Ok(true);
        }
        Ok(self.carried > 0 && load(txn, trees, seq)?.custody().is_some())
    }

    /// The records in doubt that are not away.
    pub(crate) fn in_doubt_here(&self, txn: &RoTxn, trees: &Trees) -> Result<Vec<Seq>> {
        if self.is_every_record() {
            return Ok(Vec::new());
        }
        let mut here = Vec::new();
        for seq in parked_records(txn, trees, State::InDoubt)? {
            if !self.has(txn, trees, seq)? {
                here.push(seq);
            }
        }
        Ok(here)
    }
}

fn is_first_carried(txn: &RoTxn, trees: &Trees) -> Result<bool> {
    let first = trees.parked.prefix_iter(txn, &parked_prefix(State::InDoubt))?.next().transpose()?;
    first.map_or(Ok(false), |(key, _)| Ok(load(txn, trees, tail_seq(key)?)?.custody().is_some()))
}
