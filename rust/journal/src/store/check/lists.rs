//! Checks lists, queues and trees as a whole.

use heed::RoTxn;

use super::report::CheckReport;
use crate::ids::SinkId;
use crate::store::callbacks::{self, CallbackEntry, sinks};
use crate::store::db::trees::{Trees, sealed_seq, seq_key, tail_number, tail_seq};
use crate::store::outbox::ack_order;
use crate::store::records::counts::Counts;
use crate::store::records::quota;
use crate::store::records::transition::load;
use crate::store::{bundles, followups, servers};
use crate::{RecordId, Result};

/// Checks the lengths of trees and counters. Together with the check of each record, equal lengths prove that every record is in
/// exactly one list.
pub(super) fn check_lists(txn: &RoTxn, trees: &Trees, report: &mut CheckReport) -> Result<()> {
    let counts = Counts::load(txn, trees)?;
    let place = || "the store".to_owned();
    let listed = trees.open.len(txn)? + trees.outbox.len(txn)? + trees.parked.len(txn)? + trees.acks.len(txn)?;
    if listed != report.records {
        report.add(place(), format!("{} records have {listed} entries in lists", report.records), "the records");
    }
    if trees.ids.len(txn)? != report.records || counts.last_seq.0 != report.records {
        let (ids, last) = (trees.ids.len(txn)?, counts.last_seq);
        report.add(place(), format!("{ids} ids and {last} numbers for {} records", report.records), "the records");
    }
    if trees.records.len(txn)? != report.events {
        report.add(place(), "it holds bodies without a record", "the bodies");
    }
    if counts.open != trees.open.len(txn)? {
        report.add(place(), "its counter of calls without an end does not match its records", "the records");
    }
    if trees.meta.get(txn, quota::KEY)?.is_some_and(|stored| !quota::is_whole(stored)) {
        report.add(place(), "its quota is damaged, so there is no limit; set it again", "the records");
    }
    for entry in trees.labels.iter(txn)? {
        let (key, value) = entry?;
        let id = key.last_chunk::<16>().map(|id| RecordId(*id));
        let found = id.map(|id| trees.ids.get(txn, &id.0)).transpose()?.flatten();
        if found.map(tail_seq).transpose()?.map(|seq| sealed_seq(key, seq)).as_ref().map(|value| &value[..])
            != Some(value)
        {
            report.add(place(), "a label is damaged, or has no record", "the records");
        }
    }
    if trees.by_request.len(txn)? + counts.acked_runs() != trees.acks.len(txn)? {
        report.add(place(), "its index of request ids has another length", "the request ids");
    }
    for problem in servers::check::problems(txn, trees)? {
        report.add("the servers".to_owned(), problem, "the records and their request ids");
    }
    for problem in bundles::check::problems(txn, trees)? {
        report.add("the bundles".to_owned(), problem, "the records and their request ids");
    }
    report.notes.extend(servers::check::repeated_ids(txn, trees)?);
    check_ack_order(txn, trees, report)?;
    check_callbacks(txn, trees, report)
}

/// Checks that every ack has a number, and that the numbers have no gap.
fn check_ack_order(txn: &RoTxn, trees: &Trees, report: &mut CheckReport) -> Result<()> {
    let place = || "the order of acks".to_owned();
    let last_seq = report.records;
    let last = ack_order::last(txn, trees)?;
    let mut listed = vec![0_u8; usize::try_from(last_seq / 8).unwrap_or(usize::MAX).saturating_add(1)];
    let mut number = 0;
    let withdrawn = Counts::load(txn, trees)?.last_ack;
    for entry in trees.ack_order.iter(txn)? {
        let (key, value) = entry?;
        number += 1;
        // Numbers are missing once acks were withdrawn. Then the order of the keys alone is left.
        let is_next = withdrawn > 0 || tail_number(key).is_ok_and(|key| key == number);
        let seq = ack_order::record(key, value).ok().filter(|_| is_next);
        let Some(seq) = seq.filter(|seq| seq.0 <= last_seq) else {
            report.add(place(), format!("entry {number} is damaged"), "the request ids");
            continue;
        };
        let (byte, bit) = (usize::try_from(seq.0 / 8).unwrap_or(0), 1 << (seq.0 % 8));
        if listed[byte] & bit != 0 || trees.acks.get(txn, &seq_key(seq))?.is_none() {
            report.add(
                place(),
                format!("the record of entry {number} has no ack, or two entries"),
                "the other entries",
            );
        }
        listed[byte] |= bit;
    }
    let acks = trees.acks.len(txn)?.saturating_sub(Counts::load(txn, trees)?.acked_runs());
    if number != acks {
        report.add(place(), format!("it has {number} of {acks} acks"), "the request ids");
    }
    for entry in trees.positions.iter(txn)? {
        let (key, value) = entry?;
        let position = ack_order::read_position(key, value).ok().filter(|position| *position <= number.max(last));
        let sink = key.try_into().map(u32::from_be_bytes).map(SinkId).ok();
        let name = sink.map(|sink| sinks::name(txn, trees, sink)).transpose()?.flatten();
        if position.is_none() || name.is_none() {
            report.add(place(), "the position of a sink is damaged", "the request ids");
        }
    }
    Ok(())
}

fn check_callbacks(txn: &RoTxn, trees: &Trees, report: &mut CheckReport) -> Result<()> {
    let place = || "the callback queue".to_owned();
    for entry in trees.callbacks.iter(txn)? {
        let (key, value) = entry?;
        let sink = key.first_chunk().map(|sink| SinkId(u32::from_be_bytes(*sink)));
        let position = sink.map(|sink| ack_order::position(txn, trees, sink)).transpose();
        let is_subscribed = position.is_ok_and(|position| position.flatten().is_some());
        let row = load(txn, trees, tail_seq(key)?);
        let is_theirs = row.is_ok_and(|row| is_subscribed || Some(row.sink) == sink);
        match CallbackEntry::decode(key, value) {
            Ok(entry) if is_theirs => {
                if !callbacks::is_listed(txn, trees, key, &entry)? {
                    report.add(place(), "a waiting callback is not listed under its due time", "the request id");
                }
            }
            _ => report.add(place(), "a waiting callback is damaged, or has no record", "the request ids"),
        }
    }
    if trees.callbacks.len(txn)? != trees.callbacks_due.len(txn)? {
        report.add(place(), "its list of due times has another length", "the request ids");
    }
    for problem in followups::problems(txn, trees)? {
        report.add(place(), problem, "the records");
    }
    Ok(())
}

/// Checks each tree against the length that LMDB stores for it. After damage to a page they differ, or keys are out of order.
pub(super) fn check_trees(txn: &RoTxn, trees: &Trees, report: &mut CheckReport) -> Result<()> {
    for (name, tree) in trees.all() {
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
