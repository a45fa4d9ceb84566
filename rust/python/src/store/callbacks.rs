//! `CallbackQueue`: request ids that wait for a sink. Each Python method is one call of the journal crate.

use std::time::Duration;

use plsync_journal::{FailedCallback as Failed, Millis, RecordId, Seq, Store as Journal};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::report::dicts;
use super::{Row, Store, seqs};
use crate::errors::OrRaise;

/// A callback that is leased to the caller.
#[pyclass(module = "plsync._native", frozen, get_all)]
pub(crate) struct ClaimedCallback {
    seq: u64,
    attempts: u32,
    row: Py<Row>,
}

/// A call of a sink that failed.
#[pyclass(module = "plsync._native", frozen, get_all, eq, from_py_object)]
#[derive(Clone, PartialEq)]
pub(crate) struct FailedCallback {
    seq: u64,
    error: String,
    not_before: u64,
    dead: bool,
}

#[pymethods]
impl FailedCallback {
    #[new]
    #[pyo3(signature = (seq, error, not_before, dead))]
    fn new(seq: u64, error: String, not_before: u64, dead: bool) -> Self {
        Self { seq, error, not_before, dead }
    }

    fn __repr__(&self) -> String {
        let Self { seq, error, not_before, dead } = self;
        format!(
            "FailedCallback(seq={seq}, error={error:?}, not_before={not_before}, dead={})",
            if *dead { "True" } else { "False" }
        )
    }
}

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct CallbackQueue(Journal);

#[pymethods]
impl CallbackQueue {
    #[new]
    fn new(store: &Store) -> Self {
        Self(store.0.clone())
    }

    fn due(&self, py: Python<'_>, writer: Option<[u8; 16]>, now_ms: u64) -> PyResult<(Vec<String>, Option<u64>)> {
        let due = py.detach(|| self.0.due_callbacks(writer.map(RecordId), Millis(now_ms))).or_raise(py)?;
        Ok((due.sinks, due.next.map(|next| next.0)))
    }

    fn claim(
        &self,
        py: Python<'_>,
        sink: &str,
        writer: Option<[u8; 16]>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
    ) -> PyResult<Vec<ClaimedCallback>> {
        let (writer, lease, now) = (writer.map(RecordId), Duration::from_millis(lease_ms), Millis(now_ms));
        let claimed = py.detach(|| self.0.claim_callbacks(sink, writer, limit, lease, now)).or_raise(py)?;
        let claimed = claimed.into_iter().map(|callback| {
            let row = Py::new(py, Row::from(callback.row))?;
            Ok(ClaimedCallback { seq: callback.seq.0, attempts: callback.attempts, row })
        });
        claimed.collect()
    }

    fn extend(&self, py: Python<'_>, sink: &str, seqs: Vec<u64>, lease_until: u64) -> PyResult<()> {
        py.detach(|| self.0.extend_callbacks(sink, &self::seqs(seqs), Millis(lease_until))).or_raise(py)
    }

    #[pyo3(signature = (sink, done = Vec::new(), failed = Vec::new(), released = Vec::new()))]
    fn settle(
        &self,
        py: Python<'_>,
        sink: &str,
        done: Vec<u64>,
        failed: Vec<FailedCallback>,
        released: Vec<u64>,
    ) -> PyResult<()> {
        let failed = failed.into_iter().map(|failed| {
            let FailedCallback { seq, error, not_before, dead } = failed;
            Failed { seq: Seq(seq), error, not_before: Millis(not_before), dead }
        });
        let failed: Vec<_> = failed.collect();
        let (done, released) = (seqs(done), seqs(released));
        py.detach(|| self.0.settle_callbacks(sink, &done, &failed, &released)).or_raise(py)
    }

    fn waiting<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        dicts(py, py.detach(|| self.0.callback_backlogs()).or_raise(py)?)
    }

    fn subscribe(&self, py: Python<'_>, sink: &str) -> PyResult<()> {
        py.detach(|| self.0.subscribe(sink)).or_raise(py)
    }

    fn requeue(&self, py: Python<'_>, sink: &str) -> PyResult<u64> {
        py.detach(|| self.0.requeue_callbacks(sink)).or_raise(py)
    }

    fn drop(&self, py: Python<'_>, sink: &str) -> PyResult<u64> {
        py.detach(|| self.0.drop_callbacks(sink)).or_raise(py)
    }
}
