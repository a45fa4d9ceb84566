//! Records in doubt that this journal's sender leaves alone: another server has them, or a hub delivers them.

use std::collections::HashSet;

use heed::RoTxn;

use super::parked::parked_records;
use crate::state::State;
use crate::store::db::trees::Trees;
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;
use crate::store::servers::elsewhere;
use crate::{Result, Seq};

/// Those records.
pub(crate) struct Away {
    elsewhere: HashSet<Seq>,
    carried: u64,
    in_doubt: u64,
}

impl Away {
    pub(crate) fn load(txn: &RoTxn, trees: &Trees) -> Result<Self> {
        let counts = Counts::load(txn, trees)?;
        let (carried, in_doubt) = (counts.carried(), counts.states[State::InDoubt as usize]);
        Ok(Self { elsewhere: elsewhere::seqs(txn, trees)?, carried, in_doubt })
    }

    /// Whether every record in doubt is away. A gapped journal may have a million of them.
    pub(crate) fn is_every_record(&self) -> bool {
        self.carried > 0 && self.carried == self.in_doubt
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
