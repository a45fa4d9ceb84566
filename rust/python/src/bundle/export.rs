//! `BundleWriter`: a bundle that is being written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use plsync_bundle::ids::Hex;
use plsync_bundle::lines::{self, FollowUpHeader, Op, follow_up_id};
use plsync_bundle::manifest::{Kind, LogSpan, Place};
use plsync_bundle::{Error, Id, KeyId, Manifest, Recipient, Sealed, SecretKey, Writer};
use plsync_journal::{FollowUpKey, HubNumber, OutgoingFollowUp, Seq};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::new_file;
use super::scratch::Scratch;
use crate::errors::{OrRaise, bundle_to_python};
use crate::handover;
use crate::store::Store;

/// Follow-ups or entries that are read at once.
const PAGE: usize = 1000;

/// Epoch, number, chain hash, ended epochs.
type StatedPlace = ([u8; 16], u64, [u8; 16], Vec<[u8; 16]>);

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
    /// How far the origin has read the log.
    place: Option<StatedPlace>,
    /// Earlier bundles, each with the number of its export.
    recent: Vec<([u8; 32], u64)>,
    /// Earlier bundles whose records this bundle repeats.
    repeats: Vec<[u8; 32]>,
    /// Which entries of the log follow: epoch, number and chain hash of the entry before.
    log: Option<([u8; 16], u64, [u8; 16])>,
    /// The set of prompt templates that the bundle has, or that the origin keeps.
    templates: Option<[u8; 32]>,
}

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct BundleWriter {
    stage: Mutex<Stage>,
    /// Removed after the writer has closed it.
    _scratch: Option<Scratch>,
    seqs: Vec<Seq>,
    doubtful: u64,
}

enum Stage {
    /// Records and lines can be added.
    Open(Writer),
    /// The id is known.
    Sealed(Box<SealedBundle>),
    Written,
}

struct SealedBundle {
    sealed: Sealed,
    name: String,
    key: SecretKey,
    recipient: Option<Recipient>,
}

fn ended() -> PyErr {
    PyRuntimeError::new_err("the bundle has ended")
}

impl BundleWriter {
    /// A writer with packed records, which have these places in their journal.
    pub(super) fn packed(writer: Writer, scratch: Scratch, seqs: Vec<Seq>, doubtful: u64) -> Self {
        Self { stage: Mutex::new(Stage::Open(writer)), _scratch: Some(scratch), seqs, doubtful }
    }

    fn with<T>(&self, py: Python<'_>, work: impl FnOnce(&mut Writer) -> Result<T, Error>) -> PyResult<T> {
        let mut guard = self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Stage::Open(writer) = &mut *guard else { return Err(ended()) };
        work(writer).map_err(|error| bundle_to_python(py, &error))
    }
}

#[pymethods]
impl BundleWriter {
    #[new]
    fn new(py: Python<'_>, scratch: PathBuf) -> PyResult<Self> {
        handover::require(py)?;
        let file = new_file(&scratch).map_err(|error| bundle_to_python(py, &error.into()))?;
        let stage = Mutex::new(Stage::Open(Writer::new(file)));
        Ok(Self { stage, _scratch: None, seqs: Vec::new(), doubtful: 0 })
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

    /// The places of the packed records in their journal, in order, as little-endian numbers of 8 bytes. A list of a million Python
    /// numbers would take 40 MB.
    fn seqs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, 8 * self.seqs.len(), |bytes| {
            for (place, seq) in bytes.chunks_exact_mut(8).zip(&self.seqs) {
                place.copy_from_slice(&seq.0.to_le_bytes());
            }
            Ok(())
        })
    }

    /// Adds the waiting follow-ups for a hub, after all records, if they went out in fewer than `limit` exports. Returns the id and the
    /// key of each. Of a follow-up that does not fit, it returns the record and the reason.
    #[pyo3(signature = (store, hub, limit = None))]
    #[allow(clippy::type_complexity)] // as the stub has it
    fn followups(
        &self,
        py: Python<'_>,
        store: &Store,
        hub: u32,
        limit: Option<u8>,
    ) -> PyResult<(Vec<([u8; 32], FollowUpKey)>, Vec<([u8; 16], &'static str)>)> {
        let (mut added, mut left_out, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = py.detach(|| store.journal().outgoing_followups(HubNumber(hub), after, PAGE));
            let (followups, next) = page.or_raise(py)?;
            for OutgoingFollowUp { followup, record } in followups {
                let (record, queued_at, number) = (Hex(record.0), followup.queued_at.0, followup.number());
                let op = op_to_bundle(followup.op);
                let id = follow_up_id(record, op, queued_at, number, &followup.payload);
                if let Some(limit) = limit
                    && store.journal().followup_exports(&id.0).or_raise(py)? >= limit
                {
                    continue;
                }
                let request = followup.request.map(|request| request.0);
                let header = FollowUpHeader { id, record, request, op, queued_at, number, payload: 0 };
                let line = lines::FollowUp { header, payload: &followup.payload };
                let fit = self.with(py, |writer| match writer.follow_up(&line) {
                    Err(Error::Unfit(reason)) => Ok(Some(reason)),
                    written => written.map(|()| None),
                })?;
                match fit {
                    Some(reason) => left_out.push((record.0, reason)),
                    None => added.push((id.0, followup.key)),
                }
            }
            match next {
                Some(_) => after = next,
                None => return Ok((added, left_out)),
            }
        }
    }

    /// Adds the log of a hub's journal behind an entry. Returns the numbers of its entries by kind.
    fn log(&self, py: Python<'_>, store: &Store, after: u64) -> PyResult<BTreeMap<String, u64>> {
        let (mut last, mut kinds) = (after, BTreeMap::new());
        loop {
            let page = py.detach(|| store.journal().log_after(last, PAGE)).or_raise(py)?;
            let Some((newest, _)) = page.last() else { return Ok(kinds) };
            last = *newest;
            for (_, line) in &page {
                // The name of the second field, behind the number.
                let kind = line.split('"').nth(3).unwrap_or_default();
                *kinds.entry(kind.to_owned()).or_default() += 1;
            }
            self.with(py, |writer| page.iter().try_for_each(|(_, line)| writer.log_line(line)))?;
        }
    }

    /// Adds a prompt template, after the log. Returns why it does not fit.
    fn template(&self, py: Python<'_>, content: &[u8]) -> PyResult<Option<&'static str>> {
        self.with(py, |writer| match writer.prompt(content) {
            Err(Error::Unfit(reason)) => Ok(Some(reason)),
            written => written.map(|()| None),
        })
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

    /// Ends the bundle, and returns its id. Nothing can be added any more.
    fn seal(&self, py: Python<'_>, envelope: Envelope) -> PyResult<[u8; 32]> {
        let invalid = || PyValueError::new_err("a kind, an id or a recipient is malformed");
        let kind =
            [Kind::Out, Kind::Back].into_iter().find(|known| known.name() == envelope.kind).ok_or_else(invalid)?;
        let journal = Id::parse(&envelope.journal).ok_or_else(invalid)?;
        let to = KeyId::parse(&envelope.to).ok_or_else(invalid)?;
        let recipient = envelope.recipient.map(|line| Recipient::parse(&line).ok_or_else(invalid)).transpose()?;
        let seal = |writer: Writer| {
            let key = SecretKey::parse(&envelope.signing_key)?;
            let mut manifest = Manifest::new(kind, journal, key.public().id, to, envelope.serial, envelope.created_at)?;
            manifest.part = envelope.part;
            manifest.place = envelope.place.map(|(epoch, number, chain, ended)| Place {
                epoch: Hex(epoch),
                number,
                chain: Hex(chain),
                ended: ended.into_iter().map(Hex).collect(),
            });
            let (recent, serials): (Vec<_>, Vec<_>) = envelope.recent.into_iter().unzip();
            (manifest.recent, manifest.recent_serials) = (recent.into_iter().map(Hex).collect(), serials);
            manifest.repeats = envelope.repeats.into_iter().map(Hex).collect();
            manifest.log =
                envelope.log.map(|(epoch, after, chain)| LogSpan { epoch: Hex(epoch), after, chain: Hex(chain) });
            manifest.templates = envelope.templates.map(Hex);
            Ok(SealedBundle { sealed: writer.seal(manifest)?, name: envelope.name, key, recipient })
        };
        let mut guard = self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Stage::Open(writer) = std::mem::replace(&mut *guard, Stage::Written) else { return Err(ended()) };
        let sealed = py.detach(|| seal(writer)).map_err(|error: Error| bundle_to_python(py, &error))?;
        let id = sealed.sealed.id().0;
        *guard = Stage::Sealed(Box::new(sealed));
        Ok(id)
    }

    /// Writes the bundle to a new file, and returns its size, SHA-256 and signature.
    fn write<'py>(&self, py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyDict>> {
        let mut guard = self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Stage::Sealed(sealed) = std::mem::replace(&mut *guard, Stage::Written) else { return Err(ended()) };
        drop(guard);
        let write = || {
            let SealedBundle { sealed, name, key, recipient } = *sealed;
            let file = new_file(&path)?;
            let written = sealed.write(&name, &key, recipient.as_ref(), &file)?;
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

fn op_to_bundle(op: plsync_journal::Op) -> Op {
    use plsync_journal::Op as Stored;

    match op {
        Stored::Score => Op::Score,
        Stored::Metadata => Op::Metadata,
        Stored::Prompt => Op::Prompt,
        Stored::Group => Op::Group,
    }
}
