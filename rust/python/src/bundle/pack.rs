//! Packs the records of a journal into bundles: threads read, check and compress them, and the caller writes the members.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use plsync_bundle::lines::{Ended, RecordHeader};
use plsync_bundle::{Draft, Error as BundleError, Packed, Writer, ids::Hex, limits};
use plsync_journal::{
    CallEnd, Carriable, FLAG_FORGOTTEN, FLAG_PRUNED, FLAG_REDACTED, FLAG_RUN, HubNumber, RecordId, Seq, State,
    Store as Journal, StoredEvents,
};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::export::BundleWriter;
use super::labels::Labelled;
use super::scratch::Scratch;
use crate::errors::{OrRaise, bundle_to_python, to_python};
use crate::handover;
use crate::store::{Store, choice_of};

/// Most threads that pack. The disk does not keep up with more.
const THREADS: usize = 4;
/// Members that are packed ahead of each thread.
const AHEAD: usize = 2;
/// Bytes of the header line of a record, about.
const HEADER: u64 = 320;
/// The time between two looks at signals, and between two reports of progress.
const PAUSE: Duration = Duration::from_millis(100);
/// Most records whose reasons are reported.
const REASONS: usize = 1000;

/// Why packing ended early.
enum Failure {
    Journal(plsync_journal::Error),
    Bundle(BundleError),
    Python(PyErr),
}

impl From<plsync_journal::Error> for Failure {
    fn from(error: plsync_journal::Error) -> Self {
        Self::Journal(error)
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

/// Records that earlier bundles carried: their number, and the first and the last time of these bundles, in milliseconds.
#[derive(Clone, Copy, Default, IntoPyObject)]
pub(crate) struct Again(u64, u64, u64);

impl Again {
    fn add(&mut self, more: Self) {
        if more.0 > 0 {
            let first = if self.0 == 0 { more.1 } else { self.1.min(more.1) };
            *self = Self(self.0 + more.0, first, self.2.max(more.2));
        }
    }
}

/// Records that were packed together.
#[derive(Default)]
struct Unit {
    members: Vec<Packed>,
    seqs: Vec<Seq>,
    doubtful: u64,
    again: Again,
    left_out: Vec<String>,
    /// The records that were looked at.
    taken: usize,
}

/// A part that is being filled.
struct Part {
    writer: Writer,
    scratch: Scratch,
    seqs: Vec<Seq>,
    doubtful: u64,
}

/// Packs the records for a hub. `scratch` is a private directory. `hide` is called with the start and the end of each record, as JSON or
/// None, and returns both for the bundle. `on_progress` is called with the number of records that are done and the number of all.
///
/// Returns a writer for each part, the number of calls that have not ended, and why records do not fit. Then the number of the records
/// that earlier bundles carried, and the first and the last time of these bundles.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // as the stub has it
#[pyo3(signature = (store, hub, choice, scratch, split_size, *, exports = Vec::new(), hide = None, on_progress = None))]
pub(crate) fn pack_records(
    py: Python<'_>,
    store: &Store,
    hub: u32,
    choice: &str,
    scratch: PathBuf,
    split_size: u64,
    exports: Vec<u64>,
    hide: Option<Py<PyAny>>,
    on_progress: Option<Py<PyAny>>,
) -> PyResult<(Vec<BundleWriter>, u64, Vec<String>, Again)> {
    handover::require(py)?;
    let (journal, choice) = (store.journal(), choice_of(choice)?);
    let selected = py.detach(|| journal.carriable(HubNumber(hub), choice, &exports)).or_raise(py)?;
    let packing = Packing {
        journal,
        // Parts end between units.
        unit: split_size.min(limits::FULL_MEMBER as u64),
        hide: hide.as_ref(),
        source: Mutex::new(Source { selected: &selected.records, number: 0 }),
        made: Mutex::new(Made::default()),
        changed: Condvar::new(),
    };
    let mut parts = Parts { scratch: &scratch, split_size, written: Vec::new() };
    let (mut left_out, mut again) = (Vec::new(), Again::default());
    let total = selected.records.len();
    let packed = py.detach(|| {
        packing.run(&mut |unit, done| {
            let Some(unit) = unit else { return report(on_progress.as_ref(), done, total) };
            left_out.extend(unit.left_out.iter().take(REASONS.saturating_sub(left_out.len())).cloned());
            again.add(unit.again);
            parts.add(unit)
        })
    });
    match packed {
        Ok(()) => {
            let writers = parts.written.into_iter();
            let writers = writers.map(|part| BundleWriter::packed(part.writer, part.scratch, part.seqs, part.doubtful));
            Ok((writers.collect(), selected.running, left_out, again))
        }
        Err(Failure::Journal(error)) => Err(to_python(py, &error)),
        Err(Failure::Bundle(error)) => Err(bundle_to_python(py, &error)),
        Err(Failure::Python(error)) => Err(error),
    }
}

/// Raises the exception of a signal handler, as for Ctrl-C, and reports the progress.
fn report(on_progress: Option<&Py<PyAny>>, done: usize, total: usize) -> Result<(), Failure> {
    Python::attach(|py| {
        py.check_signals()?;
        on_progress.map_or(Ok(()), |report| report.call1(py, (done, total)).map(drop))
    })
    .map_err(Failure::Python)
}

struct Parts<'p> {
    scratch: &'p Path,
    split_size: u64,
    written: Vec<Part>,
}

impl Parts<'_> {
    fn add(&mut self, unit: Unit) -> Result<(), Failure> {
        if unit.members.is_empty() {
            return Ok(());
        }
        let is_full = |part: &Part| part.writer.size() >= self.split_size || part.writer.is_full();
        if self.written.last().is_none_or(is_full) {
            self.written.push(new_part(self.scratch).map_err(BundleError::from)?);
        }
        let Some(part) = self.written.last_mut() else { return Ok(()) };
        for member in &unit.members {
            part.writer.records(member)?;
        }
        part.seqs.extend(unit.seqs);
        part.doubtful += unit.doubtful;
        Ok(())
    }
}

fn new_part(directory: &Path) -> std::io::Result<Part> {
    let (scratch, file) = Scratch::create(directory)?;
    Ok(Part { writer: Writer::new(file), scratch, seqs: Vec::new(), doubtful: 0 })
}

struct Source<'s> {
    selected: &'s [Carriable],
    number: usize,
}

/// Units by number.
#[derive(Default)]
struct Made {
    units: BTreeMap<usize, Result<Unit, Failure>>,
    /// The number of the next unit to write.
    next: usize,
    /// The number of all units, once it is known.
    count: Option<usize>,
    finished: bool,
    threads: usize,
    /// Whether a thread has panicked, and its unit is missing.
    panicked: bool,
}

struct Packing<'s> {
    journal: &'s Journal,
    /// Bytes of the events and headers of a unit.
    unit: u64,
    /// Removes content from the events.
    hide: Option<&'s Py<PyAny>>,
    source: Mutex<Source<'s>>,
    made: Mutex<Made>,
    /// A unit was made or written, or the packing is finished.
    changed: Condvar,
}

impl Packing<'_> {
    /// Passes each unit on in order, and now and then no unit; with it the number of records before.
    fn run(&self, each: &mut impl FnMut(Option<Unit>, usize) -> Result<(), Failure>) -> Result<(), Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                lock(&self.made).threads += 1;
                if Builder::new().spawn_scoped(scope, || self.make_all()).is_err() {
                    lock(&self.made).threads -= 1;
                }
            }
            let _finish = Finish(self);
            self.pass_all(each)
        })
    }

    fn pass_all(&self, each: &mut impl FnMut(Option<Unit>, usize) -> Result<(), Failure>) -> Result<(), Failure> {
        let (mut done, mut reported) = (0, Instant::now());
        let mut draft = Draft::default();
        loop {
            if reported.elapsed() >= PAUSE {
                each(None, done)?;
                reported = Instant::now();
            }
            let mut made = lock(&self.made);
            let next = made.next;
            let Some(unit) = made.units.remove(&next) else {
                if made.count == Some(next) {
                    drop(made);
                    return each(None, done);
                }
                if made.threads > 0 && !made.panicked {
                    drop(self.changed.wait_timeout(made, PAUSE).unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                let panicked = made.panicked;
                drop(made);
                // Without a panic, the system allows no thread.
                if panicked || !self.make_next(&mut draft) && lock(&self.made).count != Some(next) {
                    return Err(Failure::Journal(plsync_journal::Error::Internal(
                        "a thread that packs records panicked",
                    )));
                }
                continue;
            };
            made.next += 1;
            drop(made);
            self.changed.notify_all();
            let unit = unit?;
            done += unit.taken;
            each(Some(unit), done)?;
        }
    }

    /// Makes units until there are no more.
    fn make_all(&self) {
        let _leave = Leave(self);
        let mut draft = Draft::default();
        loop {
            let mut made = lock(&self.made);
            while !made.finished && made.units.len() >= AHEAD * made.threads {
                made = self.changed.wait(made).unwrap_or_else(PoisonError::into_inner);
            }
            if made.finished {
                return;
            }
            drop(made);
            if !self.make_next(&mut draft) {
                return;
            }
        }
    }

    /// Makes a unit; false when there is none, or it cannot be made.
    fn make_next(&self, draft: &mut Draft) -> bool {
        let Some((number, selected)) = self.take() else { return false };
        let unit = selected.and_then(|selected| self.make(selected, draft));
        // After a failure the draft may hold lines, and no further unit is made.
        let is_made = unit.is_ok();
        lock(&self.made).units.insert(number, unit);
        self.changed.notify_all();
        is_made
    }

    /// The number of the next unit, and its records.
    fn take(&self) -> Option<(usize, Result<&[Carriable], Failure>)> {
        let mut source = lock(&self.source);
        if source.selected.is_empty() {
            lock(&self.made).count = Some(source.number);
            self.changed.notify_all();
            return None;
        }
        let number = source.number;
        source.number += 1;
        let seqs = source.selected.iter().map(|record| record.seq);
        let fitting = match self.journal.fitting(&seqs, self.unit, HEADER) {
            Ok(fitting) => fitting.max(1),
            Err(error) => return Some((number, Err(error.into()))),
        };
        let (taken, rest) = source.selected.split_at(fitting.min(source.selected.len()));
        source.selected = rest;
        Some((number, Ok(taken)))
    }

    fn make(&self, selected: &[Carriable], draft: &mut Draft) -> Result<Unit, Failure> {
        let mut unit = Unit { taken: selected.len(), ..Unit::default() };
        let seqs: Vec<_> = selected.iter().map(|record| record.seq).collect();
        let mut records = selected.iter();
        self.journal.stored_events(&seqs, |events| match records.next() {
            Some(record) => self.add(&events, record, draft, &mut unit),
            None => Ok(()),
        })?;
        unit.members.extend(draft.finish()?);
        Ok(unit)
    }

    fn add(
        &self,
        events: &StoredEvents,
        record: &Carriable,
        draft: &mut Draft,
        unit: &mut Unit,
    ) -> Result<(), Failure> {
        let is_waiting = matches!(events.state, State::Pending | State::InDoubt);
        if !is_waiting || events.flags & (FLAG_PRUNED | FLAG_FORGOTTEN) != 0 {
            return Ok(());
        }
        let ended = match events.ended {
            CallEnd::Ok => Ended::Ok,
            CallEnd::Error => Ended::Error,
            CallEnd::Cancelled => Ended::Cancelled,
            CallEnd::Partial => Ended::Partial,
            CallEnd::Abandoned => Ended::Abandoned,
            CallEnd::Interrupted => Ended::Interrupted,
            CallEnd::No => return Ok(()),
        };
        if let Some(damage) = &events.damage {
            unit.left_out.push(format!("{}: {damage}", uuid(events.id)));
            return Ok(());
        }
        let hidden = match self.hide.map(|hide| hidden(hide, events)).transpose()? {
            Some(Err(reason)) => {
                unit.left_out.push(format!("{}: {reason}", uuid(events.id)));
                return Ok(());
            }
            Some(Ok(hidden)) => Some(hidden),
            None => None,
        };
        let (start, end) = match &hidden {
            Some((start, end)) => (start.as_deref(), end.as_deref()),
            None => (events.start, events.end),
        };
        let (id, is_changed) = (Hex(events.id.0), (start, end) != (events.start, events.end));
        match Labelled::read(start, end).and_then(|labelled| {
            let labelled = if events.flags & FLAG_RUN == 0 { labelled } else { labelled.of_run(id) };
            let Labelled { start, end, run, parent, root, tags, model } = labelled;
            let header = RecordHeader {
                id,
                ended,
                flags: events.flags | if is_changed { FLAG_REDACTED } else { 0 },
                lane: events.lane.0,
                run,
                parent,
                root,
                tags,
                model,
                start: None,
                end: None,
                doubt: record.doubt,
                round: record.round,
            };
            draft.record(header, start, end)
        }) {
            Ok(full) => {
                unit.members.extend(full);
                unit.seqs.push(events.seq);
                unit.doubtful += u64::from(record.doubt);
                unit.again.add(record.carried_at.map_or_else(Again::default, |at| Again(1, at.0, at.0)));
            }
            Err(BundleError::Unfit(reason)) => unit.left_out.push(format!("{}: {reason}", uuid(events.id))),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Ends the threads, also when their caller panics.
struct Finish<'p, 's>(&'p Packing<'s>);

impl Drop for Finish<'_, '_> {
    fn drop(&mut self) {
        lock(&self.0.made).finished = true;
        self.0.changed.notify_all();
    }
}

/// The events of a record without some of their content.
type Hidden = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Calls a function that removes content, or returns why the function failed. Its content must not leave the machine then.
fn hidden(hide: &Py<PyAny>, events: &StoredEvents) -> Result<Result<Hidden, String>, Failure> {
    Python::attach(|py| {
        let event = |bytes: Option<&[u8]>| bytes.map(|bytes| PyBytes::new(py, bytes));
        match hide.call1(py, (event(events.start), event(events.end))).and_then(|found| found.extract::<Hidden>(py)) {
            Ok(found) => Ok(Ok(found)),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                Ok(Err(format!("the redact function raised {}", error.get_type(py).name()?)))
            }
            Err(error) => Err(error),
        }
    })
    .map_err(Failure::Python)
}

/// Counts a thread out, also when it panics.
struct Leave<'p, 's>(&'p Packing<'s>);

impl Drop for Leave<'_, '_> {
    fn drop(&mut self) {
        let mut made = lock(&self.0.made);
        made.threads = made.threads.saturating_sub(1);
        made.panicked |= std::thread::panicking();
        drop(made);
        self.0.changed.notify_all();
    }
}

/// The id as users see it.
fn uuid(id: RecordId) -> String {
    let hex = id.hex();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
