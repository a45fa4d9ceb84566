//! One group commit: frames and the cursors that go with them, in one transaction.
//!
//! What a record's first events give is collected and written tree by tree, each in the order of its keys: LMDB then fills one page
//! after the other, and most of the time at the tree's end, where it need not search.

use std::collections::HashMap;

use super::IngestReport;
use super::chunk::{Chunk, Event, Progress};
use super::index::Index;
use crate::labels;
use crate::state::State;
use crate::state::{Ended, Kind};
use crate::store::Store;
use crate::store::callbacks::sinks;
use crate::store::callbacks::{Entry, Place};
use crate::store::db::tables::{cursor_key, put_last, record_key, sealed, sealed_seq, seq_key, tail_seq};
use crate::store::records::row::StateRow;
use crate::store::records::transition::{Change, load};
use crate::{RecordId, Result, ids};

/// How many reports of damage are kept.
const DAMAGE_KEPT: u64 = 1000;

/// What one transaction does; made anew when the transaction has to be run again.
struct Commit<'g, 'c, 't, 'e> {
    change: &'c mut Change<'t, 'e>,
    /// Records that began in this very group, by their ids. Most end in it too, and are then written once.
    fresh: HashMap<RecordId, usize>,
    /// The same in the order in which they began, which is that of their numbers.
    records: Vec<Fresh<'g>>,
    /// Their numbers and rows, in the same order.
    rows: Vec<(u64, StateRow)>,
    /// Their bodies.
    bodies: Vec<(u64, u8, &'g [u8])>,
    index: Index<'g>,
    /// The highest id in the store.
    highest: RecordId,
    tally: Tally,
}

struct Fresh<'g> {
    /// The labels of its first event, which are indexed.
    labels: &'g [u8],
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
    pub(super) fn apply(&self, chunks: &[Chunk], report: &mut IngestReport) -> Result<()> {
        let tally = self.db().write(|txn, tables| {
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            let mut commit = Commit::new(&mut change, chunks.iter().map(|chunk| chunk.events.len()).sum())?;
            for chunk in chunks {
                for event in &chunk.events {
                    commit.store(event, chunk.labels(event), chunk.stored(event))?;
                }
            }
            let tally = commit.finish()?;
            for step in chunks.iter().flat_map(|chunk| &chunk.progress) {
                save_progress(&mut change, step)?;
            }
            change.finish()?;
            Ok(tally)
        })?;
        report.frames += tally.frames;
        report.records += tally.records;
        report.duplicates += tally.duplicates;
        let progress = chunks.iter().flat_map(|chunk| &chunk.progress);
        report.damage.extend(progress.flat_map(|step| step.damage.iter().cloned()));
        Ok(())
    }
}

impl<'g, 'c, 't, 'e> Commit<'g, 'c, 't, 'e> {
    /// For so many events, most of which are the starts and ends of calls.
    fn new(change: &'c mut Change<'t, 'e>, events: usize) -> Result<Self> {
        let highest = change.tables.ids.last(change.txn)?.and_then(|(key, _)| key.try_into().ok());
        let highest = RecordId(highest.unwrap_or_default());
        Ok(Self {
            change,
            fresh: HashMap::with_capacity(events / 2),
            records: Vec::with_capacity(events / 2),
            rows: Vec::with_capacity(events / 2),
            bodies: Vec::with_capacity(events),
            index: Index::default(),
            highest,
            tally: Tally::default(),
        })
    }

    fn store(&mut self, event: &Event, section: &'g [u8], stored: &'g [u8]) -> Result<()> {
        let part = event.part();
        if let Some(at) = self.fresh.get(&event.id) {
            let (fresh, (seq, row)) = (&mut self.records[*at], &mut self.rows[*at]);
            // A call that a forked child ended may have its end before its start.
            if std::mem::replace(&mut fresh.has[usize::from(part)], true) {
                self.tally.duplicates += 1;
                return Ok(());
            }
            // An end's labels are the first of its start's.
            let is_indexed = fresh.labels.starts_with(section);
            let index = &mut self.index;
            let sink = if is_indexed { 0 } else { index_labels(self.change, index, event.id, *seq, section)? };
            merge_into(row, event, sink);
            self.bodies.push((*seq, part, stored));
            self.count(event, stored);
            return Ok(());
        }
        match self.number(event.id)? {
            (seq, true) => self.add_to(seq, event, section, stored),
            (seq, false) => self.begin(seq, event, section, stored),
        }
    }

    /// The number of a record, which it is given now if it has none, and whether it had one.
    fn number(&mut self, id: RecordId) -> Result<(u64, bool)> {
        let (ids, next) = (self.change.tables.ids, self.change.counts.last_seq + 1);
        let entry = sealed_seq(&id.0, next);
        if id > self.highest {
            put_last(ids, self.change.txn, &id.0, &entry)?;
            self.highest = id;
        } else if let Some(known) = ids.get_or_put(self.change.txn, &id.0, &entry)? {
            return Ok((tail_seq(known)?, true));
        }
        self.change.counts.last_seq = next;
        Ok((next, false))
    }

    /// The first event of a record.
    fn begin(&mut self, seq: u64, event: &Event, section: &'g [u8], stored: &'g [u8]) -> Result<()> {
        let sink = index_labels(self.change, &mut self.index, event.id, seq, section)?;
        let mut row = StateRow::new(event.id, event.writer, self.change.now_ms);
        merge_into(&mut row, event, sink);
        let mut has = [false; 2];
        has[usize::from(event.part())] = true;
        self.fresh.insert(event.id, self.records.len());
        self.records.push(Fresh { labels: section, has });
        self.rows.push((seq, row));
        self.bodies.push((seq, event.part(), stored));
        self.change.counts.opaque += u64::from(event.kind == Kind::Raw);
        self.tally.records += 1;
        self.count(event, stored);
        Ok(())
    }

    /// A further event of a record that was stored before.
    fn add_to(&mut self, seq: u64, event: &Event, section: &'g [u8], stored: &[u8]) -> Result<()> {
        let row = load(self.change.txn, self.change.tables, seq)?;
        // An end after the record was swept replaces the guess, unless the guess has been sent already.
        let open = row.ended == Ended::No || (row.ended == Ended::Abandoned && row.state == State::Pending);
        let key = record_key(seq, event.part());
        let known = self.change.tables.records.get(self.change.txn, &key)?.is_some();
        if known || (event.is_terminal() && !open) {
            self.tally.duplicates += 1;
            return Ok(());
        }
        self.change.tables.records.put(self.change.txn, &key, stored)?;
        self.count(event, stored);
        let sink = index_labels(self.change, &mut self.index, event.id, seq, section)?;
        let had_sink = row.sink != 0;
        let row = self.change.update(seq, |row| merge_into(row, event, sink))?;
        if row.state == State::Acked && row.sink != 0 && !had_sink {
            // Only now it is known who waits for the id that came before.
            Place::of_writer(row.sink, seq, row.writer).put(self.change.txn, self.change.tables, &Entry::default())?;
        }
        Ok(())
    }

    fn count(&mut self, event: &Event, stored: &[u8]) {
        self.change.counts.raw_bytes += event.body_len as u64;
        self.change.counts.stored_bytes += stored.len() as u64;
        self.tally.frames += 1;
    }

    fn finish(mut self) -> Result<Tally> {
        self.bodies.sort_unstable_by_key(|(seq, part, _)| (*seq, *part));
        for (seq, part, stored) in self.bodies {
            put_last(self.change.tables.records, self.change.txn, &record_key(seq, part), stored)?;
        }
        self.change.insert_newest(&self.rows)?;
        self.index.write(self.change)?;
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

fn merge_into(row: &mut StateRow, event: &Event, sink: u32) {
    row.flags |= event.flags;
    if sink != 0 {
        row.sink = sink;
    }
    match event.kind {
        Kind::End => row.ended = event.ended,
        Kind::Raw => {
            row.ended = Ended::Ok;
            row.state = State::Held;
            row.last_error = "opaque bytes, appended without a handler: nothing to send".into();
        }
        Kind::Start | Kind::Segment => row.lane = event.lane,
    }
}

/// Adds the labels to the index, and returns the number of the sink among them (0: none).
fn index_labels<'g>(
    change: &mut Change<'_, '_>,
    index: &mut Index<'g>,
    id: RecordId,
    seq: u64,
    section: &'g [u8],
) -> Result<u32> {
    let mut sink = 0;
    for (kind, value) in labels::iter(section) {
        if kind == labels::SINK {
            sink = sinks::intern(change, value)?;
        } else if kind != labels::ENDED {
            index.add(kind, value, id, seq);
        }
    }
    Ok(sink)
}
