//! `BundleWriter`: a bundle that is being written.

use std::path::PathBuf;
use std::sync::Mutex;

use plsync_bundle::lines::Entry;
use plsync_bundle::manifest::{Kind, LogSpan};
use plsync_bundle::{Error, Id, KeyId, Manifest, Recipient, SecretKey, Writer};
use plsync_journal::Seq;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::new_file;
use super::pack::Scratch;
use crate::errors::bundle_to_python;
use crate::handover;

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
pub(crate) struct BundleWriter {
    writer: Mutex<Option<Writer>>,
    /// Removed after the writer has closed it.
    _scratch: Option<Scratch>,
    seqs: Vec<Seq>,
    doubtful: u64,
}

impl BundleWriter {
    /// A writer with packed records, which have these places in their journal.
    pub(super) fn packed(writer: Writer, scratch: Scratch, seqs: Vec<Seq>, doubtful: u64) -> Self {
        Self { writer: Mutex::new(Some(writer)), _scratch: Some(scratch), seqs, doubtful }
    }

    fn with<T>(&self, py: Python<'_>, work: impl FnOnce(&mut Writer) -> Result<T, Error>) -> PyResult<T> {
        let mut guard = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
        Ok(Self { writer: Mutex::new(Some(Writer::new(file))), _scratch: None, seqs: Vec::new(), doubtful: 0 })
    }

    /// The number of packed records.
    #[getter]
    fn records(&self) -> usize {
        self.seqs.len()
    }

    /// The packed records that may have been sent.
    #[getter]
    fn doubtful(&self) -> u64 {
        self.doubtful
    }

    /// The places of the packed records in their journal, in order.
    fn seqs(&self) -> Vec<u64> {
        self.seqs.iter().map(|seq| seq.0).collect()
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
        let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
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
