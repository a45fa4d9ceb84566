//! `BundleWriter`: a bundle that is being written.

use std::path::PathBuf;
use std::sync::Mutex;

use plsync_bundle::lines::{Ended, Entry, Record, RecordHeader};
use plsync_bundle::manifest::{Kind, LogSpan};
use plsync_bundle::{Error, Id, KeyId, Manifest, Recipient, SecretKey, Writer};
use plsync_journal::CallEnd;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::new_file;
use crate::errors::bundle_to_python;
use crate::handover;
use crate::store::Row;

/// Whether the record was added, or why it does not fit the format.
type Fit = Option<&'static str>;

/// The fields of a bundle beside its records: a dict with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Envelope {
    kind: String,
    journal: String,
    name: String,
    signing_key: String,
    to: String,
    recipient: Option<String>,
    serial: u64,
    part: [u32; 2],
    created_at: u64,
}

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct BundleWriter(Mutex<Option<Writer>>);

impl BundleWriter {
    fn with<T>(&self, py: Python<'_>, work: impl FnOnce(&mut Writer) -> Result<T, Error>) -> PyResult<T> {
        let mut guard = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let writer = guard.as_mut().ok_or_else(|| PyRuntimeError::new_err("the bundle was written"))?;
        work(writer).map_err(|error| bundle_to_python(py, &error))
    }
}

#[pymethods]
impl BundleWriter {
    #[new]
    fn new(py: Python<'_>, scratch: PathBuf) -> PyResult<Self> {
        handover::require(py)?;
        let file = new_file(&scratch).map_err(|error| bundle_to_python(py, &error.into()))?;
        Ok(Self(Mutex::new(Some(Writer::new(file)))))
    }

    #[pyo3(signature = (row, *, run, parent, tags, model, doubt))]
    fn record(
        &self,
        py: Python<'_>,
        row: &Row,
        run: Option<[u8; 16]>,
        parent: Option<[u8; 16]>,
        tags: Vec<String>,
        model: Option<String>,
        doubt: bool,
    ) -> PyResult<Fit> {
        let stored = row.stored();
        let ended = match stored.ended {
            CallEnd::No => return Ok(Some("the call has not ended")),
            CallEnd::Ok => Ended::Ok,
            CallEnd::Error => Ended::Error,
            CallEnd::Cancelled => Ended::Cancelled,
            CallEnd::Partial => Ended::Partial,
            CallEnd::Abandoned => Ended::Abandoned,
            CallEnd::Interrupted => return Ok(Some("it is a run of a tree, and no call")),
        };
        let header = RecordHeader {
            id: plsync_bundle::ids::Hex(stored.id.0),
            ended,
            flags: stored.flags,
            lane: stored.lane.0,
            run: run.map(plsync_bundle::ids::Hex),
            parent: parent.map(plsync_bundle::ids::Hex),
            tags,
            model,
            start: None,
            end: None,
            doubt,
            round: 0,
        };
        let record = Record { header, start: stored.start.as_deref(), end: stored.end.as_deref() };
        self.with(py, |writer| match writer.record(&record) {
            Err(Error::Unfit(reason)) => Ok(Some(reason)),
            added => added.map(|()| None),
        })
    }

    fn ack(&self, py: Python<'_>, number: u64, record: [u8; 16], request: u64, at: u64, renewed: bool) -> PyResult<()> {
        let entry = Entry::Ack { record: plsync_bundle::ids::Hex(record), request, at, renewed };
        self.with(py, |writer| writer.entry(number, &entry))
    }

    fn parked(&self, py: Python<'_>, number: u64, record: [u8; 16], held: bool, reason: String) -> PyResult<()> {
        let entry = Entry::Parked { record: plsync_bundle::ids::Hex(record), held, reason, round: 0 };
        self.with(py, |writer| writer.entry(number, &entry))
    }

    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |writer| Ok(writer.size()))
    }

    #[getter]
    fn is_full(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |writer| Ok(writer.is_full()))
    }

    #[getter]
    fn is_empty(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |writer| Ok(writer.is_empty()))
    }

    /// Writes the bundle to a new file, and returns its id, size, SHA-256 and signature.
    fn finish<'py>(&self, py: Python<'py>, path: PathBuf, envelope: Envelope) -> PyResult<Bound<'py, PyDict>> {
        let Envelope { kind, journal, name, signing_key, to, recipient, serial, part, created_at } = envelope;
        let invalid = || PyValueError::new_err("a kind, an id or a recipient is malformed");
        let kind = [Kind::Out, Kind::Back].into_iter().find(|known| known.name() == kind).ok_or_else(invalid)?;
        let (journal, to) = (Id::parse(&journal).ok_or_else(invalid)?, KeyId::parse(&to).ok_or_else(invalid)?);
        let recipient = recipient.map(|line| Recipient::parse(&line).ok_or_else(invalid)).transpose()?;
        let writer = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let writer = writer.ok_or_else(|| PyRuntimeError::new_err("the bundle was written"))?;
        let write = || {
            let key = SecretKey::parse(&signing_key)?;
            let mut manifest = Manifest::new(kind, journal, key.public().id, to, serial, created_at)?;
            manifest.part = part;
            if kind == Kind::Back {
                let (epoch, chain) = (Id::random()?, plsync_bundle::ids::Hex([0; 16]));
                manifest.log = Some(LogSpan { epoch, after: 0, chain });
            }
            let file = new_file(&path)?;
            let written = writer.finish(manifest, &name, &key, recipient.as_ref(), &file)?;
            file.sync_all()?;
            Ok(written)
        };
        let written = py.detach(write).map_err(|error: Error| bundle_to_python(py, &error))?;
        let fields = PyDict::new(py);
        fields.set_item("id", written.id.to_string())?;
        fields.set_item("size", written.digests.size)?;
        fields.set_item("sha256", written.digests.sha256.to_string())?;
        fields.set_item("signature", written.signature)?;
        Ok(fields)
    }
}
