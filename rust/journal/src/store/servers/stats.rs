//! The servers with the numbers that `plsync status` shows.

use std::collections::BTreeMap;

use heed::RoTxn;

use super::{Server, all, bound, elsewhere};
use crate::Result;
use crate::ids::ServerId;
use crate::state::State;
use crate::store::Store;
use crate::store::db::trees::{Trees, tail_seq};
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;

/// A server, with the numbers of `plsync status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStats {
    /// The server.
    pub server: Server,
    /// Whether the journal is bound to it.
    pub is_bound: bool,
    /// Calls that were sent to it without a clear response.
    pub in_doubt: u64,
}

/// The servers with their numbers, in the order in which the journal met them.
pub(crate) fn stats(txn: &RoTxn, trees: &Trees) -> Result<Vec<ServerStats>> {
    let bound = bound(txn, trees)?.map(|server| server.id);
    let away = calls_elsewhere(txn, trees)?;
    let counts = Counts::load(txn, trees)?;
    let in_doubt = counts.states[State::InDoubt as usize].saturating_sub(counts.runs[State::InDoubt as usize]);
    let here = in_doubt.saturating_sub(away.values().sum()).saturating_sub(counts.custody.iter().sum());
    let with_numbers = |server: Server| {
        let is_bound = Some(server.id) == bound;
        let in_doubt = away.get(&server.id).copied().unwrap_or_default() + if is_bound { here } else { 0 };
        ServerStats { server, is_bound, in_doubt }
    };
    Ok(all(txn, trees)?.into_iter().map(with_numbers).collect())
}

impl Store {
    /// The servers that the journal knows, with their numbers.
    pub fn servers(&self) -> Result<Vec<ServerStats>> {
        self.db().read(stats)
    }
}

/// The numbers of calls in doubt at servers that the journal is not bound to.
fn calls_elsewhere(txn: &RoTxn, trees: &Trees) -> Result<BTreeMap<ServerId, u64>> {
    let mut found = BTreeMap::new();
    for entry in trees.elsewhere.iter(txn)? {
        let (key, stored) = entry?;
        if !load(txn, trees, tail_seq(key)?).is_ok_and(|row| row.is_run()) {
            *found.entry(elsewhere::read(key, stored).unwrap_or(ServerId::UNKNOWN)).or_default() += 1;
        }
    }
    Ok(found)
}
