//! What waits for a moment, when the clock that moment was told by is set.

use heed::RoTxn;

use super::lanes::{lanes, parked, waiting};
use crate::Result;
use crate::state::State;
use crate::store::Store;
use crate::store::db::tables::Tables;
use crate::store::records::transition::{Change, load};

impl Store {
    /// Moves every wait along with a clock that was set from `before` to `after` (milliseconds since the epoch, of the same
    /// moment), and cuts those that would end more than `longest_ms` from then: no wait is made longer than that. Returns how many
    /// were moved.
    pub fn mend_waits(&self, before: u64, after: u64, longest_ms: u64) -> Result<u64> {
        let last = after.saturating_add(longest_ms);
        let mended = |at: u64| if at > before { (at - before).saturating_add(after).min(last) } else { at };
        let to_move = |txn: &RoTxn, tables: &Tables| {
            let mut moves = Vec::new();
            for seq in waiting_beyond(txn, tables, before)? {
                let row = load(txn, tables, seq)?;
                let waits = (mended(row.not_before), mended(row.lease_until));
                if waits != (row.not_before, row.lease_until) {
                    moves.push((seq, waits));
                }
            }
            Ok(moves)
        };
        // A commit costs a disk sync even when it changes nothing, and at most starts no clock was set.
        if self.db().read(to_move)?.is_empty() {
            return Ok(0);
        }
        self.db().write(|txn, tables| {
            let moves = to_move(txn, tables)?;
            let mut change = Change::begin(txn, tables, after)?;
            for (seq, waits) in &moves {
                change.update(*seq, |row| (row.not_before, row.lease_until) = *waits)?;
            }
            change.finish()?;
            Ok(moves.len() as u64)
        })
    }
}

/// Records that may wait for a moment after `before`.
fn waiting_beyond(txn: &RoTxn, tables: &Tables, before: u64) -> Result<Vec<u64>> {
    let mut seqs = Vec::new();
    for lane in lanes(txn, tables)? {
        seqs.extend(waiting(txn, tables, lane, before.saturating_add(1), u64::MAX, usize::MAX)?);
    }
    for state in [State::Leased, State::InDoubt] {
        seqs.extend(parked(txn, tables, state)?);
    }
    Ok(seqs)
}
