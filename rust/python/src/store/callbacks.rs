//! `CallbackQueue`: request ids that wait for a sink. Each Python method is one call of the journal crate.

use plsync_journal::{RecordId, Refusal, Store as Journal};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::{Row, Store};
use crate::errors::OrRaise;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct CallbackQueue(Journal);

#[pymethods]
impl CallbackQueue {
    #[new]
    fn new(store: &Store) -> Self {
        Self(store.0.clone())
    }

    fn due(&self, py: Python<'_>, writer: Option<[u8; 16]>, now_ms: u64) -> PyResult<(Vec<String>, Option<u64>)> {
        let due = py.detach(|| self.0.due_callbacks(writer.map(RecordId), now_ms)).or_raise(py)?;
        Ok((due.sinks, due.next))
    }

    fn claim(
        &self,
        py: Python<'_>,
        sink: &str,
        writer: Option<[u8; 16]>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
    ) -> PyResult<Vec<(u64, u32, Row)>> {
        let writer = writer.map(RecordId);
        let claimed = py.detach(|| self.0.claim_callbacks(sink, writer, limit, lease_ms, now_ms)).or_raise(py)?;
        Ok(claimed.into_iter().map(|callback| (callback.seq, callback.attempts, Row(callback.row))).collect())
    }

    fn extend(&self, py: Python<'_>, sink: &str, seqs: Vec<u64>, lease_until: u64) -> PyResult<()> {
        py.detach(|| self.0.extend_callbacks(sink, &seqs, lease_until)).or_raise(py)
    }

    #[pyo3(signature = (sink, done = Vec::new(), failed = Vec::new(), released = Vec::new()))]
    fn settle(
        &self,
        py: Python<'_>,
        sink: &str,
        done: Vec<u64>,
        failed: Vec<(u64, String, u64, bool)>,
        released: Vec<u64>,
    ) -> PyResult<()> {
        let refusal = |(seq, error, not_before, dead)| Refusal { seq, error, not_before, dead };
        let failed: Vec<_> = failed.into_iter().map(refusal).collect();
        py.detach(|| self.0.settle_callbacks(sink, &done, &failed, &released)).or_raise(py)
    }

    fn waiting<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all = PyList::empty(py);
        for waiting in py.detach(|| self.0.waiting_callbacks()).or_raise(py)? {
            let entry = PyDict::new(py);
            entry.set_item("sink", waiting.sink)?;
            entry.set_item("waiting", waiting.waiting)?;
            entry.set_item("owned", waiting.owned)?;
            entry.set_item("pids", waiting.pids)?;
            entry.set_item("dead", waiting.dead)?;
            entry.set_item("last_error", waiting.last_error)?;
            all.append(entry)?;
        }
        Ok(all)
    }

    fn give_every_ack(&self, py: Python<'_>, sink: &str) -> PyResult<()> {
        py.detach(|| self.0.give_every_ack(sink)).or_raise(py)
    }

    fn requeue(&self, py: Python<'_>, sink: &str) -> PyResult<u64> {
        py.detach(|| self.0.requeue_callbacks(sink)).or_raise(py)
    }

    fn drop(&self, py: Python<'_>, sink: &str) -> PyResult<u64> {
        py.detach(|| self.0.drop_callbacks(sink)).or_raise(py)
    }
}
