//! Adds the records of a bundle to a journal at the hub.
//!
//! Members of a bundle that was checked before are not checked again: they have the same SHA-256.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plsync_bundle::lines::{Ended, Record};
use plsync_bundle::manifest::MemberKind;
use plsync_bundle::{Bundle, Error as BundleError, Identity, Verified};
use plsync_journal::{
    CallEnd, Error as JournalError, Event, FLAG_CACHED, FLAG_INFERRED, FLAG_LOSSY, FLAG_REDACTED, FLAG_RUN, FrameKind,
    Head, Incoming, Known, Lane, RecordId, Store as Journal, labels,
};
use pyo3::prelude::*;

use crate::errors::{OrRaise, bundle_to_python, to_python};

/// The flags of events. The rest of a record's flags describes the store that it was in.
const EVENT_FLAGS: u8 = FLAG_CACHED | FLAG_LOSSY | FLAG_REDACTED | FLAG_INFERRED;
/// The time between two looks at signals, and between two reports of progress.
const PAUSE: Duration = Duration::from_millis(100);

/// Why no further record is added.
enum Failure {
    Journal(JournalError),
    Bundle(BundleError),
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

/// Adds the records to the journal in `path`. Returns the number of records, and how many of them were new. After an error the records
/// that were added stay, and the next import leaves them alone.
pub(super) fn import(
    py: Python<'_>,
    path: &Path,
    verified: &mut Verified<File>,
    identity: Option<&Identity>,
    on_progress: Option<&Py<PyAny>>,
) -> PyResult<(u64, u64)> {
    let store = py.detach(|| Journal::open(path, true)).or_raise(py)?;
    // An import of an earlier version may have left records in the spool.
    py.detach(|| store.ingest(true)).or_raise(py)?;
    let mut bundle = verified.open(identity).map_err(|error| bundle_to_python(py, &error))?;
    let members =
        bundle.manifest.members.iter().filter(|member| MemberKind::of(&member.name) == Some(MemberKind::Records));
    let total: u64 = members.map(|member| member.items).sum();
    // Both functions end the work by an error of the journal or by no more records, and the error itself is kept here.
    let (mut unread, mut raised, mut refused) = (None, None, Vec::new());
    let (seen, mut reported) = (AtomicU64::new(0), Instant::now());
    let taken = py.detach(|| {
        store.take_events(
            |incoming| match add_member(&store, &mut bundle, incoming, &mut refused, &seen) {
                Ok(is_more) => Ok(is_more),
                Err(Failure::Journal(error)) => Err(error),
                Err(Failure::Bundle(error)) => {
                    unread = Some(error);
                    Ok(false)
                }
            },
            || {
                if reported.elapsed() < PAUSE {
                    return Ok(());
                }
                reported = Instant::now();
                report(on_progress, seen.load(Ordering::Relaxed), total).map_err(|error| {
                    raised = Some(error);
                    JournalError::Internal("the import was interrupted")
                })
            },
        )
    });
    match (unread, raised) {
        (Some(error), _) => Err(bundle_to_python(py, &error)),
        (None, Some(error)) => Err(error),
        (None, None) => {
            let taken = taken.map_err(|error| to_python(py, &error))?;
            py.detach(|| store.report_again(&refused)).or_raise(py)?;
            report(on_progress, total, total)?;
            Ok((total, taken.records))
        }
    }
}

/// Raises the exception of a signal handler, as for Ctrl-C, and reports the progress.
fn report(on_progress: Option<&Py<PyAny>>, done: u64, total: u64) -> PyResult<()> {
    Python::attach(|py| {
        py.check_signals()?;
        on_progress.map_or(Ok(()), |report| report.call1(py, (done, total)).map(drop))
    })
}

/// Adds the records of the next member that the journal lacks, counts all of them, and lists the known dead and held ones. Returns
/// false after the last member.
fn add_member(
    store: &Journal,
    bundle: &mut Bundle<&mut File>,
    incoming: &mut Incoming,
    refused: &mut Vec<RecordId>,
    seen: &AtomicU64,
) -> Result<bool, Failure> {
    let Some(member) = bundle.next_of(MemberKind::Records)? else { return Ok(false) };
    let records = member.checked_records()?;
    let ids: Vec<_> = records.iter().map(|record| RecordId(record.header.id.0)).collect();
    for (record, (known, is_refused)) in records.iter().zip(store.known(&ids)?) {
        if known != Known::Yes {
            add(incoming, record, known)?;
        }
        if is_refused {
            refused.push(RecordId(record.header.id.0));
        }
    }
    seen.fetch_add(member.items, Ordering::Relaxed);
    Ok(true)
}

/// Adds the events of a record that the journal lacks.
fn add(incoming: &mut Incoming, record: &Record, known: Known) -> plsync_journal::Result<()> {
    let header = &record.header;
    let is_run = header.flags & FLAG_RUN != 0;
    let mut section = Vec::new();
    // The ingester reads the root from the first label.
    for (kind, value) in [(labels::ROOT, header.root), (labels::RUN, header.run), (labels::PARENT, header.parent)] {
        if let Some(value) = value {
            labels::push(&mut section, kind, &value.0);
        }
    }
    if let Some(model) = &header.model {
        labels::push(&mut section, labels::MODEL, model.as_bytes());
    }
    for tag in &header.tags {
        labels::push(&mut section, labels::TAG, tag.as_bytes());
    }
    let (id, flags) = (RecordId(header.id.0), header.flags & EVENT_FLAGS);
    let ended = match header.ended {
        Ended::Ok => CallEnd::Ok,
        Ended::Error => CallEnd::Error,
        Ended::Cancelled => CallEnd::Cancelled,
        Ended::Partial => CallEnd::Partial,
        Ended::Interrupted => CallEnd::Interrupted,
        Ended::Abandoned => CallEnd::Abandoned,
    };
    let is_abandoned = ended == CallEnd::Abandoned;
    let start = record.start.filter(|_| known == Known::No).map(|body| {
        let kind = if is_run { FrameKind::RunStart } else { FrameKind::Start };
        let head = Head { flags: flags & !FLAG_INFERRED, lane: Lane(header.lane), ..Head::new(kind, id) };
        // No end follows.
        let head = if is_abandoned { Head { ended, ..head } } else { head };
        Event { head, labels: &section, body }
    });
    let end = record.end.filter(|_| !is_abandoned).map(|body| {
        let kind = if is_run { FrameKind::RunEnd } else { FrameKind::End };
        let head = Head { flags, ended, ..Head::new(kind, id) };
        Event { head, labels: &section, body }
    });
    match (start, end) {
        (Some(start), Some(end)) => incoming.push(&[start, end]),
        (Some(event), None) | (None, Some(event)) => incoming.push(&[event]),
        (None, None) => Ok(()),
    }
}
