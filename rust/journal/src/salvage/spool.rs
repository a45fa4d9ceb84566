//! Ingests the spool of a damaged journal. Events that the store had are recognised by their id.

use std::collections::HashSet;
use std::ops::Bound;
use std::path::Path;

use super::entries::SalvagedEntries;
use super::report::SalvageReport;
use crate::os::fs;
use crate::os::gate::{self, Access};
use crate::spool::reader::{Damage, Reader, Step};
use crate::spool::segment::{list, segment_path};
use crate::spool::skipped::SkippedFile;
use crate::state::State;
use crate::store::db::trees::{seq_key, tail_seq};
use crate::store::records::row::StateRow;
use crate::store::records::transition::Change;
use crate::{Error, Millis, RecordId, Result, Seq, Store, layout};

/// The number of rows read in one transaction.
const BATCH: usize = 1000;

/// Ingests the segments of `source` into the new journal. `found` has the entries of its damaged store, if there is one.
pub(super) fn ingest(
    source: &Path,
    store: &Store,
    found: Option<&SalvagedEntries>,
    report: &mut SalvageReport,
) -> Result<()> {
    copy_segments(source, store.path(), report)?;
    let last = store.last_seq()?;
    let ingested = store.ingest(true)?;
    report.frames = ingested.frames;
    let forgotten = found.map_or_else(HashSet::new, SalvagedEntries::forgotten);
    for damage in ingested.damage {
        if found.is_some_and(|found| was_given_up(source, found, &forgotten, &damage)) {
            continue;
        }
        report.add_loss(format!(
            "{} bytes of {} at byte {}: {}",
            damage.len, damage.segment, damage.offset, damage.reason
        ));
    }
    // An intact store had every ingested event, so an event that it did not have is new.
    if found.is_none_or(|found| found.damaged > 0) {
        mark_in_doubt(store, last, &never_ingested(source, found)?, report)?;
    }
    Ok(())
}

/// Whether the damage is the hole that an ingest has made on a full disk, for frames that the store had, or an interrupted erasure.
fn was_given_up(source: &Path, found: &SalvagedEntries, forgotten: &HashSet<RecordId>, damage: &Damage) -> bool {
    let spool = layout::spool(source);
    let is_of = |(writer, index): &(RecordId, u32)| segment_path(&spool, *writer, *index).ends_with(&damage.segment);
    let ingested = found.cursors.iter().find_map(|(key, offset)| is_of(key).then_some(*offset));
    let (Some(ingested), Ok(reader)) = (ingested, Reader::open(&spool.join(&damage.segment), 0, Access::ReadAny))
    else {
        return false;
    };
    let has_hole = damage.end() <= ingested && reader.has_hole(damage.offset);
    // A disk that cannot be read is a loss.
    has_hole || reader.is_half_erased(damage, ingested, |id| Ok(forgotten.contains(&id))).unwrap_or(false)
}

/// Copies the segments, including damaged ones that were set aside.
fn copy_segments(source: &Path, target: &Path, report: &mut SalvageReport) -> Result<()> {
    let (from, to) = (layout::spool(source), layout::spool(target));
    match gate::check_kind(&from) {
        Err(error) if error.is_missing() => return Ok(()),
        Err(Error::Refused { path, reason, .. }) => {
            report.add_loss(format!("{}: it {reason}", path.display()));
            return Ok(());
        }
        checked => checked?,
    }
    for entry in std::fs::read_dir(&from).map_err(Error::io("cannot list", &from))? {
        let path = entry.map_err(Error::io("cannot list", &from))?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "seg" || extension == "damaged");
        if let (true, Some(stem)) = (is_segment, path.file_stem()) {
            let mut input = match gate::open(&path, Access::ReadAny) {
                Ok(input) => input,
                Err(error) => {
                    let SkippedFile { name, reason } = SkippedFile::from_error(&path, error)?;
                    report.add_loss(format!("spool/{name}: it {reason}"));
                    continue;
                }
            };
            let copy = to.join(stem).with_extension("seg");
            let mut output = fs::create_new(&copy)?;
            std::io::copy(&mut input, &mut output).map_err(Error::io("cannot copy", &path))?;
            output.sync_all().map_err(Error::io("cannot sync", &copy))?;
        }
    }
    fs::sync_dir(&to)
}

/// The records with an event behind the offset up to which its segment was ingested. The store did not have all of them, so they were
/// not sent. A record that was ingested and is lost may have been sent.
fn never_ingested(source: &Path, found: Option<&SalvagedEntries>) -> Result<HashSet<RecordId>> {
    let spool = layout::spool(source);
    let mut records = HashSet::new();
    let (Some(found), true) = (found, gate::check_kind(&spool).is_ok()) else { return Ok(records) };
    for (writer, index) in list(&spool)? {
        let known = found.cursors.get(&(writer, index)).copied();
        let Some(offset) = known.or(found.has_every_cursor().then_some(0)) else { continue };
        // A file that cannot be opened is reported when it is copied.
        let Ok(mut reader) = Reader::open(&segment_path(&spool, writer, index), offset, Access::ReadAny) else {
            continue;
        };
        loop {
            match reader.last()? {
                Step::Frame(frame) => _ = records.insert(frame.id),
                Step::Skipped(_) => {}
                Step::End | Step::Torn(_) => break,
            }
        }
    }
    Ok(records)
}

/// Moves the records after `last` to "in doubt", to be looked up at `PromptLayer`, unless they are known as `unsent`.
fn mark_in_doubt(store: &Store, last: Seq, unsent: &HashSet<RecordId>, report: &mut SalvageReport) -> Result<()> {
    let mut from = last.next();
    loop {
        let (next, doubted) = store.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let (mut doubtful, mut next) = (Vec::new(), from);
            let first = seq_key(from);
            let range = (Bound::Included(&first[..]), Bound::Unbounded);
            for entry in trees.state.range(change.txn, &range)?.take(BATCH) {
                let (key, value) = entry?;
                next = tail_seq(key)?.next();
                let row = StateRow::decode(tail_seq(key)?, value)?;
                if row.state == State::Pending && !unsent.contains(&row.id) {
                    doubtful.push((tail_seq(key)?, row.id));
                }
            }
            for (seq, _) in &doubtful {
                change.update(*seq, |row| {
                    row.state = State::InDoubt;
                    "salvaged from the spool: it may have been sent before".clone_into(&mut row.last_error);
                })?;
            }
            change.finish()?;
            Ok((next, doubtful))
        })?;
        for (_, id) in doubted {
            report.add_loss(format!("record {}: its state", id.hex()));
        }
        if next == from {
            return Ok(());
        }
        from = next;
    }
}
