//! `Store`: an open journal. Each Python method is one call of the journal crate.
//!
//! This file opens and reads the journal. The other files have the names of their Python modules in `python/plsync/journal/`:
//! `outbox.rs`, `followups.rs`, `callbacks.rs`. `maintenance.rs` has the methods for the journal as a whole.

mod bundles;
mod callbacks;
mod conditions;
mod digests;
mod followups;
mod maintenance;
mod outbox;
mod report;
mod row;
mod servers;

use std::ffi::OsStr;
use std::path::PathBuf;

use plsync_journal::{Query, RecordId, RequestId, Seq, Store as Journal};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::OrRaise;
use crate::handover;
pub(crate) use bundles::choice_of;
pub(crate) use callbacks::{CallbackQueue, ClaimedCallback, FailedCallback};
pub(crate) use conditions::TextSearch;
use conditions::{label_kind, state};
pub(crate) use followups::{FailedFollowUp, FollowUp};
pub(crate) use maintenance::{salvage, share};
pub(crate) use row::Row;
use row::rows;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Store(Journal);

impl Store {
    pub(crate) fn journal(&self) -> &Journal {
        &self.0
    }
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, *, create = true, force = false, verify = false))]
    fn new(py: Python<'_>, path: PathBuf, create: bool, force: bool, verify: bool) -> PyResult<Self> {
        handover::require(py)?;
        if verify {
            py.detach(|| Journal::verify_pages(&path)).or_raise(py)?;
        }
        let open = if force { Journal::open_on_any_fs } else { Journal::open };
        py.detach(|| open(&path, create)).or_raise(py).map(Self)
    }

    #[getter]
    fn path(&self) -> &OsStr {
        self.0.path().as_os_str()
    }

    fn journal_id(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.0.journal_id()).or_raise(py)
    }

    fn group(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        py.detach(|| self.0.group()).or_raise(py)
    }

    fn get(&self, py: Python<'_>, record_id: [u8; 16]) -> PyResult<Option<Row>> {
        Ok(py.detach(|| self.0.get(RecordId(record_id))).or_raise(py)?.map(Row::from))
    }

    #[pyo3(signature = (digits, limit = 2))]
    fn ids_starting_with(&self, py: Python<'_>, digits: &str, limit: usize) -> PyResult<Vec<[u8; 16]>> {
        let ids = py.detach(|| self.0.ids_starting_with(digits, limit)).or_raise(py)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    #[pyo3(signature = (digits, limit = 2))]
    fn ids_ending_with(&self, py: Python<'_>, digits: &str, limit: usize) -> PyResult<Vec<[u8; 16]>> {
        let ids = py.detach(|| self.0.ids_ending_with(digits, limit)).or_raise(py)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    #[pyo3(signature = (kind, value, limit = 100))]
    fn by_label(&self, py: Python<'_>, kind: &str, value: &[u8], limit: usize) -> PyResult<Vec<[u8; 16]>> {
        let kind = label_kind(kind)?;
        let ids = py.detach(|| self.0.by_label(kind, value, limit)).or_raise(py)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    fn by_request(&self, py: Python<'_>, request_id: u64) -> PyResult<Vec<[u8; 16]>> {
        let ids = py.detach(|| self.0.by_request(RequestId(request_id))).or_raise(py)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    #[pyo3(signature = (*, before = None, after = None, oldest_first = false, limit = 100, **conditions))]
    fn query(
        &self,
        py: Python<'_>,
        before: Option<[u8; 16]>,
        after: Option<[u8; 16]>,
        oldest_first: bool,
        limit: usize,
        conditions: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<Row>> {
        let (before, after) = (before.map(RecordId), after.map(RecordId));
        let query = Query { before, after, oldest_first, limit, ..conditions::query(conditions)? };
        Ok(rows(py.detach(|| self.0.query(&query)).or_raise(py)?))
    }

    #[pyo3(signature = (at_most, **conditions))]
    fn count(&self, py: Python<'_>, at_most: usize, conditions: Option<&Bound<'_, PyDict>>) -> PyResult<Option<u64>> {
        let query = conditions::query(conditions)?;
        py.detach(|| self.0.count(&query, at_most)).or_raise(py)
    }

    fn label_values(&self, py: Python<'_>, kind: &str, limit: usize) -> PyResult<Vec<Vec<u8>>> {
        let kind = label_kind(kind)?;
        py.detach(|| self.0.label_values(kind, limit)).or_raise(py)
    }

    #[pyo3(signature = (beyond = None, *, oldest_first = false, limit = 100))]
    fn roots(
        &self,
        py: Python<'_>,
        beyond: Option<[u8; 16]>,
        oldest_first: bool,
        limit: usize,
    ) -> PyResult<Vec<[u8; 16]>> {
        let ids = py.detach(|| self.0.roots(beyond.map(RecordId), oldest_first, limit)).or_raise(py)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    #[pyo3(signature = (root, after = None, *, limit = 1000))]
    fn tree(&self, py: Python<'_>, root: [u8; 16], after: Option<[u8; 16]>, limit: usize) -> PyResult<Vec<Row>> {
        Ok(rows(py.detach(|| self.0.tree(RecordId(root), after.map(RecordId), limit)).or_raise(py)?))
    }

    #[pyo3(signature = (seq, limit = 100))]
    fn follow(&self, py: Python<'_>, seq: u64, limit: usize) -> PyResult<Vec<Row>> {
        Ok(rows(py.detach(|| self.0.follow(Seq(seq), limit)).or_raise(py)?))
    }

    fn last_seq(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(py.detach(|| self.0.last_seq()).or_raise(py)?.0)
    }

    fn short_id_length(&self, py: Python<'_>, record_id: [u8; 16]) -> PyResult<usize> {
        py.detach(|| self.0.short_id_length(RecordId(record_id))).or_raise(py)
    }
}

fn seqs(numbers: Vec<u64>) -> Vec<Seq> {
    numbers.into_iter().map(Seq).collect()
}
