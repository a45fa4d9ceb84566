//! One group commit: a batch of frames and the cursors that go with them, in one transaction.

use std::collections::HashMap;

use super::merge::Progress;
use super::{Batch, IngestReport, Prepared};
use crate::frame::{Ended, Kind};
use crate::labels;
use crate::store::Store;
use crate::store::callbacks::{Entry, Place};
use crate::store::row::{State, StateRow};
use crate::store::sinks;
use crate::store::tables::{cursor_key, label_key, record_key, sealed, sealed_seq, seq_key, tail_seq};
use crate::store::transition::{Change, load};
use crate::{RecordId, Result, ids};

/// How many reports of damage are kept.
const DAMAGE_KEPT: u64 = 1000;

/// What one transaction does; made anew when the transaction has to be run again.
struct Commit<'c, 't, 'e> {
    change: &'c mut Change<'t, 'e>,
    /// Records that began in this very batch. Most end in it too, and are then written once.
    fresh: HashMap<RecordId, Fresh>,
    tally: Tally,
}

struct Fresh {
    seq: u64,
    row: StateRow,
    /// Its parts that are stored.
    has: [bool; 2],
}

#[derive(Clone, Copy, Default)]
struct Tally {
    frames: u64,
    records: u64,
    duplicates: u64,
}

impl Store {
    pub(super) fn apply(&self, batch: &Batch, report: &mut IngestReport) -> Result<()> {
        let tally = self.db().write(|txn, tables| {
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            let mut commit = Commit { change: &mut change, fresh: HashMap::new(), tally: Tally::default() };
            for event in &batch.events {
                commit.store(event)?;
            }
            let tally = commit.finish()?;
            for step in &batch.progress {
                save_progress(&mut change, step)?;
            }
            change.finish()?;
            Ok(tally)
        })?;
        report.frames += tally.frames;
        report.records += tally.records;
        report.duplicates += tally.duplicates;
        report.damage.extend(batch.progress.iter().flat_map(|step| step.damage.iter().cloned()));
        Ok(())
    }
}

impl Commit<'_, '_, '_> {
    fn store(&mut self, event: &Prepared) -> Result<()> {
        let id = event.frame.id;
        if let Some(fresh) = self.fresh.get_mut(&id) {
            // A call that a forked child ended may have its end before its start.
            if std::mem::replace(&mut fresh.has[usize::from(event.part())], true) {
                self.tally.duplicates += 1;
                return Ok(());
            }
            let seq = fresh.seq;
            let sink = index_labels(self.change, id, seq, &event.frame.labels)?;
            merge_into(&mut fresh.row, event, sink);
            return self.put_body(seq, event);
        }
        match self.change.tables.ids.get(self.change.txn, &id.0)?.map(tail_seq).transpose()? {
            Some(seq) => self.add_to(seq, event),
            None => self.begin(event),
        }
    }

    /// The first event of a record.
    fn begin(&mut self, event: &Prepared) -> Result<()> {
        let id = event.frame.id;
        let seq = self.change.counts.last_seq + 1;
        self.change.counts.last_seq = seq;
        self.change.tables.ids.put(self.change.txn, &id.0, &sealed_seq(&id.0, seq))?;
        let sink = index_labels(self.change, id, seq, &event.frame.labels)?;
        let mut row = StateRow::new(id, event.writer, self.change.now_ms);
        merge_into(&mut row, event, sink);
        let mut has = [false; 2];
        has[usize::from(event.part())] = true;
        self.fresh.insert(id, Fresh { seq, row, has });
        self.change.counts.opaque += u64::from(event.frame.kind == Kind::Raw);
        self.tally.records += 1;
        self.put_body(seq, event)
    }

    /// A further event of a record that was stored before.
    fn add_to(&mut self, seq: u64, event: &Prepared) -> Result<()> {
        let row = load(self.change.txn, self.change.tables, seq)?;
        // An end after the record was swept replaces the guess, unless the guess has been sent already.
        let open = row.ended == Ended::No || (row.ended == Ended::Abandoned && row.state == State::Pending);
        let known = self.change.tables.records.get(self.change.txn, &record_key(seq, event.part()))?.is_some();
        if known || (event.is_terminal() && !open) {
            self.tally.duplicates += 1;
            return Ok(());
        }
        self.put_body(seq, event)?;
        let sink = index_labels(self.change, event.frame.id, seq, &event.frame.labels)?;
        let had_sink = row.sink != 0;
        let row = self.change.update(seq, |row| merge_into(row, event, sink))?;
        if row.state == State::Acked && row.sink != 0 && !had_sink {
            // Only now it is known who waits for the id that came before.
            Place::of_writer(row.sink, seq, row.writer).put(self.change.txn, self.change.tables, &Entry::default())?;
        }
        Ok(())
    }

    fn put_body(&mut self, seq: u64, event: &Prepared) -> Result<()> {
        self.change.tables.records.put(self.change.txn, &record_key(seq, event.part()), &event.stored)?;
        self.change.counts.raw_bytes += event.frame.body.len() as u64;
        self.change.counts.stored_bytes += event.stored.len() as u64;
        self.tally.frames += 1;
        Ok(())
    }

    fn finish(self) -> Result<Tally> {
        let mut fresh: Vec<Fresh> = self.fresh.into_values().collect();
        // In order, so that the pages of the state tree are filled one after the other.
        fresh.sort_unstable_by_key(|fresh| fresh.seq);
        for Fresh { seq, row, .. } in fresh {
            self.change.insert(seq, &row)?;
        }
        Ok(self.tally)
    }
}

fn save_progress(change: &mut Change<'_, '_>, step: &Progress) -> Result<()> {
    let mut value = step.offset.to_le_bytes().to_vec();
    value.push(u8::from(step.damaged));
    let key = cursor_key(step.writer, step.segment);
    change.tables.cursors.put(change.txn, &key, &sealed(&key, value))?;
    for damage in &step.damage {
        change.counts.damaged += 1;
        if change.counts.damaged <= DAMAGE_KEPT {
            let text = format!("{} at byte {}, {} bytes: {}", damage.segment, damage.offset, damage.len, damage.reason);
            change.tables.damage.put(change.txn, &seq_key(change.counts.damaged), text.as_bytes())?;
        }
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
            sink = sinks::intern(change, value)?;
        } else if kind != labels::ENDED {
            let key = label_key(kind, value, id);
            change.tables.labels.put(change.txn, &key, &sealed_seq(&key, seq))?;
        }
    }
    Ok(sink)
}
