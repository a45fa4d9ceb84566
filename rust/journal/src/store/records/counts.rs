//! Counters, stored with the data they count, so `status` reads one value instead of a million.

use heed::{RoTxn, RwTxn};

use super::row::StateRow;
use crate::frame::array;
use crate::state::{Custody, State};
use crate::store::db::trees::Trees;
use crate::{Result, Seq};

const KEY: &[u8] = b"counts";
const FIELDS: usize = 24;
/// The counters of runs that are not calls. A store without such runs lacks the entry.
const RUNS: &[u8] = b"runs";
/// The counters of records that a hub has. A store without such records lacks the entry.
const CARRIED: &[u8] = b"carried";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The newest sequence number.
    pub(crate) last_seq: Seq,
    /// Records without an end.
    pub(crate) open: u64,
    pub(crate) states: [u64; State::ALL.len()],
    /// Bytes of bodies before and after compression.
    pub(crate) raw_bytes: u64,
    pub(crate) stored_bytes: u64,
    /// Ranges of bytes in segments that were not a frame.
    pub(crate) damaged: u64,
    /// Events that writers without a file could not record.
    pub(crate) failures: u64,
    /// Records of opaque bytes, which are held and never sent.
    pub(crate) opaque: u64,
    /// Acked records whose bodies the quota removed.
    pub(crate) pruned_acked: u64,
    /// Records never sent whose bodies the quota removed.
    pub(crate) pruned_unsent: u64,
    /// No acked record before this number has bodies that the quota may remove.
    pub(crate) acked_from: Seq,
    /// No dead or held record before this number has bodies that the quota may remove.
    pub(crate) parked_from: Seq,
    /// The number of the newest follow-up.
    pub(crate) last_followup: u64,
    /// The number of the newest ack when acks were withdrawn; 0 if none ever was.
    pub(crate) last_ack: u64,
    /// Forgotten records.
    pub(crate) forgotten: u64,
    /// Forgotten calls that were never sent. They are among the dead.
    pub(crate) forgotten_unsent: u64,
    /// In each state, the records that are not calls.
    pub(crate) runs: [u64; State::ALL.len()],
    /// The records without an end that are not calls.
    pub(crate) open_runs: u64,
    /// Calls that were carried to a hub, and calls that it has received. They are among those in doubt.
    pub(crate) custody: [u64; Custody::ALL.len()],
    /// Runs that are not calls, and that were carried to a hub.
    pub(crate) carried_runs: u64,
}

impl Counts {
    pub(crate) fn load(txn: &RoTxn, trees: &Trees) -> Result<Self> {
        let bytes = trees.meta.get(txn, KEY)?.unwrap_or_default();
        // A counter that an earlier version did not have is zero.
        let read = |bytes: &[u8], at: usize| {
            bytes.get(at * 8..at * 8 + 8).map_or(0, |field| u64::from_le_bytes(array(field, 0)))
        };
        let field = |at| read(bytes, at);
        let runs = trees.meta.get(txn, RUNS)?.unwrap_or_default();
        let run_field = |at| read(runs, at);
        let carried = trees.meta.get(txn, CARRIED)?.unwrap_or_default();
        Ok(Self {
            last_seq: Seq(field(0)),
            open: field(1),
            raw_bytes: field(2),
            stored_bytes: field(3),
            damaged: field(4),
            failures: field(5),
            pruned_acked: field(13),
            pruned_unsent: field(14),
            acked_from: Seq(field(15)),
            parked_from: Seq(field(16)),
            last_followup: field(17),
            last_ack: field(18),
            forgotten: field(22),
            forgotten_unsent: field(23),
            states: std::array::from_fn(|state| field(6 + state)),
            runs: std::array::from_fn(run_field),
            open_runs: run_field(State::ALL.len()),
            custody: std::array::from_fn(|at| read(carried, at)),
            carried_runs: read(carried, Custody::ALL.len()),
            opaque: field(12),
        })
    }

    pub(crate) fn save(&self, txn: &mut RwTxn, trees: &Trees) -> Result<()> {
        let mut fields = [0; FIELDS];
        fields[..6].copy_from_slice(&[
            self.last_seq.0,
            self.open,
            self.raw_bytes,
            self.stored_bytes,
            self.damaged,
            self.failures,
        ]);
        fields[6..12].copy_from_slice(&self.states);
        fields[12..19].copy_from_slice(&[
            self.opaque,
            self.pruned_acked,
            self.pruned_unsent,
            self.acked_from.0,
            self.parked_from.0,
            self.last_followup,
            self.last_ack,
        ]);
        fields[22..24].copy_from_slice(&[self.forgotten, self.forgotten_unsent]);
        let bytes: Vec<u8> = fields.iter().flat_map(|field: &u64| field.to_le_bytes()).collect();
        trees.meta.put(txn, KEY, &bytes)?;
        let runs: Vec<u8> = self.runs.iter().chain([&self.open_runs]).flat_map(|field| field.to_le_bytes()).collect();
        if runs.iter().any(|byte| *byte != 0) || trees.meta.get(txn, RUNS)?.is_some() {
            trees.meta.put(txn, RUNS, &runs)?;
        }
        let carried = self.custody.iter().chain([&self.carried_runs]);
        let carried: Vec<u8> = carried.flat_map(|field| field.to_le_bytes()).collect();
        if carried.iter().any(|byte| *byte != 0) || trees.meta.get(txn, CARRIED)?.is_some() {
            trees.meta.put(txn, CARRIED, &carried)?;
        }
        Ok(())
    }

    /// Acked records that are not calls, and so have no request id.
    pub(crate) fn acked_runs(&self) -> u64 {
        self.runs[State::Acked as usize]
    }

    /// Counts a record in doubt, if a hub has it.
    pub(crate) fn count_custody(&mut self, row: &StateRow) {
        if let Some(custody) = row.custody() {
            self.carried_runs += u64::from(row.is_run());
            self.custody[custody as usize] += u64::from(!row.is_run());
        }
    }

    /// Records that a hub has.
    pub(crate) fn carried(&self) -> u64 {
        self.custody.iter().sum::<u64>() + self.carried_runs
    }

    pub(crate) fn of(&mut self, state: State) -> &mut u64 {
        &mut self.states[state as usize]
    }
}
