//! Changes of state. The invariant of this module: a record is in exactly one work list, which follows from its row.
//!
//! | row | work list |
//! | --- | --- |
//! | pending, without an end | `open` |
//! | pending, with an end | `outbox` |
//! | pending, with an end, in a tree whose root is open | `parked`, as growing |
//! | leased, in doubt, dead, held | `parked` |
//! | acked | none, but it has an entry in `acks` |

use heed::{RoTxn, RwTxn};

use super::counts::Counts;
use super::members::members;
use super::row::StateRow;
use crate::state::{CallEnd, State};
use crate::store::db::trees::{
    Puts, Tree, Trees, growing_key, label_key, open_key, outbox_key, parked_key, put_last, sealed_seq, seq_key,
};
use crate::store::digests::Writer;
use crate::store::servers::elsewhere;
use crate::{Error, Millis, RecordId, Result, Seq, labels};

/// A write transaction, and the counters that it will store.
pub(crate) struct Change<'t, 'e> {
    pub(crate) txn: &'t mut RwTxn<'e>,
    pub(crate) trees: &'t Trees,
    pub(crate) counts: Counts,
    pub(crate) digests: Writer,
    pub(crate) now: Millis,
}

impl<'t, 'e> Change<'t, 'e> {
    pub(crate) fn begin(txn: &'t mut RwTxn<'e>, trees: &'t Trees, now: Millis) -> Result<Self> {
        let counts = Counts::load(txn, trees)?;
        let digests = Writer::begin(txn, trees, counts.last_seq)?;
        Ok(Self { txn, trees, counts, digests, now })
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.counts.save(self.txn, self.trees)?;
        self.digests.save(self.txn, self.trees, self.counts.last_seq)
    }

    /// Stores the first row of a record.
    pub(crate) fn insert(&mut self, seq: Seq, row: &StateRow) -> Result<()> {
        self.enter(seq, row)?;
        if let Some(Place { list, key, value }) = place(seq, row) {
            list.tree(self.trees).put(self.txn, &key, value)?;
        }
        self.save(seq, row)
    }

    /// Stores the first rows of the newest records, in the order of their numbers.
    pub(crate) fn insert_newest(&mut self, rows: &[(Seq, StateRow)]) -> Result<()> {
        for (seq, row) in rows {
            self.enter(*seq, row)?;
            put_last(self.trees.state, self.txn, &seq_key(*seq), &row.encode(*seq))?;
        }
        let mut places: Vec<_> = rows.iter().filter_map(|(seq, row)| place(*seq, row)).collect();
        places.sort_unstable();
        for places in places.chunk_by(|one, next| one.list == next.list) {
            let mut puts = Puts::into(places[0].list.tree(self.trees), self.txn)?;
            for Place { key, value, .. } in places {
                puts.put(key, value)?;
            }
        }
        Ok(())
    }

    /// Counts a new row, and updates its label and the bounds of pruning.
    fn enter(&mut self, seq: Seq, row: &StateRow) -> Result<()> {
        self.count(row, 1);
        if let Some(label) = row.ended.label() {
            let key = label_key(labels::ENDED, label, row.id);
            self.trees.labels.put(self.txn, &key, &sealed_seq(&key, seq))?;
        }
        if !row.is_pruned() {
            match row.state {
                State::Acked => self.counts.acked_from = self.counts.acked_from.min(seq),
                State::Dead | State::Held => self.counts.parked_from = self.counts.parked_from.min(seq),
                State::Pending | State::Leased | State::InDoubt => {}
            }
        }
        Ok(())
    }

    /// Changes a record's row, and moves the record to the work list that follows from it.
    pub(crate) fn update(&mut self, seq: Seq, edit: impl FnOnce(&mut StateRow)) -> Result<StateRow> {
        let mut row = load(self.txn, self.trees, seq)?;
        self.count(&row, -1);
        if let Some(Place { list, key, .. }) = place(seq, &row) {
            list.tree(self.trees).delete(self.txn, &key)?;
        }
        if let Some(label) = row.ended.label() {
            self.trees.labels.delete(self.txn, &label_key(labels::ENDED, label, row.id))?;
        }
        let was_in_doubt = row.state == State::InDoubt;
        let was_open = row.ended == CallEnd::No;
        let before = (row.ended, row.flags);
        edit(&mut row);
        row.settle_forgotten();
        row.settle_growing();
        if was_in_doubt && row.state != State::InDoubt {
            elsewhere::remove(self.txn, self.trees, seq)?;
        }
        row.changed_at = self.now;
        self.digests.follow(self.txn, self.trees, seq, before, &row)?;
        self.insert(seq, &row)?;
        if was_open && row.is_run() && row.ended != CallEnd::No {
            self.release_members(row.id)?;
        }
        Ok(row)
    }

    /// Makes the records due that wait for the end of this root.
    pub(crate) fn release_members(&mut self, root: RecordId) -> Result<()> {
        for seq in members(self.txn, self.trees, root)? {
            if load(self.txn, self.trees, seq)?.is_growing() {
                self.update(seq, StateRow::stop_growing)?;
            }
        }
        Ok(())
    }

    /// Stores a row whose state and work list do not change.
    pub(crate) fn save(&mut self, seq: Seq, row: &StateRow) -> Result<()> {
        Ok(self.trees.state.put(self.txn, &seq_key(seq), &row.encode(seq))?)
    }

    fn count(&mut self, row: &StateRow, by: i64) {
        let state = self.counts.of(row.state);
        *state = state.saturating_add_signed(by);
        let is_open = row.state == State::Pending && row.ended == CallEnd::No;
        if is_open {
            self.counts.open = self.counts.open.saturating_add_signed(by);
        }
        if row.is_run() {
            let state = &mut self.counts.runs[row.state as usize];
            *state = state.saturating_add_signed(by);
            if is_open {
                self.counts.open_runs = self.counts.open_runs.saturating_add_signed(by);
            }
        }
        if let Some(custody) = row.custody() {
            let counts = &mut self.counts;
            let carried = if row.is_run() { &mut counts.carried_runs } else { &mut counts.custody[custody as usize] };
            *carried = carried.saturating_add_signed(by);
        }
        if row.is_forgotten() {
            self.counts.forgotten = self.counts.forgotten.saturating_add_signed(by);
        }
        if row.is_forgotten_unsent() && !row.is_run() {
            self.counts.forgotten_unsent = self.counts.forgotten_unsent.saturating_add_signed(by);
        }
    }
}

/// A work list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    Open,
    Outbox,
    ParkedState,
}

impl List {
    fn tree(self, trees: &Trees) -> Tree {
        match self {
            Self::Open => trees.open,
            Self::Outbox => trees.outbox,
            Self::ParkedState => trees.parked,
        }
    }
}

/// A row's entry in a work list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'r> {
    list: List,
    key: Vec<u8>,
    value: &'r [u8],
}

fn place(seq: Seq, row: &StateRow) -> Option<Place<'_>> {
    let (list, key, value): (_, _, &[u8]) = match (row.state, row.ended) {
        (State::Pending, CallEnd::No) => (List::Open, open_key(row.writer, seq).to_vec(), &[]),
        (State::Pending, _) if row.is_growing() => {
            (List::ParkedState, growing_key(row.not_before, seq).to_vec(), std::slice::from_ref(&row.lane.0))
        }
        (State::Pending, _) => (List::Outbox, outbox_key(row.lane, row.not_before, seq).to_vec(), &[]),
        (State::Acked, _) => return None,
        // With its lane, so that one walk over the list finds the lanes that have to wait.
        (state, _) => (List::ParkedState, parked_key(state, seq).to_vec(), std::slice::from_ref(&row.lane.0)),
    };
    Some(Place { list, key, value })
}

pub(crate) fn load(txn: &RoTxn, trees: &Trees, seq: Seq) -> Result<StateRow> {
    row_of(seq, trees.state.get(txn, &seq_key(seq))?)
}

/// The row of a record, from its entry in the tree of states.
pub(crate) fn row_of(seq: Seq, stored: Option<&[u8]>) -> Result<StateRow> {
    StateRow::decode(seq, stored.ok_or_else(|| Error::Corrupt(format!("record {seq} has no state row")))?)
}
