//! Shifts the waits of records when the system's clock is set.

use std::time::Duration;

use heed::RoTxn;

use super::lanes::{lanes, waiting_records};
use super::parked::parked_records;
use super::tree_wait::{self, TREE_WAIT};
use crate::state::State;
use crate::store::Store;
use crate::store::db::trees::Trees;
use crate::store::records::transition::{Change, load};
use crate::{ClockChange, Millis, Result, Seq};

impl Store {
    /// Moves every wait along with the clock, and limits each to `longest` after the change: no wait is made longer than that. Returns
    /// how many were moved.
    pub fn shift_waits(&self, clock: ClockChange, longest: Duration) -> Result<u64> {
        let to_move = |txn: &RoTxn, trees: &Trees| {
            let mut moves = Vec::new();
            for seq in waiting_beyond(txn, trees, clock.before.min(clock.after))? {
                let row = load(txn, trees, seq)?;
                if row.custody().is_some() {
                    continue;
                }
                // The end of the lease marks a record that waits for the end of its tree's root. Its wait goes by the clock of the
                // process that ingested it, which may have been set already.
                let waits = if row.is_growing() {
                    (clock.shift(row.not_before, longest.min(TREE_WAIT)), row.lease_until)
                } else {
                    (clock.shift(row.not_before, longest), clock.shift(row.lease_until, longest))
                };
                if waits != (row.not_before, row.lease_until) {
                    moves.push((seq, waits));
                }
            }
            Ok(moves)
        };
        // A commit costs a disk sync even when it changes nothing, and on most starts the clock has not changed.
        if self.db().read(to_move)?.is_empty() {
            return Ok(0);
        }
        self.db().write(|txn, trees| {
            let moves = to_move(txn, trees)?;
            let mut change = Change::begin(txn, trees, clock.after)?;
            for (seq, waits) in &moves {
                change.update(*seq, |row| (row.not_before, row.lease_until) = *waits)?;
            }
            change.finish()?;
            Ok(moves.len() as u64)
        })
    }
}

/// Records that may wait beyond a moment.
fn waiting_beyond(txn: &RoTxn, trees: &Trees, moment: Millis) -> Result<Vec<Seq>> {
    let mut seqs = Vec::new();
    for lane in lanes(txn, trees)? {
        seqs.extend(waiting_records(txn, trees, lane, moment + Duration::from_millis(1)..=Millis::MAX, usize::MAX)?);
    }
    seqs.extend(tree_wait::waiting_after(txn, trees, moment)?);
    for state in [State::Leased, State::InDoubt] {
        seqs.extend(parked_records(txn, trees, state)?);
    }
    Ok(seqs)
}
