//! Which records go into a bundle. Receipts decide, so a lost medium costs the bytes of the next export.

use super::carried::{self, CarriedEntry};
use super::hubs::HubNumber;
use crate::state::{CallEnd, Custody, State};
use crate::store::Store;
use crate::store::db::trees::{GROWING, tail_seq};
use crate::store::db::walk::Walk;
use crate::store::outbox::{parked_records, tree_wait::until};
use crate::store::records::counts::Counts;
use crate::store::records::row::StateRow;
use crate::store::records::transition::{load, row_of};
use crate::{Millis, Result, Seq};

/// Which records an export takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// All that the hub has not received.
    #[default]
    Unreceived,
    /// All that no bundle carried yet.
    New,
    /// Also records that the hub has received, or that belong to another hub.
    Again,
}

/// A record that goes into a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carriable {
    /// The record.
    pub seq: Seq,
    /// Whether the record may have been sent, so that the hub looks it up first.
    pub doubt: bool,
    /// How often a person sent the record again after `PromptLayer` had refused it.
    pub round: u32,
    /// Whether a bundle carried the record before.
    pub is_again: bool,
}

/// The records that go into a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carriables {
    /// In the order of the journal.
    pub records: Vec<Carriable>,
    /// Calls without an end, and records that wait for the end of their tree's root.
    pub running: u64,
}

impl Store {
    /// The records that go into a bundle for a hub.
    pub fn carriable(&self, hub: HubNumber, choice: Choice) -> Result<Carriables> {
        self.db().read(|txn, trees| {
            let mut seqs = parked_records(txn, trees, State::InDoubt)?;
            for entry in trees.outbox.iter(txn)? {
                seqs.push(tail_seq(entry?.0)?);
                self.db().trimmer.release_if_due(txn, trees);
            }
            let (mut growing, now) = (0, Millis::now());
            for entry in trees.parked.prefix_iter(txn, &[GROWING])? {
                let (key, _) = entry?;
                // The rest goes with a later export, together with the root of its tree.
                if until(key)? <= now {
                    seqs.push(tail_seq(key)?);
                } else {
                    growing += u64::from(!load(txn, trees, tail_seq(key)?)?.is_run());
                }
            }
            seqs.sort_unstable();
            let mut records = Vec::new();
            let (mut rows, mut given) = (Walk::new(txn, trees.state), Walk::new(txn, trees.carried));
            for seq in seqs {
                let row = row_of(seq, rows.value(seq)?)?;
                let entry = carried::of(seq, given.value(seq)?);
                records.extend(carriable(seq, &row, &entry, hub, choice));
                self.db().trimmer.release_if_due(txn, trees);
            }
            let counts = Counts::load(txn, trees)?;
            Ok(Carriables { records, running: counts.open.saturating_sub(counts.open_runs) + growing })
        })
    }
}

/// How a record goes into a bundle for a hub; `None` when it stays.
fn carriable(seq: Seq, row: &StateRow, entry: &CarriedEntry, hub: HubNumber, choice: Choice) -> Option<Carriable> {
    let may_go = match row.state {
        State::Pending => row.ended != CallEnd::No,
        State::InDoubt => true,
        State::Leased | State::Acked | State::Dead | State::Held => false,
    };
    if !may_go || row.is_pruned() || row.is_forgotten() {
        return None;
    }
    let custody = row.custody();
    let is_theirs = entry.owner().is_none_or(|owner| owner == hub);
    let goes = match choice {
        Choice::Unreceived => is_theirs && custody != Some(Custody::Received),
        Choice::New => is_theirs && custody.is_none(),
        Choice::Again => true,
    };
    // A record in doubt that no entry explains was sent by this journal.
    let is_unclear = row.state == State::InDoubt && (custody.is_none() || entry.given.is_empty());
    let doubt = is_unclear || entry.given.iter().any(|given| given.hub != hub);
    goes.then_some(Carriable { seq, doubt, round: entry.round, is_again: custody.is_some() })
}
