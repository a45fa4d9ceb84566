//! Checks each record: its row, its bodies, and its entries in indexes and lists.

use heed::RoTxn;

use super::digests::DigestCheck;
use super::report::CheckReport;
use crate::ids::SinkId;
use crate::state::{CallEnd, State};
use crate::store::callbacks::sinks;
use crate::store::db::trees::{
    PART_END, PART_START, Trees, growing_key, label_key, open_key, outbox_key, parked_key, record_key, sealed_seq,
    seq_key, tail_seq, without_seal,
};
use crate::store::outbox::request_index;
use crate::store::records::body;
use crate::store::records::counts::Counts;
use crate::store::records::row::{Ack, StateRow};
use crate::{Result, Seq, labels};

pub(super) fn check_records(txn: &RoTxn, trees: &Trees, report: &mut CheckReport) -> Result<()> {
    let mut counted = Counts::default();
    let mut is_whole = true;
    let mut digests = DigestCheck::begin(txn, trees)?;
    for entry in trees.state.iter(txn)? {
        let (key, value) = entry?;
        let seq = tail_seq(key)?;
        report.records += 1;
        let row = match StateRow::decode(seq, value) {
            Ok(row) => row,
            Err(error) => {
                report.add(format!("record {seq}"), error.to_string(), "its bodies");
                is_whole = false;
                continue;
            }
        };
        *counted.of(row.state) += 1;
        counted.forgotten += u64::from(row.is_forgotten());
        counted.forgotten_unsent += u64::from(row.is_forgotten_unsent() && !row.is_run());
        counted.runs[row.state as usize] += u64::from(row.is_run());
        counted.open_runs += u64::from(row.is_run() && row.state == State::Pending && row.ended == CallEnd::No);
        counted.count_custody(&row);
        check_bodies(txn, trees, seq, &row, report)?;
        check_work_list(txn, trees, seq, &row, report)?;
        check_indexes(txn, trees, seq, &row, report)?;
        digests.check(seq, &row, report)?;
    }
    digests.finish(is_whole, report);
    let stored = Counts::load(txn, trees)?;
    // Without a damaged row, which is reported above.
    if is_whole && stored.states != counted.states {
        report.add("the store".into(), "its counters of states do not match its records", "the records");
    }
    if is_whole && (stored.forgotten, stored.forgotten_unsent) != (counted.forgotten, counted.forgotten_unsent) {
        report.add("the store".into(), "its counters of forgotten records do not match them", "the records");
    }
    if is_whole && (stored.runs, stored.open_runs) != (counted.runs, counted.open_runs) {
        report.add("the store".into(), "its counters of runs do not match them", "the records");
    }
    if is_whole && (stored.custody, stored.carried_runs) != (counted.custody, counted.carried_runs) {
        report.add("the store".into(), "its counters of records that a hub has do not match them", "the records");
    }
    Ok(())
}

fn place(row: &StateRow) -> String {
    format!("record {}", row.id.hex())
}

fn check_bodies(txn: &RoTxn, trees: &Trees, seq: Seq, row: &StateRow, report: &mut CheckReport) -> Result<()> {
    let mut bodies = 0;
    for part in [PART_START, PART_END] {
        let Some(stored) = trees.records.get(txn, &record_key(seq, part))? else { continue };
        bodies += 1;
        report.events += 1;
        if let Err(error) = body::decode(txn, trees, row.id, part, stored) {
            if error.lacks_memory() {
                return Err(error);
            }
            let kept = if part == PART_START { "its end, and its state" } else { "its start, and its state" };
            report.add(place(row), error.to_string(), kept);
        }
    }
    if bodies > 0 && row.is_forgotten() {
        report.add(place(row), "it was forgotten, and has content: forget it again", "its state");
    }
    if bodies == 0 && !row.is_pruned() {
        report.add(place(row), "it has a state and no body", "its state");
    }
    Ok(())
}

fn check_work_list(txn: &RoTxn, trees: &Trees, seq: Seq, row: &StateRow, report: &mut CheckReport) -> Result<()> {
    let listed = match (row.state, row.ended) {
        (State::Pending, CallEnd::No) => trees.open.get(txn, &open_key(row.writer, seq))?,
        (State::Pending, _) if row.is_growing() => trees.parked.get(txn, &growing_key(row.not_before, seq))?,
        (State::Pending, _) => trees.outbox.get(txn, &outbox_key(row.lane, row.not_before, seq))?,
        (State::Acked, _) => trees.acks.get(txn, &seq_key(seq))?,
        (state, _) => trees.parked.get(txn, &parked_key(state, seq))?,
    };
    if listed.is_none() {
        report.add(place(row), format!("it is {} but not listed as such", row.state.name()), "the record");
    }
    // Empty when an earlier version stored it, which kept the lane in the row alone.
    let is_parked = row.is_growing() || !matches!(row.state, State::Pending | State::Acked);
    if is_parked && listed.is_some_and(|lane| !lane.is_empty() && *lane != [row.lane.0]) {
        report.add(place(row), "it is listed under another lane", "the record");
    }
    Ok(())
}

fn check_indexes(txn: &RoTxn, trees: &Trees, seq: Seq, row: &StateRow, report: &mut CheckReport) -> Result<()> {
    if trees.ids.get(txn, &row.id.0)? != Some(&sealed_seq(&row.id.0, seq)[..]) {
        report.add(place(row), "it is not listed under its id", "the record");
    }
    let label = row.ended.label().map(|label| label_key(labels::ENDED, label, row.id));
    if label.is_some_and(|key| trees.labels.get(txn, &key).is_ok_and(|found| found.is_none())) {
        report.add(place(row), "it is not listed under its end", "the record");
    }
    if let Some(stored) = trees.acks.get(txn, &seq_key(seq))? {
        let ack = without_seal(&seq_key(seq), stored).and_then(Ack::read);
        let is_whole = match ack {
            Some(ack) if row.is_run() => !ack.is_of_call(),
            Some(ack) => request_index::has(txn, trees, ack.request_id, seq)?,
            None => false,
        };
        if !is_whole {
            report.add(place(row), "its request id is damaged, or not listed", "the record");
        }
    }
    if row.sink != SinkId::NONE && sinks::name(txn, trees, row.sink)?.is_none() {
        report.add(place(row), "its sink has no name, or two", "the record");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn a_wrong_counter_is_reported() {
        let journal = tempfile::tempdir().unwrap();
        let store = Store::open(journal.path(), true).unwrap();
        assert_eq!(store.check().unwrap().problems, []);
        let changes: [fn(&mut Counts); 4] = [
            |counts| counts.states[State::Dead as usize] += 1,
            |counts| counts.open += 1,
            |counts| counts.forgotten += 1,
            |counts| counts.forgotten_unsent += 1,
        ];
        for change in changes {
            let set = |counts: &Counts| store.db().write(|txn, trees| counts.save(txn, trees)).unwrap();
            let whole = store.db().read(Counts::load).unwrap();
            let mut counts = whole.clone();
            change(&mut counts);
            set(&counts);
            assert_eq!(store.check().unwrap().problems.len(), 1, "{counts:?}");
            set(&whole);
        }
    }
}
