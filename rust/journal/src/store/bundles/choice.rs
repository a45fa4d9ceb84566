//! Which records go into a bundle. Receipts decide, so a lost medium costs the bytes of the next export.

use super::hubs::HubNumber;
use super::{
    carried::{self, CarriedEntry},
    one_way, written,
};
use crate::state::{CallEnd, State};
use crate::store::Store;
use crate::store::db::trees::{GROWING, tail_seq};
use crate::store::db::walk::Walk;
use crate::store::outbox::tree_wait::until;
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
    /// The records of earlier exports, as far as they belong to the hub.
    Exported,
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
    /// When a bundle carried the record before, the last time; `None` when none did.
    pub carried_at: Option<Millis>,
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
    /// The records that go into a bundle for a hub. For [`Choice::Exported`], `exports` are the numbers of earlier exports.
    pub fn carriable(&self, hub: HubNumber, choice: Choice, exports: &[u64]) -> Result<Carriables> {
        let (found, is_counted) = self.db().read(|txn, trees| {
            let only = match choice {
                Choice::Exported => Some(written::ranges_of(txn, trees, hub, exports)?),
                _ => None,
            };
            let which = Which { hub, choice, repeat: one_way::setting(txn, trees)?.map(|setting| setting.repeat) };
            let mut seqs = self.all_parked(txn, trees, State::InDoubt)?;
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
            let (mut records, mut counted) = (Vec::with_capacity(seqs.len()), Counts::default());
            let (mut rows, mut given) = (Walk::new(txn, trees.state), Walk::new(txn, trees.carried));
            for seq in seqs {
                let row = row_of(seq, rows.value(seq)?)?;
                let entry = carried::of(seq, given.value(seq)?);
                counted.count_custody(&row);
                if only.as_ref().is_none_or(|ranges| is_in(ranges, seq)) {
                    records.extend(carriable(seq, &row, &entry, which));
                }
                self.db().trimmer.release_if_due(txn, trees);
            }
            let counts = Counts::load(txn, trees)?;
            let is_counted = (counted.custody, counted.carried_runs) == (counts.custody, counts.carried_runs);
            let running = counts.open.saturating_sub(counts.open_runs) + growing;
            Ok((Carriables { records, running }, is_counted))
        })?;
        if !is_counted {
            self.recount_custody()?;
        }
        Ok(found)
    }

    /// Counts the records that a hub has anew. An earlier version that sends makes them ordinary records in doubt, and knows no counter
    /// of them.
    fn recount_custody(&self) -> Result<()> {
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                let mut counts = Counts::load(txn, trees)?;
                (counts.custody, counts.carried_runs) = Default::default();
                for seq in self.all_parked(txn, trees, State::InDoubt)? {
                    counts.count_custody(&load(txn, trees, seq)?);
                    self.db().trimmer.release_if_due(txn, trees);
                }
                counts.save(txn, trees)
            })
        })
    }
}

/// Which records go into a bundle.
#[derive(Clone, Copy)]
struct Which {
    hub: HubNumber,
    choice: Choice,
    /// In how many exports each record goes out, if no file comes back.
    repeat: Option<u8>,
}

/// Whether one of some ranges in order has a record.
fn is_in(ranges: &[(Seq, Seq)], seq: Seq) -> bool {
    let next = ranges.partition_point(|(first, _)| *first <= seq);
    ranges[..next].iter().rev().take(1).any(|(_, last)| seq <= *last)
}

/// How a record goes into a bundle; `None` when it stays.
fn carriable(seq: Seq, row: &StateRow, entry: &CarriedEntry, which: Which) -> Option<Carriable> {
    let Which { hub, choice, repeat } = which;
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
        Choice::Unreceived => {
            is_theirs && !entry.is_received() && repeat.is_none_or(|repeat| entry.exports(hub) < repeat)
        }
        Choice::New => is_theirs && custody.is_none(),
        Choice::Exported => is_theirs,
        Choice::Again => true,
    };
    let may_be_sent = entry.is_doubtful || carried::is_unclear(row, entry);
    let doubt = may_be_sent || entry.given.iter().any(|given| given.hub != hub);
    let carried_at = custody.map(|_| entry.given.last().map_or(Millis::EPOCH, |given| given.at));
    goes.then_some(Carriable { seq, doubt, round: entry.round, carried_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::bundles::NewBundle;
    use crate::store::db::trees::seq_key;
    use crate::{Durability, Event, FrameKind, Head, RecordId, Spool};

    /// Changes the rows as a sender of an earlier version does: it cuts waits that are too long, and knows no counter of carried records.
    fn cut_waits(store: &Store, seqs: &[Seq]) {
        let cut = store.db().write(|txn, trees| {
            for seq in seqs {
                let mut row = load(txn, trees, *seq)?;
                row.not_before = Millis::EPOCH;
                trees.state.put(txn, &seq_key(*seq), &row.encode(*seq))?;
            }
            Ok(())
        });
        cut.unwrap();
    }

    #[test]
    fn carried_records_that_an_earlier_version_touched_are_looked_up_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let spool = Spool::open(&path, Durability::Process).unwrap();
        for _ in 0..2 {
            let id = RecordId::new();
            for (kind, ended) in [(FrameKind::Start, CallEnd::No), (FrameKind::End, CallEnd::Ok)] {
                let head = Head { ended, ..Head::new(kind, id) };
                spool.append(&Event { head, labels: &[], body: b"{}" }).unwrap();
            }
        }
        let store = Store::open(&path, true).unwrap();
        store.ingest(true).unwrap();
        let (hub, seqs) = (store.hub([1; 8], None).unwrap(), [Seq(1), Seq(2)]);
        store.begin_bundle(&NewBundle { id: [1; 32], serial: 1, part: [1, 1], hub }, &seqs).unwrap();
        store.bundle_written(&[1; 32]).unwrap();
        assert!(store.in_doubt(9, Millis::MAX).unwrap().is_empty());
        cut_waits(&store, &seqs);
        // Both are ordinary records in doubt now: this journal looks them up, or they go out again and the hub does.
        assert_eq!(store.in_doubt(9, Millis::now()).unwrap().len(), 2);
        let found = store.carriable(hub, Choice::Unreceived, &[]).unwrap().records;
        assert!(found.len() == 2 && found.iter().all(|record| record.doubt));
        assert!(store.check().unwrap().problems.is_empty());
    }

    #[test]
    fn a_record_is_in_a_range_or_between_two() {
        let ranges = [(Seq(2), Seq(4)), (Seq(7), Seq(7))];
        let found: Vec<u64> = (0..9).filter(|seq| is_in(&ranges, Seq(*seq))).collect();
        assert_eq!(found, [2, 3, 4, 7]);
        assert!(!is_in(&[], Seq(1)));
    }
}
