//! Checks every frame of the spool, every record of the store, and that the trees agree.

use heed::RoTxn;

use super::Store;
use super::callbacks::sinks;
use super::callbacks::{self, Entry};
use super::db::tables::{
    PART_END, PART_START, Tables, label_key, open_key, outbox_key, parked_key, record_key, request_key, sealed_seq,
    seq_key, tail_number, tail_seq, without_seal,
};
use super::followups;
use super::outbox::ack_order;
use super::records::counts::Counts;
use super::records::payload;
use super::records::retention;
use super::records::row::{Ack, StateRow};
use super::records::transition::load;
use crate::ids::SinkId;
use crate::spool::lock::observe;
use crate::spool::reader::{Reader, Step};
use crate::spool::segment::{list, segment_path};
use crate::state::Ended;
use crate::state::State;
use crate::{RecordId, Result, labels, layout};

/// A problem of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A segment's name, `record <id>`, or a part of the store.
    pub place: String,
    /// The problem, in words.
    pub description: String,
    /// The part that is still intact.
    pub kept: &'static str,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Frames read in the spool.
    pub frames: u64,
    /// Records read in the store.
    pub records: u64,
    /// Events of these records.
    pub events: u64,
    /// The problems that were found.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    fn add(&mut self, place: String, description: impl Into<String>, kept: &'static str) {
        self.problems.push(Problem { place, description: description.into(), kept });
    }
}

impl Store {
    /// Reads the whole journal and reports its problems. Changes nothing.
    pub fn check(&self) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        self.check_spool(&mut report)?;
        let records = self.db().read(|txn, tables| {
            let mut report = CheckReport::default();
            self.db().mapped.release_during(txn, tables, || {
                check_trees(txn, tables, &mut report)?;
                check_records(txn, tables, &mut report)?;
                check_lists(txn, tables, &mut report)
            })?;
            Ok(report)
        })?;
        report.records = records.records;
        report.events = records.events;
        report.problems.extend(records.problems);
        Ok(report)
    }

    fn check_spool(&self, report: &mut CheckReport) -> Result<()> {
        let spool = layout::spool(self.path());
        if !spool.is_dir() {
            return Ok(());
        }
        for (writer, index) in list(&spool)? {
            let alive = observe(&spool, writer)?.info.alive;
            let path = segment_path(&spool, writer, index);
            // An ingester may have removed it after the listing.
            if !path.exists() {
                continue;
            }
            let mut reader = Reader::open(&path, 0)?;
            loop {
                match if alive { reader.next()? } else { reader.last()? } {
                    Step::Frame(_) => report.frames += 1,
                    Step::End => break,
                    Step::Skipped(damage) => {
                        let damaged = format!("{} bytes from byte {}: {}", damage.len, damage.offset, damage.reason);
                        report.add(damage.segment, damaged, "all frames before and after");
                    }
                    // A living process is writing this frame.
                    Step::Torn(_) if alive => break,
                    Step::Torn(damage) => {
                        let torn = format!("a torn frame of {} bytes at byte {}", damage.len, damage.offset);
                        report.add(damage.segment, torn, "all frames before it");
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

fn check_records(txn: &RoTxn, tables: &Tables, report: &mut CheckReport) -> Result<()> {
    for entry in tables.state.iter(txn)? {
        let (key, value) = entry?;
        let seq = tail_seq(key)?;
        report.records += 1;
        let row = match StateRow::decode(seq, value) {
            Ok(row) => row,
            Err(error) => {
                report.add(format!("record {seq}"), error.to_string(), "its bodies");
                continue;
            }
        };
        let place = || format!("record {}", row.id.hex());
        if tables.ids.get(txn, &row.id.0)? != Some(&sealed_seq(&row.id.0, seq)[..]) {
            report.add(place(), "it is not listed under its id", "the record");
        }
        let mut bodies = 0;
        for part in [PART_START, PART_END] {
            let Some(stored) = tables.records.get(txn, &record_key(seq, part))? else { continue };
            bodies += 1;
            report.events += 1;
            if let Err(error) = payload::decode(txn, tables, row.id, part, stored) {
                let kept = if part == PART_START { "its end, and its state" } else { "its start, and its state" };
                report.add(place(), error.to_string(), kept);
            }
        }
        if bodies == 0 && !row.is_pruned() {
            report.add(place(), "it has a state and no body", "its state");
        }
        let listed = match (row.state, row.ended) {
            (State::Pending, Ended::No) => tables.open.get(txn, &open_key(row.writer, seq))?,
            (State::Pending, _) => tables.outbox.get(txn, &outbox_key(row.lane, row.not_before, seq))?,
            (State::Acked, _) => tables.acks.get(txn, &seq_key(seq))?,
            (state, _) => tables.parked.get(txn, &parked_key(state, seq))?,
        };
        if listed.is_none() {
            report.add(place(), format!("it is {} but not listed as such", row.state.name()), "the record");
        }
        // Empty when an earlier version stored it, which kept the lane in the row alone.
        let is_parked = !matches!(row.state, State::Pending | State::Acked);
        if is_parked && listed.is_some_and(|lane| !lane.is_empty() && *lane != [row.lane.0]) {
            report.add(place(), "it is listed under another lane", "the record");
        }
        let label = row.ended.label().map(|label| label_key(labels::ENDED, label, row.id));
        if label.is_some_and(|key| tables.labels.get(txn, &key).is_ok_and(|found| found.is_none())) {
            report.add(place(), "it is not listed under its end", "the record");
        }
        if let Some(stored) = tables.acks.get(txn, &seq_key(seq))? {
            let ack = without_seal(&seq_key(seq), stored).and_then(|value| value.first_chunk());
            let request = ack.map(|ack| request_key(Ack::decode(*ack).request_id));
            let found = request.map(|key| tables.by_request.get(txn, &key)).transpose()?.flatten();
            if found.map(tail_seq).transpose()? != Some(seq) {
                report.add(place(), "its request id is damaged, or not listed", "the record");
            }
        }
        if row.sink != SinkId::NONE && sinks::name(txn, tables, row.sink)?.is_none() {
            report.add(place(), "its sink has no name, or two", "the record");
        }
    }
    Ok(())
}

/// Checks the lengths of trees and counters. Together with the check of each record, equal lengths prove that every record is in
/// exactly one list.
fn check_lists(txn: &RoTxn, tables: &Tables, report: &mut CheckReport) -> Result<()> {
    let counts = Counts::load(txn, tables)?;
    let place = || "the store".to_owned();
    let listed = tables.open.len(txn)? + tables.outbox.len(txn)? + tables.parked.len(txn)? + tables.acks.len(txn)?;
    if listed != report.records {
        report.add(place(), format!("{} records have {listed} entries in lists", report.records), "the records");
    }
    if tables.ids.len(txn)? != report.records || counts.last_seq.0 != report.records {
        let (ids, last) = (tables.ids.len(txn)?, counts.last_seq);
        report.add(place(), format!("{ids} ids and {last} numbers for {} records", report.records), "the records");
    }
    if tables.records.len(txn)? != report.events {
        report.add(place(), "it holds bodies without a record", "the bodies");
    }
    if counts.states.iter().sum::<u64>() != report.records || counts.open != tables.open.len(txn)? {
        report.add(place(), "its counters do not match its records", "the records");
    }
    if tables.meta.get(txn, retention::KEY)?.is_some_and(|stored| !retention::is_whole(stored)) {
        report.add(place(), "its quota is damaged, so there is no limit; set it again", "the records");
    }
    for entry in tables.labels.iter(txn)? {
        let (key, value) = entry?;
        let id = key.last_chunk::<16>().map(|id| RecordId(*id));
        let found = id.map(|id| tables.ids.get(txn, &id.0)).transpose()?.flatten();
        if found.map(tail_seq).transpose()?.map(|seq| sealed_seq(key, seq)).as_ref().map(|value| &value[..])
            != Some(value)
        {
            report.add(place(), "a label is damaged, or has no record", "the records");
        }
    }
    check_ack_order(txn, tables, report)?;
    check_callbacks(txn, tables, report)
}

/// Checks that every ack has a number, and that the numbers have no gap.
fn check_ack_order(txn: &RoTxn, tables: &Tables, report: &mut CheckReport) -> Result<()> {
    let place = || "the order of acks".to_owned();
    let last_seq = report.records;
    let mut listed = vec![0_u8; usize::try_from(last_seq / 8).unwrap_or(usize::MAX).saturating_add(1)];
    let mut number = 0;
    for entry in tables.ack_order.iter(txn)? {
        let (key, value) = entry?;
        number += 1;
        let seq = ack_order::record(key, value).ok().filter(|_| tail_number(key).is_ok_and(|key| key == number));
        let Some(seq) = seq.filter(|seq| seq.0 <= last_seq) else {
            report.add(place(), format!("entry {number} is damaged"), "the request ids");
            continue;
        };
        let (byte, bit) = (usize::try_from(seq.0 / 8).unwrap_or(0), 1 << (seq.0 % 8));
        if listed[byte] & bit != 0 || tables.acks.get(txn, &seq_key(seq))?.is_none() {
            report.add(
                place(),
                format!("the record of entry {number} has no ack, or two entries"),
                "the other entries",
            );
        }
        listed[byte] |= bit;
    }
    if number != tables.acks.len(txn)? {
        report.add(place(), format!("it has {number} of {} acks", tables.acks.len(txn)?), "the request ids");
    }
    for entry in tables.positions.iter(txn)? {
        let (key, value) = entry?;
        let position = ack_order::read_position(key, value).ok().filter(|position| *position <= number);
        let sink = key.try_into().map(u32::from_be_bytes).map(SinkId).ok();
        let name = sink.map(|sink| sinks::name(txn, tables, sink)).transpose()?.flatten();
        if position.is_none() || name.is_none() {
            report.add(place(), "the position of a sink is damaged", "the request ids");
        }
    }
    Ok(())
}

fn check_callbacks(txn: &RoTxn, tables: &Tables, report: &mut CheckReport) -> Result<()> {
    let place = || "the callback queue".to_owned();
    for entry in tables.callbacks.iter(txn)? {
        let (key, value) = entry?;
        let sink = key.first_chunk().map(|sink| SinkId(u32::from_be_bytes(*sink)));
        let position = sink.map(|sink| ack_order::position(txn, tables, sink)).transpose();
        let is_subscribed = position.is_ok_and(|position| position.flatten().is_some());
        let row = load(txn, tables, tail_seq(key)?);
        let is_theirs = row.is_ok_and(|row| is_subscribed || Some(row.sink) == sink);
        match Entry::decode(key, value) {
            Ok(entry) if is_theirs => {
                if !callbacks::is_listed(txn, tables, key, &entry)? {
                    report.add(place(), "a waiting callback is not listed under its due time", "the request id");
                }
            }
            _ => report.add(place(), "a waiting callback is damaged, or has no record", "the request ids"),
        }
    }
    if tables.callbacks.len(txn)? != tables.callbacks_due.len(txn)? {
        report.add(place(), "its list of due times has another length", "the request ids");
    }
    for problem in followups::problems(txn, tables)? {
        report.add(place(), problem, "the records");
    }
    Ok(())
}

/// Checks each tree against the length that LMDB stores for it. After damage to a page they differ, or keys are out of order.
fn check_trees(txn: &RoTxn, tables: &Tables, report: &mut CheckReport) -> Result<()> {
    for (name, tree) in tables.all() {
        let mut entries = 0;
        let mut last: Option<Vec<u8>> = None;
        for entry in tree.iter(txn)? {
            let (key, _) = entry?;
            if last.as_deref().is_some_and(|last| last >= key) {
                report.add(format!("tree {name}"), "its keys are out of order", "the entries that can still be found");
                break;
            }
            last = Some(key.to_vec());
            entries += 1;
            if entries > tree.len(txn)? {
                break;
            }
        }
        if entries != tree.len(txn)? {
            report.add(
                format!("tree {name}"),
                format!("{entries} of {} entries are left", tree.len(txn)?),
                "these entries",
            );
        }
    }
    Ok(())
}
