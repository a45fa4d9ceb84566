//! `Store`: an open journal. Each Python method is one call of the journal crate.
//!
//! This file opens and reads the journal. The other files have the names of their Python modules in `python/plsync/journal/`:
//! `outbox.rs`, `followups.rs`, `callbacks.rs`. `maintenance.rs` has the methods for the journal as a whole.

mod callbacks;
mod followups;
mod maintenance;
mod outbox;
mod report;
mod row;
mod servers;

use std::ffi::OsStr;
use std::path::PathBuf;

use plsync_journal::{CallEnd, Millis, Query, RecordId, RequestId, Seq, State, Store as Journal};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::OrRaise;
use crate::handover;
pub(crate) use callbacks::{CallbackQueue, ClaimedCallback, FailedCallback};
pub(crate) use followups::{FailedFollowUp, FollowUp};
pub(crate) use maintenance::salvage;
pub(crate) use row::Row;
use row::rows;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Store(Journal);

impl Store {
    fn journal(&self) -> &Journal {
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

    fn get(&self, py: Python<'_>, record_id: [u8; 16]) -> PyResult<Option<Row>> {
        Ok(py.detach(|| self.0.get(RecordId(record_id))).or_raise(py)?.map(Row))
    }

    #[pyo3(signature = (digits, limit = 2))]
    fn ids_starting_with(&self, py: Python<'_>, digits: &str, limit: usize) -> PyResult<Vec<[u8; 16]>> {
        let ids = py.detach(|| self.0.ids_starting_with(digits, limit)).or_raise(py)?;
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

    #[pyo3(signature = (*, labels = Vec::new(), states = None, ended = None, since = None, until = None, text = None,
                        before = None, after = None, oldest_first = false, limit = 100))]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn query(
        &self,
        py: Python<'_>,
        labels: Vec<(String, Vec<u8>)>,
        states: Option<Vec<u8>>,
        ended: Option<Vec<u8>>,
        since: Option<u64>,
        until: Option<u64>,
        text: Option<String>,
        before: Option<[u8; 16]>,
        after: Option<[u8; 16]>,
        oldest_first: bool,
        limit: usize,
    ) -> PyResult<Vec<Row>> {
        let labels = labels.into_iter().map(|(kind, value)| Ok((label_kind(&kind)?, value)));
        let query = Query {
            labels: labels.collect::<PyResult<_>>()?,
            states: states.unwrap_or_default().into_iter().map(state).collect::<PyResult<_>>()?,
            ended: ended.unwrap_or_default().into_iter().map(end).collect::<PyResult<_>>()?,
            since: since.map(Millis),
            until: until.map(Millis),
            before: before.map(RecordId),
            after: after.map(RecordId),
            text,
            oldest_first,
            limit,
        };
        Ok(rows(py.detach(|| self.0.query(&query)).or_raise(py)?))
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

fn state(number: u8) -> PyResult<State> {
    State::from_u8(number).ok_or_else(|| PyValueError::new_err("a state is a number from 0 to 5"))
}

fn end(number: u8) -> PyResult<CallEnd> {
    CallEnd::from_u8(number).ok_or_else(|| PyValueError::new_err("the way a call ended is a number from 0 to 5"))
}

fn label_kind(kind: &str) -> PyResult<u8> {
    match kind.as_bytes() {
        [kind] => Ok(*kind),
        _ => Err(PyValueError::new_err("a label's kind is one character")),
    }
}
