//! Adds the records of a bundle to a journal at the hub.
//!
//! One thread reads the bundle and appends to the spool. Another moves the events into the store meanwhile. Members of a bundle that was
//! checked before are not checked again: they have the same SHA-256.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use plsync_bundle::lines::{Ended, Record};
use plsync_bundle::manifest::MemberKind;
use plsync_bundle::{Error as BundleError, Identity, Verified};
use plsync_journal::{
    CallEnd, Durability, Event, FLAG_CACHED, FLAG_INFERRED, FLAG_LOSSY, FLAG_REDACTED, FLAG_RUN, FrameKind, Head,
    Known, Lane, RecordId, Spool, Store as Journal, labels,
};
use pyo3::prelude::*;

use crate::errors::{OrRaise, bundle_to_python, to_python};

/// The flags of events. The rest of a record's flags describes the store that it was in.
const EVENT_FLAGS: u8 = FLAG_CACHED | FLAG_LOSSY | FLAG_REDACTED | FLAG_INFERRED;
/// Bytes in the spool after which they are moved into the store.
const SPOOLED: usize = 8 << 20;
/// The time between two looks at signals, and between two reports of progress.
const PAUSE: Duration = Duration::from_millis(100);

/// Why an import ended early. Records that were added stay, and the next import leaves them alone.
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

/// Adds the records to the journal in `path`. Returns the number of records, and how many of them were new.
pub(super) fn import(
    py: Python<'_>,
    path: &Path,
    verified: &mut Verified<File>,
    identity: Option<&Identity>,
    on_progress: Option<&Py<PyAny>>,
) -> PyResult<(u64, u64)> {
    let store = py.detach(|| Journal::open(path, true)).or_raise(py)?;
    let spool = Spool::open(path, Durability::Process).or_raise(py)?;
    // Records that an earlier import appended are in the store then.
    py.detach(|| store.ingest(true)).or_raise(py)?;
    let mut report = |done: u64, total: u64| {
        Python::attach(|py| {
            py.check_signals()?;
            on_progress.map_or(Ok(()), |report| report.call1(py, (done, total)).map(drop))
        })
        .map_err(Failure::Python)
    };
    let imported = py.detach(|| {
        std::thread::scope(|scope| {
            // One message waits while the store takes the events of an earlier one.
            let (appended, waiting) = sync_channel(1);
            let ingesting = Builder::new().spawn_scoped(scope, || ingest_all(&store, waiting)).ok();
            let mut spooled = |bytes: &mut usize| -> Result<(), Failure> {
                if *bytes < SPOOLED {
                    return Ok(());
                }
                match appended.try_send(()) {
                    Ok(()) => *bytes = 0,
                    // The spool grows no further while the store is busy.
                    Err(TrySendError::Full(())) if *bytes >= 4 * SPOOLED => {
                        let _ = appended.send(());
                        *bytes = 0;
                    }
                    Err(TrySendError::Full(())) => {}
                    // There is no thread, or the store failed: the call returns its error.
                    Err(TrySendError::Disconnected(())) => {
                        store.ingest(true)?;
                        *bytes = 0;
                    }
                }
                Ok(())
            };
            let done = append_all(&store, &spool, verified, identity, &mut spooled, &mut report);
            drop(appended);
            if let Some(Err(panic)) = ingesting.map(std::thread::ScopedJoinHandle::join) {
                std::panic::resume_unwind(panic);
            }
            done
        })
    });
    let counts = imported.map_err(|failure| match failure {
        Failure::Journal(error) => to_python(py, &error),
        Failure::Bundle(error) => bundle_to_python(py, &error),
        Failure::Python(error) => error,
    })?;
    py.detach(|| spool.flush().and_then(|()| store.ingest(true))).or_raise(py)?;
    Ok(counts)
}

/// Moves events into the store for each message. After a failure the channel is closed.
fn ingest_all(store: &Journal, waiting: Receiver<()>) {
    while waiting.recv().is_ok() {
        if store.ingest(true).is_err() {
            return;
        }
    }
}

fn append_all(
    store: &Journal,
    spool: &Spool,
    verified: &mut Verified<File>,
    identity: Option<&Identity>,
    spooled: &mut impl FnMut(&mut usize) -> Result<(), Failure>,
    report: &mut impl FnMut(u64, u64) -> Result<(), Failure>,
) -> Result<(u64, u64), Failure> {
    let mut bundle = verified.open(identity)?;
    let is_record = |name: &str| MemberKind::of(name) == Some(MemberKind::Records);
    let members = bundle.manifest.members.iter().filter(|member| is_record(&member.name));
    let total = members.map(|member| member.items).sum();
    let (mut records, mut new, mut bytes, mut reported) = (0, 0, 0, Instant::now());
    while let Some(member) = bundle.next_member()? {
        if member.kind != MemberKind::Records {
            break;
        }
        let found = member.checked_records()?;
        let ids: Vec<_> = found.iter().map(|record| RecordId(record.header.id.0)).collect();
        for (record, known) in found.iter().zip(store.known(&ids)?) {
            if known != Known::Yes {
                append(spool, record, known)?;
            }
            new += u64::from(known == Known::No);
        }
        records += found.len() as u64;
        bytes += member.content.len();
        spooled(&mut bytes)?;
        if reported.elapsed() >= PAUSE {
            report(records, total)?;
            reported = Instant::now();
        }
    }
    report(records, total)?;
    Ok((records, new))
}

/// Appends the events of a record that the journal lacks.
fn append(spool: &Spool, record: &Record, known: Known) -> plsync_journal::Result<()> {
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
    if let Some(body) = record.start.filter(|_| known == Known::No) {
        let kind = if is_run { FrameKind::RunStart } else { FrameKind::Start };
        let head = Head { flags: flags & !FLAG_INFERRED, lane: Lane(header.lane), ..Head::new(kind, id) };
        spool.append(&Event { head, labels: &section, body })?;
    }
    let ended = match header.ended {
        Ended::Ok => CallEnd::Ok,
        Ended::Error => CallEnd::Error,
        Ended::Cancelled => CallEnd::Cancelled,
        Ended::Partial => CallEnd::Partial,
        Ended::Interrupted => CallEnd::Interrupted,
        // The ingester finds it when the process that imports has ended.
        Ended::Abandoned => return Ok(()),
    };
    if let Some(body) = record.end {
        let kind = if is_run { FrameKind::RunEnd } else { FrameKind::End };
        let head = Head { flags, ended, ..Head::new(kind, id) };
        spool.append(&Event { head, labels: &section, body })?;
    }
    Ok(())
}
