//! One group commit: a batch of frames and the cursors that go with them, in one transaction.

use super::merge::Progress;
use super::{IngestReport, Prepared};
use crate::frame::{Ended, Kind};
use crate::labels;
use crate::store::Store;
use crate::store::row::{State, StateRow};
use crate::store::tables::{PART_END, PART_START, cursor_key, label_key, record_key, seq_key, tail_seq};
use crate::store::transition::{Change, load};
use crate::{RecordId, Result, ids};

/// How many reports of damage are kept.
const DAMAGE_KEPT: u64 = 1000;

#[derive(Default)]
struct Tally {
    frames: u64,
    records: u64,
    duplicates: u64,
}

impl Store {
    pub(super) fn apply(&self, batch: &[Prepared], progress: &[Progress], report: &mut IngestReport) -> Result<()> {
        let tally = self.db().write(|txn, tables| {
            let mut tally = Tally::default();
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            for prepared in batch {
                store(&mut change, prepared, &mut tally)?;
            }
            for step in progress {
                let mut value = step.offset.to_le_bytes().to_vec();
                value.push(u8::from(step.damaged));
                tables.cursors.put(change.txn, &cursor_key(step.writer, step.segment), &value)?;
                for damage in &step.damage {
                    change.counts.damaged += 1;
                    if change.counts.damaged <= DAMAGE_KEPT {
                        let text = format!(
                            "{} at byte {}, {} bytes: {}",
                            damage.segment, damage.offset, damage.len, damage.reason
                        );
                        tables.damage.put(change.txn, &seq_key(change.counts.damaged), text.as_bytes())?;
                    }
                }
            }
            change.finish()?;
            Ok(tally)
        })?;
        report.frames += tally.frames;
        report.records += tally.records;
        report.duplicates += tally.duplicates;
        report.damage.extend(progress.iter().flat_map(|step| step.damage.iter().cloned()));
        Ok(())
    }
}

fn store(change: &mut Change<'_, '_>, prepared: &Prepared, tally: &mut Tally) -> Result<()> {
    let part = if prepared.is_terminal() { PART_END } else { PART_START };
    let id = prepared.frame.id;
    let known = change.tables.ids.get(change.txn, &id.0)?.map(tail_seq).transpose()?;
    let seq = known.unwrap_or(change.counts.last_seq + 1);
    let key = record_key(seq, part);
    if known.is_some() && change.tables.records.get(change.txn, &key)?.is_some() {
        tally.duplicates += 1;
        return Ok(());
    }
    change.tables.records.put(change.txn, &key, &prepared.stored)?;
    change.counts.raw_bytes += prepared.frame.body.len() as u64;
    change.counts.stored_bytes += prepared.stored.len() as u64;
    tally.frames += 1;
    let sink = index_labels(change, id, seq, &prepared.frame.labels)?;
    if known.is_none() {
        change.counts.last_seq = seq;
        change.tables.ids.put(change.txn, &id.0, &seq_key(seq))?;
        let mut row = StateRow::new(id, prepared.writer, change.now_ms);
        merge_into(&mut row, prepared, sink);
        change.insert(seq, &row)?;
        tally.records += 1;
        return Ok(());
    }
    let row = load(change.txn, change.tables, seq)?;
    // An end after the record was swept replaces the guess, unless the guess has been sent already.
    if row.ended == Ended::No || (row.ended == Ended::Abandoned && row.state == State::Pending) || part == PART_START {
        change.update(seq, |row| merge_into(row, prepared, sink))?;
    } else {
        tally.duplicates += 1;
    }
    Ok(())
}

fn merge_into(row: &mut StateRow, prepared: &Prepared, sink: u32) {
    let frame = &prepared.frame;
    row.flags |= frame.flags;
    if sink != 0 {
        row.sink = sink;
    }
    match frame.kind {
        Kind::End => row.ended = frame.ended,
        Kind::Raw => {
            row.ended = Ended::Ok;
            row.state = State::Held;
            row.last_error = "opaque bytes, appended without a handler: nothing to send".into();
        }
        Kind::Start | Kind::Segment => row.lane = frame.lane,
    }
}

/// Indexes the labels, and returns the number of the sink among them (0: none).
fn index_labels(change: &mut Change<'_, '_>, id: RecordId, seq: u64, section: &[u8]) -> Result<u32> {
    let mut sink = 0;
    for (kind, value) in labels::iter(section) {
        if kind == labels::SINK {
            sink = intern_sink(change, value)?;
        } else {
            change.tables.labels.put(change.txn, &label_key(kind, value, id), &seq_key(seq))?;
        }
    }
    Ok(sink)
}

fn intern_sink(change: &mut Change<'_, '_>, name: &[u8]) -> Result<u32> {
    let sinks = change.tables.sinks;
    let by_name = [b"n", name].concat();
    if let Some(number) = sinks.get(change.txn, &by_name)?.and_then(|value| value.first_chunk::<4>()) {
        return Ok(u32::from_be_bytes(*number));
    }
    // Each sink has two entries, so half the tree's length is the number given last.
    let number = u32::try_from(sinks.len(change.txn)? / 2 + 1).unwrap_or(u32::MAX);
    sinks.put(change.txn, &by_name, &number.to_be_bytes())?;
    sinks.put(change.txn, &[&b"i"[..], &number.to_be_bytes()].concat(), name)?;
    Ok(number)
}
