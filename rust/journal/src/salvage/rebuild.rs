//! Writes the gathered entries into the new journal, record by record in their old order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::entries::SalvagedEntries;
use super::report::SalvageReport;
use crate::frame::array;
use crate::ids::{ServerId, SinkId};
use crate::state::{CallEnd, FLAG_PRUNED, FLAG_RUN, State};
use crate::store::callbacks::{EntryKey, sinks};
use crate::store::db::pages::Pages;
use crate::store::db::trees::{PART_END, PART_START, label_key, record_key, sealed_seq, seq_key, with_seal};
use crate::store::digests::{self, Digest};
use crate::store::followups::queue::Queue;
use crate::store::followups::sent::restore_sent;
use crate::store::followups::{FollowUpKey, restore};
use crate::store::outbox::{ack_order, request_index};
use crate::store::records::row::{Ack, StateRow};
use crate::store::records::transition::Change;
use crate::store::records::{body, dictionary, quota};
use crate::store::servers::{self, elsewhere};
use crate::{Millis, RecordId, Result, Seq, Store};

/// The number of records written in one transaction.
const BATCH: usize = 1000;
/// Sinks never get a number beyond this.
const MAX_SINKS: u32 = 100_000;

pub(super) fn rebuild(store: &Store, pages: &Pages, found: &SalvagedEntries, report: &mut SalvageReport) -> Result<()> {
    let mut seqs: BTreeSet<Seq> =
        found.rows.keys().chain(found.ids.keys()).chain(found.labels.keys()).copied().collect();
    seqs.extend(found.bodies.keys().map(|(seq, _)| *seq));
    let seqs: Vec<Seq> = seqs.into_iter().collect();
    copy_names(store, found, report)?;
    copy_servers(store, found, report)?;
    let mut acked = HashMap::new();
    let mut numbers = BTreeMap::new();
    for batch in seqs.chunks(BATCH) {
        let done = store.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let mut part = SalvageReport::default();
            let mut written = Vec::new();
            for old in batch {
                if let Some(seq) = write(&mut change, pages, found, *old, &mut part)? {
                    written.push((*old, seq));
                }
            }
            pages.require_memory()?;
            found.require_memory()?;
            change.finish()?;
            Ok((part, written))
        })?;
        let (done, written) = done;
        let is_acked = |old: &Seq| found.acks.get(old).is_some_and(|ack| ack.is_of_call());
        if !found.bundles.is_empty() {
            numbers.extend(written.iter().copied());
        }
        acked.extend(written.into_iter().filter(|(old, _)| is_acked(old)));
        report.events += done.events;
        report.acks += done.acks;
        report.callbacks += done.callbacks;
        report.followups += done.followups;
        report.followups_sent += done.followups_sent;
        report.lost += done.lost - done.losses.len() as u64;
        for loss in done.losses {
            report.add_loss(loss);
        }
    }
    if found.subscribers().count() < found.positions.len() {
        report.add_loss("the command that receives every request id: it receives only new request ids".into());
    }
    order_acks(store, found, &acked)?;
    found.bundles.copy(store, &numbers)?;
    store.db().write(servers::recount)?;
    copy_request_followups(store, found, report)
}

/// Copies the follow-ups of requests without a record, and counts the follow-ups that are lost with their record.
fn copy_request_followups(store: &Store, found: &SalvagedEntries, report: &mut SalvageReport) -> Result<()> {
    let keys = found.followups.keys().chain(found.sent_followups.keys());
    let requests: BTreeSet<Queue> = keys.filter_map(|key| Queue::of(key)).collect();
    let mut copied = SalvageReport::default();
    store.db().write(|txn, trees| {
        let mut change = Change::begin(txn, trees, Millis::now())?;
        for queue in requests.iter().filter(|queue| matches!(queue, Queue::Request(_))) {
            copy_followups(&mut change, found, *queue, *queue, &mut copied)?;
        }
        change.finish()
    })?;
    report.followups += copied.followups;
    report.followups_sent += copied.followups_sent;
    let restored = report.followups + report.followups_sent;
    let lost = ((found.followups.len() + found.sent_followups.len()) as u64).saturating_sub(restored);
    if lost > 0 {
        report.add_loss(format!("{lost} follow-ups of lost records"));
    }
    Ok(())
}

/// Lists acks in their old order, and then those whose number is lost. A subscribed sink continues after the last ack it received.
/// `acked` has the new number of each old one.
fn order_acks(store: &Store, found: &SalvagedEntries, acked: &HashMap<Seq, Seq>) -> Result<()> {
    let mut listed: HashMap<Seq, u64> = HashMap::new();
    let mut order = Vec::new();
    for (number, old) in &found.ack_order {
        if let Some(seq) = acked.get(old)
            && listed.insert(*seq, *number).is_none()
        {
            order.push(*seq);
        }
    }
    let mut rest: Vec<Seq> = acked.values().filter(|seq| !listed.contains_key(seq)).copied().collect();
    rest.sort_unstable();
    let received = |position: u64| order.iter().take_while(|seq| listed[seq] <= position).count() as u64;
    store.db().write(|txn, trees| {
        for (number, seq) in (1..).zip(order.iter().chain(&rest)) {
            ack_order::list(txn, trees, number, *seq)?;
        }
        for (sink, position) in found.subscribers() {
            ack_order::set_position(txn, trees, sink, received(position))?;
        }
        Ok(())
    })
}

/// Copies the follow-ups of the queue `old` to the queue `new`.
fn copy_followups(
    change: &mut Change,
    found: &SalvagedEntries,
    old: Queue,
    new: Queue,
    report: &mut SalvageReport,
) -> Result<()> {
    let number = |key: &FollowUpKey| u64::from_be_bytes(array(key, 9));
    let keys = || old.key(0)..=old.key(u64::MAX);
    let unsent = found.followups.range(keys()).map(|(key, entry)| (number(key), entry));
    report.followups += restore(change, new, unsent)?;
    let sent = found.sent_followups.range(keys()).map(|(key, entry)| (number(key), entry));
    report.followups_sent += restore_sent(change, new, sent)?;
    Ok(())
}

/// Copies the sinks, which keep their numbers, the quota and the dictionaries.
fn copy_names(store: &Store, found: &SalvagedEntries, report: &mut SalvageReport) -> Result<()> {
    if found.meta.get(quota::KEY).is_some_and(|stored| !quota::is_whole(stored)) {
        report.add_loss("the quota: set it again".into());
    }
    store.db().write(|txn, trees| {
        let mut change = Change::begin(txn, trees, Millis::now())?;
        // Lost numbers stay in use, so that no later sink gets one of them.
        let last = found.sinks.keys().copied().max().unwrap_or_default().0.min(MAX_SINKS);
        for number in 1..=last {
            let name = found.sinks.get(&SinkId(number)).cloned();
            let name = name.unwrap_or_else(|| format!("lost:{number}").into_bytes());
            sinks::put(&mut change, &name, SinkId(number))?;
        }
        for ((kind, id), name) in &found.digest_names {
            digests::put_name(change.txn, trees, *kind, name, *id)?;
        }
        change.finish()?;
        for (key, value) in &found.meta {
            // The copy of a dictionary that this version ships may be damaged, and is not needed.
            let value = dictionary::shipped(key).unwrap_or(value);
            if key.starts_with(b"dict/") || (key == quota::KEY && quota::is_whole(value)) {
                trees.meta.put(txn, key, value)?;
            }
        }
        Ok(())
    })
}

/// Writes a record and returns its new number; `None` when too little of it is known.
fn write(
    change: &mut Change,
    pages: &Pages,
    found: &SalvagedEntries,
    old: Seq,
    report: &mut SalvageReport,
) -> Result<Option<Seq>> {
    let known = found.id(old);
    let id = known.unwrap_or_else(RecordId::new);
    let is_pruned = found.rows.get(&old).is_some_and(StateRow::is_pruned);
    let mut bodies = if is_pruned { [None, None] } else { found.stored(pages, old, known) };
    let is_empty = bodies.iter().all(Option::is_none);
    // A single body with a damaged key may have the number of another record, or of none.
    if (known.is_none() && is_empty) || change.trees.ids.get(change.txn, &id.0)?.is_some() {
        return Ok(None);
    }
    if known.is_none() {
        bodies.iter_mut().flatten().for_each(|stored| body::assign(stored, id));
    }
    let mut row = match found.rows.get(&old) {
        Some(row) if found.is_earlier(old) => outdated_row(found, row.clone(), bodies[1].as_deref(), report),
        Some(row) => row.clone(),
        None => new_row(found, id, known.is_some(), &bodies, report),
    };
    reconcile(&mut row, bodies.iter().flatten().count(), found.acks.contains_key(&old), found.damaged > 0, report);
    let server = server_in_doubt(found, old, &mut row, report);
    if row.sink != SinkId::NONE && !found.sinks.contains_key(&row.sink) {
        report.add_loss(format!("record {}: the sink of its request id", id.hex()));
        row.sink = SinkId::NONE;
    }
    let seq = change.counts.last_seq.next();
    change.counts.last_seq = seq;
    change.trees.ids.put(change.txn, &id.0, &sealed_seq(&id.0, seq))?;
    copy_bodies(change, seq, &bodies, report)?;
    // Pages of earlier commits may still have labels and follow-ups of a forgotten record.
    let labels = found.labels.get(&old).filter(|_| !row.is_forgotten());
    for key in labels.into_iter().flatten().filter(|key| key.ends_with(&id.0)) {
        change.trees.labels.put(change.txn, key, &sealed_seq(key, seq))?;
    }
    if let Some(ack) = found.acks.get(&old) {
        let server = if found.servers.contains_key(&ack.server) { ack.server } else { ServerId::UNKNOWN };
        let stored = with_seal(&seq_key(seq), Ack { server, ..*ack }.encode());
        change.trees.acks.put(change.txn, &seq_key(seq), &stored)?;
        if ack.is_of_call() {
            request_index::list(change.txn, change.trees, ack.request_id, seq)?;
            report.acks += 1;
        }
    }
    if row.state == State::Acked && !row.is_forgotten() {
        report.callbacks += copy_callbacks(change, found, old, seq, &row)?;
    }
    if row.is_pruned() && !row.is_forgotten() {
        let counter = if row.state == State::Acked || row.custody().is_some() {
            &mut change.counts.pruned_acked
        } else {
            &mut change.counts.pruned_unsent
        };
        *counter += 1;
    }
    // The label of the call's end follows from the row, whose end may have changed.
    for ended in [CallEnd::Error, CallEnd::Cancelled, CallEnd::Partial, CallEnd::Interrupted] {
        if let Some(label) = ended.label() {
            change.trees.labels.delete(change.txn, &label_key(crate::labels::ENDED, label, id))?;
        }
    }
    row.settle_forgotten();
    change.insert(seq, &row)?;
    copy_digest(change, found, old, seq, &row)?;
    if let Some(server) = server {
        elsewhere::put(change.txn, change.trees, seq, server)?;
    }
    found.bundles.copy_carried(change, old, seq)?;
    if !row.is_forgotten() {
        copy_followups(change, found, Queue::Record(old), Queue::Record(seq), report)?;
    }
    Ok(Some(seq))
}

/// Copies the digest of a record. A lost one is made later from the bodies.
fn copy_digest(change: &mut Change, found: &SalvagedEntries, old: Seq, seq: Seq, row: &StateRow) -> Result<()> {
    let known = found.digest(old).filter(|known| known.started == row.id.made_at());
    // The end in an earlier commit's digest may be outdated, and so may its figures.
    let is_current = known.is_some_and(|known| known.ended == row.ended);
    let mut digest = known.filter(|_| is_current).unwrap_or_else(|| Digest::of_row(row));
    if row.is_forgotten() {
        digest = Digest::of_row(row).forgotten();
    }
    digest.is_run = row.is_run();
    change.digests.put(change.txn, change.trees, seq, &digest)
}

/// The server of a record in doubt, if it is not the bound one. A record that may be at one of several servers is held: a look-up at
/// another one would find nothing.
fn server_in_doubt(
    found: &SalvagedEntries,
    old: Seq,
    row: &mut StateRow,
    report: &mut SalvageReport,
) -> Option<ServerId> {
    if row.state != State::InDoubt {
        return None;
    }
    let listed = found.elsewhere.get(&old).copied();
    let is_certain = !found.is_earlier(old)
        && !found.has_gaps(b"elsewhere")
        && found.rows.get(&old).is_some_and(|row| row.state == State::InDoubt);
    if listed.is_none() && !is_certain && found.servers.len() > 1 {
        row.state = State::Held;
        "salvaged without its server: it may be at one of several, see `plsync status`".clone_into(&mut row.last_error);
        report.add_loss(format!("record {}: the server that it was sent to", row.id.hex()));
    }
    listed
}

/// Copies the servers, which keep their numbers, and the binding.
fn copy_servers(store: &Store, found: &SalvagedEntries, report: &mut SalvageReport) -> Result<()> {
    let bound = found.meta.get(servers::BOUND).and_then(|stored| servers::read_bound(stored));
    let bound = bound.filter(|id| found.servers.contains_key(id));
    if bound.is_none() && !found.servers.is_empty() {
        report.add_loss("the server that the journal was bound to: the one with the newest request id is bound".into());
    }
    let newest = found.servers.values().max_by_key(|server| server.last).map(|server| server.id);
    store.db().write(|txn, trees| {
        for server in found.servers.values() {
            servers::put(txn, trees, server)?;
        }
        if let Some(id) = bound.or(newest) {
            servers::set_bound(txn, trees, id)?;
        }
        if let Some(stored) = found.meta.get(servers::SECRET).filter(|stored| servers::read_secret(stored).is_some()) {
            trees.meta.put(txn, servers::SECRET, stored)?;
        }
        Ok(())
    })
}

fn copy_bodies(change: &mut Change, seq: Seq, bodies: &[Option<Vec<u8>>; 2], report: &mut SalvageReport) -> Result<()> {
    for (part, stored) in [PART_START, PART_END].into_iter().zip(bodies) {
        let Some(stored) = stored else { continue };
        change.trees.records.put(change.txn, &record_key(seq, part), stored)?;
        change.counts.raw_bytes += body::raw_len(stored);
        change.counts.stored_bytes += stored.len() as u64;
        change.counts.opaque += u64::from(body::is_raw(stored));
        report.events += 1;
    }
    Ok(())
}

/// Copies the callbacks of an acked record, and returns their number.
fn copy_callbacks(change: &mut Change, found: &SalvagedEntries, old: Seq, new: Seq, row: &StateRow) -> Result<u64> {
    let owned = (row.sink, EntryKey::owned(row.sink, new, row.writer));
    let unowned = found.subscribers().map(|(sink, _)| (sink, EntryKey::unowned(sink, new)));
    let mut copied = 0;
    for (sink, key) in std::iter::once(owned).chain(unowned) {
        if let Some(entry) = found.callbacks.get(&(sink, old)) {
            key.put(change.txn, change.trees, entry)?;
            copied += 1;
        }
    }
    Ok(copied)
}

/// A new row for a record whose row is lost. The record may have been sent, so it must be looked up before it is sent.
fn new_row(
    found: &SalvagedEntries,
    id: RecordId,
    known: bool,
    bodies: &[Option<Vec<u8>>; 2],
    report: &mut SalvageReport,
) -> StateRow {
    let mut row = StateRow::new(id, RecordId([0; 16]), Millis::now());
    row.ended = ended(found, bodies[1].as_deref());
    if bodies.iter().flatten().any(|stored| body::is_run(stored)) {
        row.flags |= FLAG_RUN;
    }
    if known {
        row.state = State::InDoubt;
        "salvaged without its state: it may have been sent before".clone_into(&mut row.last_error);
        report.add_loss(format!("record {}: its state", id.hex()));
    } else {
        row.state = State::Held;
        "salvaged without its id and state: it may have been sent before, under another id"
            .clone_into(&mut row.last_error);
        report.add_loss(format!("record {}: its own id and its state; this id is new", id.hex()));
    }
    row
}

/// How a call ended, by its end event.
fn ended(found: &SalvagedEntries, end: Option<&[u8]>) -> CallEnd {
    match end.and_then(|stored| found.body(stored).ok()) {
        None => CallEnd::Abandoned,
        Some(body) if memchr::memmem::find(&body, b"\"error\":null").is_some() => CallEnd::Ok,
        Some(_) => CallEnd::Error,
    }
}

/// The row of a record as an earlier commit left it, when the newest row may be lost. A record that waited then may have been sent since.
fn outdated_row(
    found: &SalvagedEntries,
    mut row: StateRow,
    end: Option<&[u8]>,
    report: &mut SalvageReport,
) -> StateRow {
    if row.state == State::Pending {
        if matches!(row.ended, CallEnd::No | CallEnd::Abandoned) {
            row.ended = ended(found, end);
        }
        row.state = State::InDoubt;
        row.not_before = Millis::EPOCH;
        "salvaged with an earlier state: it may have been sent since".clone_into(&mut row.last_error);
        report.add_loss(format!("record {}: its state, of which only an earlier one was found", row.id.hex()));
    }
    row
}

/// Makes row, bodies and ack agree.
fn reconcile(row: &mut StateRow, bodies: usize, acked: bool, is_damaged: bool, report: &mut SalvageReport) {
    if acked {
        row.state = State::Acked;
    } else if row.state == State::Acked {
        row.state = State::InDoubt;
        row.not_before = Millis::EPOCH;
        "salvaged without its request id, which PromptLayer still knows".clone_into(&mut row.last_error);
        report.add_loss(format!("record {}: its request id", row.id.hex()));
    }
    let expected =
        if row.is_pruned() { 0 } else { 1 + usize::from(!matches!(row.ended, CallEnd::No | CallEnd::Abandoned)) };
    if bodies == 0 && expected > 0 {
        row.flags |= FLAG_PRUNED;
        if row.state != State::Acked {
            row.state = State::Dead;
            "its content could not be salvaged".clone_into(&mut row.last_error);
        }
        report.add_loss(format!("record {}: its events", row.id.hex()));
    } else if bodies < expected && is_damaged && row.state != State::Held {
        report.add_loss(format!("record {}: one of its two events", row.id.hex()));
    }
}
