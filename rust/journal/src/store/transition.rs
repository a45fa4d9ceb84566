//! Changes of state. The invariant kept here: a record stands in exactly one work list, the one its row names.
//!
//! | row | work list |
//! | --- | --- |
//! | pending, without an end | `open` |
//! | pending, with an end | `outbox` |
//! | leased, in doubt, dead, held | `parked` |
//! | acked | none; it has an entry in `acks` |

use heed::{RoTxn, RwTxn};

use super::counts::Counts;
use super::row::{State, StateRow};
use super::tables::{Tables, Tree, label_key, open_key, outbox_key, parked_key, sealed_seq, seq_key};
use crate::frame::Ended;
use crate::{Error, Result, labels};

/// A write transaction with the counters it will store.
pub(crate) struct Change<'t, 'e> {
    pub(crate) txn: &'t mut RwTxn<'e>,
    pub(crate) tables: &'t Tables,
    pub(crate) counts: Counts,
    pub(crate) now_ms: u64,
}

impl<'t, 'e> Change<'t, 'e> {
    pub(crate) fn begin(txn: &'t mut RwTxn<'e>, tables: &'t Tables, now_ms: u64) -> Result<Self> {
        let counts = Counts::load(txn, tables)?;
        Ok(Self { txn, tables, counts, now_ms })
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.counts.save(self.txn, self.tables)
    }

    /// Stores the first row of a record.
    pub(crate) fn insert(&mut self, seq: u64, row: &StateRow) -> Result<()> {
        self.count(row, 1);
        self.place(seq, row)?;
        if let Some(label) = row.ended.label() {
            let key = label_key(labels::ENDED, label, row.id);
            self.tables.labels.put(self.txn, &key, &sealed_seq(&key, seq))?;
        }
        if !row.is_pruned() {
            match row.state {
                State::Acked => self.counts.acked_from = self.counts.acked_from.min(seq),
                State::Dead | State::Held => self.counts.parked_from = self.counts.parked_from.min(seq),
                State::Pending | State::Leased | State::InDoubt => {}
            }
        }
        self.save(seq, row)
    }

    /// Changes a record's row, moving it to the work list it then belongs to.
    pub(crate) fn update(&mut self, seq: u64, edit: impl FnOnce(&mut StateRow)) -> Result<StateRow> {
        let mut row = load(self.txn, self.tables, seq)?;
        self.count(&row, -1);
        if let Some((tree, key, _)) = self.home(seq, &row) {
            tree.delete(self.txn, &key)?;
        }
        if let Some(label) = row.ended.label() {
            self.tables.labels.delete(self.txn, &label_key(labels::ENDED, label, row.id))?;
        }
        edit(&mut row);
        row.changed_at = self.now_ms;
        self.insert(seq, &row)?;
        Ok(row)
    }

    /// Stores a row whose state and work list stay what they are.
    pub(crate) fn save(&mut self, seq: u64, row: &StateRow) -> Result<()> {
        Ok(self.tables.state.put(self.txn, &seq_key(seq), &row.encode(seq))?)
    }

    fn place(&mut self, seq: u64, row: &StateRow) -> Result<()> {
        if let Some((tree, key, value)) = self.home(seq, row) {
            tree.put(self.txn, &key, value)?;
        }
        Ok(())
    }

    /// The work list of a row, with its entry's key and value.
    fn home<'r>(&self, seq: u64, row: &'r StateRow) -> Option<(Tree, Vec<u8>, &'r [u8])> {
        match (row.state, row.ended) {
            (State::Pending, Ended::No) => Some((self.tables.open, open_key(row.writer, seq).to_vec(), &[])),
            (State::Pending, _) => Some((self.tables.outbox, outbox_key(row.lane, row.not_before, seq).to_vec(), &[])),
            (State::Acked, _) => None,
            // With its lane, so that one walk over the list tells which lanes have to wait.
            (state, _) => Some((self.tables.parked, parked_key(state, seq).to_vec(), std::slice::from_ref(&row.lane))),
        }
    }

    fn count(&mut self, row: &StateRow, by: i64) {
        let state = self.counts.of(row.state);
        *state = state.saturating_add_signed(by);
        if row.state == State::Pending && row.ended == Ended::No {
            self.counts.open = self.counts.open.saturating_add_signed(by);
        }
    }
}

pub(crate) fn load(txn: &RoTxn, tables: &Tables, seq: u64) -> Result<StateRow> {
    let bytes = tables.state.get(txn, &seq_key(seq))?;
    StateRow::decode(seq, bytes.ok_or_else(|| Error::Corrupt(format!("record {seq} has no state row")))?)
}
