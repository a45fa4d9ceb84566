//! Forgetting: removes the content of records from every file of the journal.
//!
//! A forgotten record leaves its id, its state and its request id. So an event that returns from an old segment is recognised and not
//! stored, and nothing is sent or delivered twice.
//!
//! The steps: transactions remove the content from the trees. Then the frames in the spool are overwritten. Then a compaction replaces
//! the store, because pages that a transaction frees keep their bytes. A mark in the store shows that the last two steps are due. A
//! process that dies leaves the mark, and the next `forget` or `compact` finishes.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use heed::{RoTxn, RwTxn};

use crate::spool::eraser::Eraser;
use crate::spool::segment::list;
use crate::spool::segment::segment_path;
use crate::spool::skipped::SkippedFile;
use crate::spool::writer_file::observe;
use crate::state::{Custody, FLAG_FORGOTTEN, FLAG_PRUNED, State};
use crate::store::Store;
use crate::store::bundles::returns;
use crate::store::callbacks::EntryKey;
use crate::store::db::copy::has_leftovers;
use crate::store::db::trees::{PART_END, PART_START, Trees, record_key, seq_key, tail_seq, with_seal, without_seal};
use crate::store::db::{Pace, patiently};
use crate::store::followups::queue::Queue;
use crate::store::followups::remove_all;
use crate::store::ingest::IngestReport;
use crate::store::ingest::apply::OPAQUE;
use crate::store::ingest::cursors;
use crate::store::outbox::{ack_order, request_index};
use crate::store::records::row::Ack;
use crate::store::records::transition::{Change, load};
use crate::store::records::{base, body};
use crate::{CallEnd, Error, Millis, RecordId, RequestId, Result, Seq, labels, layout};

/// The mark of a removal that has not finished.
const KEY: &[u8] = b"forgetting";
/// The number of records changed in one transaction.
const BATCH: usize = 1000;

/// A record that was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenRecord {
    /// The record.
    pub id: RecordId,
    /// Its request id, if `PromptLayer` has it.
    pub request_id: Option<RequestId>,
    /// Its state before.
    pub state: State,
    /// Where it was, if bundles carried it to a hub.
    pub custody: Option<Custody>,
    /// Whether it was forgotten before, so that nothing was left to remove.
    pub was_forgotten: bool,
    /// Whether its call was still running. Its end is not stored when it comes.
    pub is_running: bool,
    /// Events removed from the store.
    pub events: u64,
    /// Tags, models and run ids removed from the index.
    pub labels: u64,
    /// Follow-ups removed, refused ones included.
    pub followups: u64,
    /// Callbacks removed.
    pub callbacks: u64,
}

/// A file with bytes that belong to no known record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableFile {
    /// Its name in the journal.
    pub name: String,
    /// How many bytes.
    pub bytes: u64,
}

/// The result of forgetting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetReport {
    /// The records, in the order of the request.
    pub records: Vec<ForgottenRecord>,
    /// Follow-ups of request ids that no record has.
    pub followups: u64,
    /// Frames of the spool that were overwritten.
    pub frames: u64,
    /// Bytes of the store's file before.
    pub before: u64,
    /// Bytes of the store's file after.
    pub after: u64,
    /// Files of the spool that could not be searched.
    pub skipped: Vec<SkippedFile>,
    /// Damaged parts of the spool, which no search can attribute.
    pub unreadable: Vec<UnreadableFile>,
    /// Whether an old file of the store could not be removed, because another process has it open.
    pub has_leftovers: bool,
    /// The disk had no room for the copy of the store, so its pages may have old bytes.
    pub lacks_room: bool,
}

/// The result of erasing frames.
#[derive(Default)]
pub(crate) struct ErasedFrames {
    frames: u64,
    skipped: Vec<SkippedFile>,
    unreadable: Vec<UnreadableFile>,
}

impl Store {
    /// Removes the content of records from every file of the journal, and finishes a removal that was interrupted. Ids that no record has
    /// are left out of the report. `requests` are request ids whose follow-ups are removed though no record has them.
    pub fn forget(&self, ids: &[RecordId], requests: &[RequestId]) -> Result<ForgetReport> {
        let _lock = self.hold_ingest()?;
        let spool = layout::spool(self.path());
        if layout::has_spool(self.path())? {
            // Afterwards the spool has only the segments of running programs.
            match self.ingest_held(&spool, &mut IngestReport::default()) {
                // A user forgets records to free a full disk, too. Their events in the spool are overwritten there.
                Err(error) if error.is_full_disk() => {}
                ingested => ingested?,
            }
        }
        let mut report = self.remove_content(ids, requests)?;
        let is_due = self.db().read(is_unfinished)?;
        // Damaged parts are reported even if nothing is due.
        let erased = self.erase_frames()?;
        (report.frames, report.skipped, report.unreadable) = (erased.frames, erased.skipped, erased.unreadable);
        report.before = self.db().sizes()?.0;
        report.after = report.before;
        if is_due {
            self.make_room_for_copy()?;
            match self.compact_held() {
                Ok(compacted) => {
                    report.after = compacted.after;
                    report.has_leftovers = !self.finish_forgetting()?;
                }
                Err(error) if error.is_full_disk() => {
                    report.after = self.db().sizes()?.0;
                    report.lacks_room = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    /// Removes the mark of an unfinished removal, if no file of an earlier store is left. Returns whether none is. The caller has just
    /// compacted the store.
    pub(crate) fn finish_forgetting(&self) -> Result<bool> {
        if has_leftovers(self.path())? {
            return Ok(false);
        }
        if self.db().read(is_unfinished)? {
            self.db().in_room(|| self.db().write(|txn, trees| Ok(trees.meta.delete(txn, KEY)?)))?;
        }
        Ok(true)
    }

    fn remove_content(&self, ids: &[RecordId], requests: &[RequestId]) -> Result<ForgetReport> {
        let mut report = ForgetReport::default();
        let found = self.db().read(|txn, trees| {
            let mut found = Vec::new();
            let mut seen = HashSet::new();
            for id in ids {
                if let Some(seq) = trees.ids.get(txn, &id.0)?.map(tail_seq).transpose()?
                    && seen.insert(seq)
                {
                    found.push((seq, load(txn, trees, seq)?.is_forgotten()));
                }
            }
            Ok(found)
        })?;
        let fresh: HashSet<Seq> = found.iter().filter(|(_, forgotten)| !forgotten).map(|(seq, _)| *seq).collect();
        let labels = if fresh.is_empty() { HashMap::new() } else { self.labels_of(&fresh)? };
        // A root comes after the other records of its tree, whose bodies may repeat its start.
        let mut pace = Pace::new(BATCH);
        let mut left = &found[..];
        while !left.is_empty() {
            let (rest, batch) = left.split_at(left.len().saturating_sub(pace.records()));
            let forget = || self.forget_batch(batch, &labels);
            match if batch.len() > 1 { forget() } else { patiently(|| self.db().in_room(forget)) } {
                Ok(done) => {
                    report.records.extend(done);
                    left = rest;
                    pace.committed();
                }
                Err(error) => pace.failed(error)?,
            }
        }
        report.records.reverse();
        if !requests.is_empty() {
            report.followups = self.db().in_room(|| {
                self.db().write(|txn, trees| {
                    let mut removed = 0;
                    for request in requests {
                        removed += remove_all(txn, trees, Queue::Request(*request))?;
                    }
                    if removed > 0 {
                        mark(txn, trees)?;
                    }
                    Ok(removed)
                })
            })?;
        }
        Ok(report)
    }

    /// Forgets records in one transaction, the last one first.
    fn forget_batch(&self, batch: &[(Seq, bool)], labels: &HashMap<Seq, Vec<Vec<u8>>>) -> Result<Vec<ForgottenRecord>> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let mut done = Vec::with_capacity(batch.len());
            for (seq, _) in batch.iter().rev() {
                done.push(forget_one(&mut change, *seq, labels.get(seq).map_or(&[][..], Vec::as_slice))?);
            }
            if done.iter().any(|record| !record.was_forgotten) {
                mark(change.txn, trees)?;
                change.finish()?;
            }
            Ok(done)
        })
    }

    /// The labels of records, by their number. No index leads from a record to its labels, so all are read.
    fn labels_of(&self, seqs: &HashSet<Seq>) -> Result<HashMap<Seq, Vec<Vec<u8>>>> {
        self.db().read(|txn, trees| {
            let mut found: HashMap<Seq, Vec<Vec<u8>>> = HashMap::new();
            for entry in trees.labels.iter(txn)? {
                let (key, value) = entry?;
                let seq = tail_seq(value)?;
                if seqs.contains(&seq) && key.first() != Some(&labels::ENDED) {
                    found.entry(seq).or_default().push(key.to_vec());
                }
                self.db().trimmer.release_if_due(txn, trees);
            }
            Ok(found)
        })
    }

    /// Overwrites every frame of a forgotten record, ingested or not. The caller holds the ingest lock.
    pub(crate) fn erase_frames(&self) -> Result<ErasedFrames> {
        let mut report = ErasedFrames::default();
        let spool = layout::spool(self.path());
        if self.db().read(|txn, trees| Ok(trees.meta.get(txn, KEY)?.is_none() && !has_forgotten(txn, trees)?))?
            || !layout::has_spool(self.path())?
        {
            return Ok(report);
        }
        for (writer, index) in list(&spool)? {
            let is_dead = !observe(&spool, writer)?.info.alive;
            let ingested = self.db().read(|txn, trees| cursors::offset(txn, trees, writer, index))?;
            self.erase_in(&segment_path(&spool, writer, index), ingested, is_dead, &mut report)?;
        }
        for entry in std::fs::read_dir(&spool).map_err(Error::io("cannot list", &spool))? {
            let path = entry.map_err(Error::io("cannot list", &spool))?.path();
            if path.extension().is_some_and(|extension| extension == "damaged") {
                self.erase_in(&path, u64::MAX, true, &mut report)?;
            }
        }
        Ok(report)
    }

    fn erase_in(&self, path: &Path, ingested: u64, is_dead: bool, report: &mut ErasedFrames) -> Result<()> {
        let eraser = match Eraser::open(path, ingested, is_dead) {
            Ok(eraser) => eraser,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => {
                report.skipped.push(SkippedFile::from_error(path, error)?);
                return Ok(());
            }
        };
        let chosen = self.db().read(|txn, trees| {
            let mut chosen = HashSet::new();
            for id in eraser.records() {
                let seq = trees.ids.get(txn, &id.0)?.map(tail_seq).transpose()?;
                if let Some(seq) = seq
                    && load(txn, trees, seq)?.is_forgotten()
                {
                    chosen.insert(id);
                }
            }
            Ok(chosen)
        })?;
        if !chosen.is_empty() {
            report.frames += eraser.erase(|id| chosen.contains(&id))?;
        }
        if eraser.unreadable > 0 {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            report.unreadable.push(UnreadableFile { name: format!("spool/{name}"), bytes: eraser.unreadable });
        }
        Ok(())
    }
}

/// Whether a removal has not finished.
pub(crate) fn is_unfinished(txn: &RoTxn, trees: &Trees) -> Result<bool> {
    Ok(trees.meta.get(txn, KEY)?.is_some())
}

fn has_forgotten(txn: &RoTxn, trees: &Trees) -> Result<bool> {
    Ok(crate::store::records::counts::Counts::load(txn, trees)?.forgotten > 0)
}

fn mark(txn: &mut RwTxn, trees: &Trees) -> Result<()> {
    Ok(trees.meta.put(txn, KEY, &with_seal(KEY, Vec::new()))?)
}

/// Removes the content of one record from the trees.
fn forget_one(change: &mut Change, seq: Seq, labels: &[Vec<u8>]) -> Result<ForgottenRecord> {
    let (txn, trees) = (&mut *change.txn, change.trees);
    let before = load(txn, trees, seq)?;
    let ack = trees.acks.get(txn, &seq_key(seq))?.and_then(|stored| without_seal(&seq_key(seq), stored));
    let request_id = ack.and_then(Ack::read).filter(|ack| ack.is_of_call()).map(|ack| ack.request_id);
    let mut record = ForgottenRecord {
        id: before.id,
        request_id,
        state: before.state,
        custody: before.custody(),
        was_forgotten: before.is_forgotten(),
        is_running: before.ended == CallEnd::No,
        events: 0,
        labels: 0,
        followups: 0,
        callbacks: 0,
    };
    // Also of a record that was forgotten before: a program may have queued them since.
    record.followups += remove_all(txn, trees, Queue::Record(seq))?;
    if let Some(request) = request_id
        && request_index::records(txn, trees, request)?.first() == Some(&seq)
    {
        // They were queued before the request id was known to be of this record.
        record.followups += remove_all(txn, trees, Queue::Request(request))?;
    }
    if record.was_forgotten {
        if record.followups > 0 {
            mark(txn, trees)?;
        }
        return Ok(record);
    }
    if before.is_run() {
        base::detach_members(change, before.id, seq)?;
    }
    let (txn, trees) = (&mut *change.txn, change.trees);
    let subscribed = ack_order::subscribers(txn, trees)?.into_iter().map(|sink| EntryKey::unowned(sink, seq));
    let owned = EntryKey::owned(before.sink, seq, before.writer);
    for key in subscribed.chain(std::iter::once(owned)) {
        record.callbacks += u64::from(key.remove(txn, trees)?);
    }
    for key in labels {
        record.labels += u64::from(trees.labels.delete(txn, key)?);
    }
    // An opaque record is held, and a forgotten one is dead. The quota may have removed its body.
    let mut is_opaque = before.last_error == OPAQUE;
    for part in [PART_START, PART_END] {
        let key = record_key(seq, part);
        let Some(stored) = trees.records.get(change.txn, &key)? else { continue };
        let (raw, bytes) = (body::raw_len(stored), stored.len() as u64);
        is_opaque |= body::is_raw(stored);
        trees.records.delete(change.txn, &key)?;
        change.counts.raw_bytes = change.counts.raw_bytes.saturating_sub(raw);
        change.counts.stored_bytes = change.counts.stored_bytes.saturating_sub(bytes);
        record.events += 1;
    }
    change.counts.opaque = change.counts.opaque.saturating_sub(u64::from(is_opaque));
    returns::forget(change.txn, change.trees, seq)?;
    change.update(seq, |row| row.flags |= FLAG_FORGOTTEN | FLAG_PRUNED)?;
    Ok(record)
}
