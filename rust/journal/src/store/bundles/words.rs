//! Applies the log of a hub.
//!
//! Request ids, and follow-ups that are done, are facts: they hold from any log that the hub signed. Receipts count only in a log that
//! joins, and not behind a request id that was set aside. The log comes again from there, after the record was given to the hub.

use heed::RoTxn;

use super::carried::{self, CarriedEntry};
use super::hubs::HubNumber;
use super::place::Orphan;
use super::written::WrittenBundle;
use super::{BundleId, FollowUpId, RECORDS, followups, written};
use crate::state::State;
use crate::store::Store;
use crate::store::db::trees::{Trees, seq_key, tail_seq, without_seal};
use crate::store::outbox::acking;
use crate::store::records::row::{Ack, StateRow};
use crate::store::records::transition::{Change, load};
use crate::{Millis, RecordId, RequestId, Result, Seq};

/// An entry of a hub's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The hub has a bundle on its disk.
    Received(BundleId),
    /// `PromptLayer` has a record.
    Ack {
        /// The record.
        record: RecordId,
        /// Its request id; `None` for a run that is not a call.
        request: Option<RequestId>,
    },
    /// `PromptLayer` refused a record, or the record waits for a person at the hub.
    Parked {
        /// The record.
        record: RecordId,
        /// Whether it waits for a person.
        is_held: bool,
        /// Why.
        reason: String,
        /// The round of the record.
        round: u32,
    },
    /// `PromptLayer` has a follow-up.
    Done(FollowUpId),
    /// `PromptLayer` refused a follow-up.
    Refused {
        /// The follow-up.
        id: FollowUpId,
        /// Why.
        reason: String,
    },
}

/// A log while it is applied, and its changes.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// The hub.
    pub hub: HubNumber,
    /// Whether the log joins the place that was read before.
    pub joins: bool,
    /// Entries that were applied.
    pub entries: u64,
    /// The entries before the first that was set aside.
    pub held_at: Option<u64>,
    /// New request ids, and runs that were newly delivered.
    pub acked: u64,
    /// Records that are newly refused or held, with the reason.
    pub refused: Vec<(RecordId, String)>,
    /// Records that are newly received.
    pub received: u64,
    /// Request ids of records that the journal does not have.
    pub unknown: u64,
    /// Request ids that differ from the record's.
    pub conflicts: u64,
    /// Entries that were set aside: the hub never got these records from this history of the journal.
    pub early: u64,
    /// Confirmed bundles that this journal never wrote.
    pub unknown_bundles: u64,
    /// Follow-ups that `PromptLayer` newly has.
    pub done: u64,
    /// Follow-ups that it newly refused.
    pub followups_refused: u64,
}

impl Hearing {
    /// Begins to apply the log of a hub.
    pub fn new(hub: HubNumber, joins: bool) -> Self {
        Self {
            hub,
            joins,
            entries: 0,
            held_at: None,
            acked: 0,
            refused: Vec::new(),
            received: 0,
            unknown: 0,
            conflicts: 0,
            early: 0,
            unknown_bundles: 0,
            done: 0,
            followups_refused: 0,
        }
    }

    /// Whether receipts count at this place of the log.
    fn counts_receipts(&self) -> bool {
        self.joins && self.held_at.is_none()
    }

    fn set_aside(&mut self) {
        self.early += 1;
        self.held_at.get_or_insert(self.entries);
    }
}

impl Store {
    /// Applies entries of a hub's log, after those before. An error leaves some of them applied. The log is then applied again from the
    /// place that was read before, which changes nothing that was changed already.
    pub fn apply_log(&self, hearing: &mut Hearing, words: &[Word]) -> Result<()> {
        let records = self.db().read(|txn, trees| {
            let records_of = |word: &Word| match word {
                Word::Received(id) => Ok(written::get(txn, trees, id)?.map_or(1, |bundle| bundle.records)),
                _ => Ok(1),
            };
            words.iter().map(records_of).collect::<Result<Vec<_>>>()
        })?;
        let mut rest = words;
        while !rest.is_empty() {
            let number = number_that_fits(&records[words.len() - rest.len()..]);
            let (now, later) = rest.split_at(number.max(1));
            match now {
                // More records than one transaction should change.
                [Word::Received(id)] if number == 0 => self.apply_receipt(hearing, id)?,
                _ => self.apply_together(hearing, now)?,
            }
            rest = later;
        }
        Ok(())
    }

    fn apply_together(&self, hearing: &mut Hearing, words: &[Word]) -> Result<()> {
        *hearing = self.db().in_room(|| {
            self.db().write(|txn, trees| {
                let mut heard = hearing.clone();
                let mut change = Change::begin(txn, trees, Millis::now())?;
                for word in words {
                    apply(&mut change, &mut heard, word)?;
                    heard.entries += 1;
                }
                change.finish()?;
                Ok(heard)
            })
        })?;
        Ok(())
    }

    fn apply_receipt(&self, hearing: &mut Hearing, id: &BundleId) -> Result<()> {
        if hearing.counts_receipts() {
            match self.db().read(|txn, trees| confirmed(txn, trees, hearing.hub, id))? {
                Some(bundle) => hearing.received += self.receive_bundle(bundle)?,
                None => hearing.unknown_bundles += 1,
            }
        }
        hearing.entries += 1;
        Ok(())
    }
}

/// How many of the first entries one transaction applies, by the records that each changes.
fn number_that_fits(records: &[u64]) -> usize {
    let mut sum = 0;
    let fits = |records: &&u64| {
        sum += **records;
        sum <= RECORDS as u64
    };
    records.iter().take_while(fits).count()
}

/// The bundle with this id, if it was written for the hub: a hub confirms its own bundles alone.
fn confirmed(txn: &RoTxn, trees: &Trees, hub: HubNumber, id: &BundleId) -> Result<Option<WrittenBundle>> {
    Ok(written::get(txn, trees, id)?.filter(|bundle| bundle.hub == hub))
}

fn apply(change: &mut Change, heard: &mut Hearing, word: &Word) -> Result<()> {
    let trees = change.trees;
    match word {
        Word::Received(id) if heard.counts_receipts() => {
            let Some(mut bundle) = confirmed(change.txn, trees, heard.hub, id)? else {
                heard.unknown_bundles += 1;
                return Ok(());
            };
            for (first, last) in written::rows(change.txn, trees, bundle.number)? {
                let seqs: Vec<Seq> = (first.0..=last.0).map(Seq).collect();
                heard.received += written::receive(change, &bundle, &seqs)?;
            }
            bundle.is_received = true;
            bundle.put(change.txn, trees)?;
        }
        Word::Received(_) => {}
        Word::Ack { record, request } => ack(change, heard, *record, *request)?,
        Word::Parked { record, is_held, reason, round } => park(change, heard, *record, *is_held, reason, *round)?,
        Word::Done(id) => heard.done += u64::from(followups::done(change, id)?),
        Word::Refused { id, reason } => heard.followups_refused += u64::from(followups::refused(change, id, reason)?),
    }
    Ok(())
}

/// A record that hubs report on, with its row and its hubs; `None` when the journal does not have it.
fn find(change: &Change, hub: HubNumber, record: RecordId) -> Result<Option<(Seq, StateRow, CarriedEntry)>> {
    let Some(seq) = change.trees.ids.get(change.txn, &record.0)?.map(tail_seq).transpose()? else { return Ok(None) };
    let (row, entry) = (load(change.txn, change.trees, seq)?, carried::get(change.txn, change.trees, seq)?);
    // Without its content it goes to no hub any more. A log would wait for that without end.
    let may_be_given = !row.is_pruned() && !row.is_forgotten();
    let is_here = may_be_given || entry.was_given_to(hub) || row.state == State::Acked;
    Ok(is_here.then_some((seq, row, entry)))
}

fn ack(change: &mut Change, heard: &mut Hearing, record: RecordId, request: Option<RequestId>) -> Result<()> {
    let (hub, at) = (heard.hub, change.now);
    let orphan = |is_conflict| request.map(|request| Orphan { record, request, hub, at, is_conflict });
    let Some((seq, row, entry)) = find(change, hub, record)? else {
        if let Some(orphan) = orphan(false) {
            orphan.put(change.txn, change.trees)?;
        }
        heard.unknown += 1;
        return Ok(());
    };
    if row.state == State::Acked {
        let key = seq_key(seq);
        let stored = change.trees.acks.get(change.txn, &key)?.and_then(|stored| without_seal(&key, stored));
        let known = stored.and_then(Ack::read).filter(|ack| ack.is_of_call()).map(|ack| ack.request_id);
        if let Some(orphan) = orphan(true).filter(|orphan| known.is_some_and(|known| known != orphan.request)) {
            orphan.put(change.txn, change.trees)?;
            heard.conflicts += 1;
        }
        return Ok(());
    }
    if !entry.was_given_to(hub) {
        heard.set_aside();
        return Ok(());
    }
    acking::store(change, &[(seq, request)])?;
    heard.acked += 1;
    Ok(())
}

fn park(
    change: &mut Change,
    heard: &mut Hearing,
    record: RecordId,
    is_held: bool,
    reason: &str,
    round: u32,
) -> Result<()> {
    let Some((seq, row, mut entry)) = find(change, heard.hub, record)? else {
        heard.unknown += 1;
        return Ok(());
    };
    if row.state == State::Acked {
        return Ok(());
    }
    if !entry.was_given_to(heard.hub) {
        heard.set_aside();
        return Ok(());
    }
    // A report of an earlier round is outdated. A record that was taken back, or given to another hub since, is theirs no longer.
    // A later round than the record's is one that this journal lost when it was put back from a copy.
    let is_later = entry.round < round;
    let is_refused = matches!(row.state, State::Dead | State::Held);
    let is_waiting = row.custody().is_some() || row.state == State::Pending || (is_later && is_refused);
    if entry.round <= round && is_waiting && entry.owner() == Some(heard.hub) {
        entry.round = round;
        carried::put(change.txn, change.trees, seq, &entry)?;
        change.update(seq, |row| {
            row.state = if is_held { State::Held } else { State::Dead };
            row.not_before = Millis::EPOCH;
            reason.clone_into(&mut row.last_error);
        })?;
        heard.refused.push((record, reason.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_share_a_transaction_up_to_a_number_of_records() {
        let most = RECORDS as u64;
        assert_eq!(number_that_fits(&[1, 1, 1]), 3);
        assert_eq!(number_that_fits(&[1, most - 1, 1]), 2);
        assert_eq!(number_that_fits(&[1, most, 1]), 1);
        assert_eq!(number_that_fits(&[most + 1, 1]), 0);
        assert_eq!(number_that_fits(&[]), 0);
    }
}
