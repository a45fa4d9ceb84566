//! One group commit: frames and their cursors, in one transaction.
//!
//! The entries of new records are collected and written tree by tree, in the order of their keys. LMDB then fills one page after the
//! other, mostly at the tree's end, without a search.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::chunk::{Chunk, Event, Progress};
use super::index::Index;
use super::report::IngestReport;
use crate::facts::{EndFacts, StartFacts};
use crate::ids::SinkId;
use crate::state::{CallEnd, FLAG_INFERRED, FLAG_RUN, FrameKind, STORE_FLAGS, State};
use crate::store::Store;
use crate::store::callbacks::{CallbackEntry, EntryKey, sinks};
use crate::store::db::trees::{
    PART_START, cursor_key, number_key, put_last, record_key, sealed_seq, tail_seq, with_seal,
};
use crate::store::digests::{Digest, NameKind};
use crate::store::outbox::tree_wait::{TREE_WAIT, is_root_open};
use crate::store::records::body;
use crate::store::records::row::StateRow;
use crate::store::records::transition::{Change, load};
use crate::{FLAG_CACHED, Millis, RecordId, Result, Seq, labels};

/// The state's reason of a record of opaque bytes.
pub(crate) const OPAQUE: &str = "opaque bytes, appended without a handler: nothing to send";

/// How many reports of damage are stored.
const MAX_DAMAGE: u64 = 1000;

/// The work of one transaction. A transaction that runs again starts with a new one.
struct Commit<'g, 'c, 't, 'e> {
    change: &'c mut Change<'t, 'e>,
    /// The index of each record that started in this group. Most end in it too, and are then written once.
    fresh: HashMap<RecordId, usize>,
    /// These records in the order of their starts, which is the order of their numbers.
    records: Vec<NewRecord<'g>>,
    /// The numbers and rows of these records, in the same order.
    rows: Vec<(Seq, StateRow)>,
    /// The digests of these records, in the same order.
    digests: Vec<Digest>,
    /// The bodies of these records, by number and part.
    bodies: Vec<(Seq, u8, Cow<'g, [u8]>)>,
    index: Index<'g>,
    /// Of each record of `records` in a tree, its root. The record's number is its place in `records`.
    roots: HashMap<usize, RecordId>,
    /// The roots that ended in this group.
    ended_roots: HashSet<RecordId>,
    /// The highest id in the store.
    highest: RecordId,
    tally: Tally,
}

struct NewRecord<'g> {
    /// The labels of its first event, which are indexed.
    labels: &'g [u8],
    /// Whether its start and its end are stored.
    has: [bool; 2],
}

#[derive(Clone, Copy, Default)]
struct Tally {
    frames: u64,
    records: u64,
    duplicates: u64,
    forgotten: u64,
}

impl Store {
    pub(super) fn apply(&self, chunks: &[Chunk], report: &mut IngestReport) -> Result<()> {
        let tally = self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
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
        report.forgotten += tally.forgotten;
        let progress = chunks.iter().flat_map(|chunk| &chunk.progress);
        report.damage.extend(progress.flat_map(|step| step.damage.iter().cloned()));
        Ok(())
    }
}

impl<'g, 'c, 't, 'e> Commit<'g, 'c, 't, 'e> {
    /// For a number of events, of which most are the starts and ends of calls.
    fn new(change: &'c mut Change<'t, 'e>, events: usize) -> Result<Self> {
        let highest = change.trees.ids.last(change.txn)?.and_then(|(key, _)| key.try_into().ok());
        let highest = RecordId(highest.unwrap_or_default());
        Ok(Self {
            change,
            fresh: HashMap::with_capacity(events / 2),
            records: Vec::with_capacity(events / 2),
            rows: Vec::with_capacity(events / 2),
            digests: Vec::with_capacity(events / 2),
            bodies: Vec::with_capacity(events),
            index: Index::default(),
            roots: HashMap::new(),
            ended_roots: HashSet::new(),
            highest,
            tally: Tally::default(),
        })
    }

    fn store(&mut self, event: &Event, section: &'g [u8], stored: &'g [u8]) -> Result<()> {
        let part = event.part();
        let root = labels::root(section);
        let (section, facts) = labels::split_facts(section);
        let stored = match &event.base {
            Some(base) if !self.has_start(base.root)? => Cow::Owned(base.detached(stored)?),
            _ => Cow::Borrowed(stored),
        };
        if event.is_terminal() && root == Some(event.id) {
            self.ended_roots.insert(event.id);
        }
        if let Some(at) = self.fresh.get(&event.id) {
            let (fresh, (seq, row)) = (&mut self.records[*at], &mut self.rows[*at]);
            // A call that a forked child ended may have its end first.
            if std::mem::replace(&mut fresh.has[usize::from(part)], true) {
                if !replaces(row, event) {
                    self.tally.duplicates += 1;
                    return Ok(());
                }
                merge_into(row, event, SinkId::NONE);
                add_facts(self.change, &mut self.digests[*at], event, facts)?;
                let seq = *seq;
                if let Some(at) = self.bodies.iter().rposition(|(body, of, _)| (*body, *of) == (seq, part)) {
                    let (.., replaced) = self.bodies.swap_remove(at);
                    self.uncount(sizes(&replaced));
                }
                self.count(event, &stored);
                self.bodies.push((seq, part, stored));
                return Ok(());
            }
            // The labels of an end are a prefix of the labels of its start.
            let is_indexed = fresh.labels.starts_with(section);
            let index = &mut self.index;
            let sink =
                if is_indexed { SinkId::NONE } else { index_labels(self.change, index, event.id, *seq, section)? };
            merge_into(row, event, sink);
            add_facts(self.change, &mut self.digests[*at], event, facts)?;
            let seq = *seq;
            self.count(event, &stored);
            self.bodies.push((seq, part, stored));
            return Ok(());
        }
        match self.number(event.id)? {
            (seq, true) => self.add_to(seq, event, (section, facts), &stored, root),
            (seq, false) => {
                if let Some(root) = root {
                    self.roots.insert(self.records.len(), root);
                }
                self.begin(seq, event, (section, facts), stored)
            }
        }
    }

    /// Whether the start of a root is stored, for the bodies that repeat it. The quota or `forget` may have removed it meanwhile.
    fn has_start(&self, root: RecordId) -> Result<bool> {
        if let Some(at) = self.fresh.get(&root) {
            return Ok(self.records[*at].has[usize::from(PART_START)]);
        }
        let Some(known) = self.change.trees.ids.get(self.change.txn, &root.0)? else { return Ok(false) };
        let key = record_key(tail_seq(known)?, PART_START);
        Ok(self.change.trees.records.get(self.change.txn, &key)?.is_some())
    }

    /// The number of a record, and whether it had one before. A new record gets the next number.
    fn number(&mut self, id: RecordId) -> Result<(Seq, bool)> {
        let (ids, next) = (self.change.trees.ids, self.change.counts.last_seq.next());
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

    /// Adds the first event of a record.
    fn begin(
        &mut self,
        seq: Seq,
        event: &Event,
        (section, facts): (&'g [u8], Option<&[u8]>),
        stored: Cow<'g, [u8]>,
    ) -> Result<()> {
        let sink = index_labels(self.change, &mut self.index, event.id, seq, section)?;
        let mut row = StateRow::new(event.id, event.writer, self.change.now);
        merge_into(&mut row, event, sink);
        let mut digest = Digest::new(event.id.made_at());
        add_facts(self.change, &mut digest, event, facts)?;
        self.digests.push(digest);
        let mut has = [false; 2];
        has[usize::from(event.part())] = true;
        self.fresh.insert(event.id, self.records.len());
        self.records.push(NewRecord { labels: section, has });
        self.rows.push((seq, row));
        self.change.counts.opaque += u64::from(event.kind == FrameKind::Raw);
        self.tally.records += 1;
        self.count(event, &stored);
        self.bodies.push((seq, event.part(), stored));
        Ok(())
    }

    /// Adds a further event of a record that was stored before.
    fn add_to(
        &mut self,
        seq: Seq,
        event: &Event,
        (section, facts): (&'g [u8], Option<&[u8]>),
        stored: &[u8],
        root: Option<RecordId>,
    ) -> Result<()> {
        let row = load(self.change.txn, self.change.trees, seq)?;
        if row.is_forgotten() {
            self.tally.forgotten += 1;
            return Ok(());
        }
        // An end after the record was swept replaces "abandoned", unless the record was sent already.
        let open = row.ended == CallEnd::No || (row.ended == CallEnd::Abandoned && row.state == State::Pending);
        let key = record_key(seq, event.part());
        let known = self.change.trees.records.get(self.change.txn, &key)?.map(sizes);
        let is_new = known.is_none() && (open || !event.is_terminal());
        if !(is_new || row.state == State::Pending && replaces(&row, event)) {
            self.tally.duplicates += 1;
            return Ok(());
        }
        if let Some(replaced) = known {
            self.uncount(replaced);
        }
        self.change.trees.records.put(self.change.txn, &key, stored)?;
        self.count(event, stored);
        let sink = index_labels(self.change, &mut self.index, event.id, seq, section)?;
        let had_sink = row.sink != SinkId::NONE;
        let grows = match root {
            Some(root) if event.is_terminal() => self.grows(event.id, root)?,
            _ => false,
        };
        let until = self.change.now + TREE_WAIT;
        let row = self.change.update(seq, |row| {
            let was_open = row.ended == CallEnd::No;
            merge_into(row, event, sink);
            if grows && was_open && row.state == State::Pending {
                row.grow_until(until);
            }
        })?;
        self.change.add_facts(seq, event, facts, &row)?;
        if row.state == State::Acked && row.sink != SinkId::NONE && !had_sink {
            // The request id arrived before the sink was known.
            let key = EntryKey::owned(row.sink, seq, row.writer);
            key.put(self.change.txn, self.change.trees, &CallbackEntry::default())?;
        }
        Ok(())
    }

    /// Whether the root of a record that has ended may still end.
    fn grows(&self, id: RecordId, root: RecordId) -> Result<bool> {
        if id == root || self.ended_roots.contains(&root) {
            return Ok(false);
        }
        match self.fresh.get(&root) {
            Some(at) => Ok(self.rows[*at].1.ended == CallEnd::No),
            None => is_root_open(self.change.txn, self.change.trees, root),
        }
    }

    /// Makes the new records wait whose root is open, now that the ends of all roots in the group are known.
    fn settle_growing(&mut self) -> Result<()> {
        let until = self.change.now + TREE_WAIT;
        for (at, root) in std::mem::take(&mut self.roots) {
            let row = &self.rows[at].1;
            if row.state == State::Pending && row.ended != CallEnd::No && self.grows(row.id, root)? {
                self.rows[at].1.grow_until(until);
            }
        }
        for root in std::mem::take(&mut self.ended_roots) {
            // A root of this group may have members that an earlier group stored. The members of this group do not wait.
            self.change.release_members(root)?;
        }
        Ok(())
    }

    fn count(&mut self, event: &Event, stored: &[u8]) {
        self.change.counts.raw_bytes += event.body_len as u64;
        self.change.counts.stored_bytes += stored.len() as u64;
        self.tally.frames += 1;
    }

    /// Takes a stored body out of the counts: another replaces it.
    fn uncount(&mut self, (raw, stored): (u64, u64)) {
        let counts = &mut self.change.counts;
        counts.raw_bytes = counts.raw_bytes.saturating_sub(raw);
        counts.stored_bytes = counts.stored_bytes.saturating_sub(stored);
    }

    fn finish(mut self) -> Result<Tally> {
        self.settle_growing()?;
        self.bodies.sort_unstable_by_key(|(seq, part, _)| (*seq, *part));
        for (seq, part, stored) in self.bodies {
            put_last(self.change.trees.records, self.change.txn, &record_key(seq, part), &stored)?;
        }
        self.change.insert_newest(&self.rows)?;
        for ((seq, row), digest) in self.rows.iter().zip(&mut self.digests) {
            follow(digest, row);
            self.change.digests.put(self.change.txn, self.change.trees, *seq, digest)?;
        }
        self.index.write(self.change)?;
        Ok(self.tally)
    }
}

fn save_progress(change: &mut Change<'_, '_>, step: &Progress) -> Result<()> {
    let mut value = step.offset.to_le_bytes().to_vec();
    value.push(u8::from(step.damaged));
    let key = cursor_key(step.writer, step.segment);
    change.trees.cursors.put(change.txn, &key, &with_seal(&key, value))?;
    for damage in &step.damage {
        change.counts.damaged += 1;
        if change.counts.damaged <= MAX_DAMAGE {
            let text = format!("{} at byte {}, {} bytes: {}", damage.segment, damage.offset, damage.len, damage.reason);
            change.trees.damage.put(change.txn, &number_key(change.counts.damaged), text.as_bytes())?;
        }
    }
    Ok(())
}

/// The bytes of a stored body, before and after compression.
fn sizes(stored: &[u8]) -> (u64, u64) {
    (body::raw_len(stored), stored.len() as u64)
}

/// Whether an event is the reported end of a call whose end was inferred.
fn replaces(row: &StateRow, event: &Event) -> bool {
    event.is_terminal() && row.flags & FLAG_INFERRED != 0 && event.flags & FLAG_INFERRED == 0
}

fn merge_into(row: &mut StateRow, event: &Event, sink: SinkId) {
    if replaces(row, event) {
        row.flags &= !FLAG_INFERRED;
    }
    row.flags |= event.flags & !STORE_FLAGS | if event.kind.is_run() { FLAG_RUN } else { 0 };
    if sink != SinkId::NONE {
        row.sink = sink;
    }
    match event.kind {
        FrameKind::End | FrameKind::RunEnd => row.ended = event.ended,
        FrameKind::Raw => {
            row.ended = CallEnd::Ok;
            if row.state == State::Pending {
                row.state = State::Held;
                row.last_error = OPAQUE.into();
            }
        }
        FrameKind::Start | FrameKind::RunStart | FrameKind::Segment => {
            row.lane = event.lane;
            // Only an event from elsewhere than the spool: its process is gone, and no end follows.
            if event.ended == CallEnd::Abandoned && row.ended == CallEnd::No {
                row.ended = CallEnd::Abandoned;
            }
        }
    }
}

impl Change<'_, '_> {
    /// Adds the facts of a further event to the digest of its record.
    fn add_facts(&mut self, seq: Seq, event: &Event, facts: Option<&[u8]>, row: &StateRow) -> Result<()> {
        if seq <= self.digests.progress.from {
            return Ok(());
        }
        let known = self.digests.get(self.txn, self.trees, seq)?;
        let mut digest = known.unwrap_or_else(|| Digest::new(event.id.made_at()));
        add_facts(self, &mut digest, event, facts)?;
        follow(&mut digest, row);
        self.digests.put(self.txn, self.trees, seq, &digest)
    }
}

fn add_facts(change: &mut Change<'_, '_>, digest: &mut Digest, event: &Event, facts: Option<&[u8]>) -> Result<()> {
    if event.is_terminal() {
        digest.end(event.ended, facts.and_then(EndFacts::read));
        return Ok(());
    }
    let facts = facts.and_then(StartFacts::read);
    let (model, provider) = facts.as_ref().map_or((None, None), |facts| (facts.model, facts.provider));
    let mut number = |kind, name: Option<&[u8]>| -> Result<_> {
        name.map(|name| change.digests.name(change.txn, change.trees, kind, name))
            .transpose()
            .map(Option::unwrap_or_default)
    };
    let (model, provider) = (number(NameKind::Model, model)?, number(NameKind::Provider, provider)?);
    digest.start(facts.as_ref(), model, provider);
    Ok(())
}

/// Copies the facts of a row into the digest of its record.
fn follow(digest: &mut Digest, row: &StateRow) {
    digest.ended = row.ended;
    digest.is_run = row.is_run();
    digest.is_cached = row.flags & FLAG_CACHED != 0;
}

/// Adds the labels to the index, and returns the sink among them.
fn index_labels<'g>(
    change: &mut Change<'_, '_>,
    index: &mut Index<'g>,
    id: RecordId,
    seq: Seq,
    section: &'g [u8],
) -> Result<SinkId> {
    let mut sink = SinkId::NONE;
    for (kind, value) in labels::iter(section) {
        if kind == labels::SINK {
            sink = sinks::intern(change, value)?;
        } else if kind != labels::ENDED && kind != labels::FACTS {
            index.add(kind, value, id, seq);
        }
    }
    Ok(sink)
}
