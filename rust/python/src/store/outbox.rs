//! `Store`: the outbox, from which records are leased and sent, and the acks that come back.

use plsync_journal::State;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::row::{Row, rows};
use super::{Store, state};
use crate::errors::OrRaise;

#[pymethods]
impl Store {
    #[pyo3(signature = (limit, lease_ms, now_ms, max_bytes = 4 << 20, of_lane = None, lane_bytes = None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn lease(
        &self,
        py: Python<'_>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
        max_bytes: u64,
        of_lane: Option<usize>,
        lane_bytes: Option<u64>,
    ) -> PyResult<Vec<Row>> {
        let of_lane = of_lane.unwrap_or(limit);
        let lane_bytes = lane_bytes.unwrap_or(max_bytes);
        let leased =
            py.detach(|| self.journal().lease_of_lanes(limit, of_lane, lease_ms, now_ms, max_bytes, lane_bytes));
        Ok(rows(leased.or_raise(py)?))
    }

    fn orphan_leases(&self, py: Python<'_>, old_ms: u64, due_ms: u64) -> PyResult<u64> {
        py.detach(|| self.journal().orphan_leases(old_ms, due_ms)).or_raise(py)
    }

    fn in_doubt(&self, py: Python<'_>, limit: usize, now_ms: u64) -> PyResult<Vec<Row>> {
        Ok(rows(py.detach(|| self.journal().in_doubt(limit, now_ms)).or_raise(py)?))
    }

    fn ack(&self, py: Python<'_>, acks: Vec<(u64, u64)>) -> PyResult<u64> {
        py.detach(|| self.journal().ack(&acks)).or_raise(py)
    }

    fn release(&self, py: Python<'_>, seqs: Vec<u64>, not_before: u64, error: &str) -> PyResult<()> {
        py.detach(|| self.journal().release(&seqs, not_before, error)).or_raise(py)
    }

    #[pyo3(signature = (seqs, state, error, not_before = 0))]
    fn park(&self, py: Python<'_>, seqs: Vec<u64>, state: u8, error: &str, not_before: u64) -> PyResult<()> {
        let state = self::state(state)?;
        if !matches!(state, State::InDoubt | State::Dead | State::Held) {
            return Err(PyValueError::new_err("a record is parked as in doubt, dead or held"));
        }
        py.detach(|| self.journal().park(&seqs, state, error, not_before)).or_raise(py)
    }

    fn renew(&self, py: Python<'_>, seqs: Vec<u64>, error: &str) -> PyResult<()> {
        py.detach(|| self.journal().renew(&seqs, error)).or_raise(py)
    }

    fn next_due(&self, py: Python<'_>, now_ms: u64) -> PyResult<Option<u64>> {
        py.detach(|| self.journal().next_due(now_ms)).or_raise(py)
    }

    fn is_unsettled(&self, py: Python<'_>, seq: u64) -> PyResult<bool> {
        py.detach(|| self.journal().is_unsettled(seq)).or_raise(py)
    }

    fn mend_waits(&self, py: Python<'_>, before_ms: u64, after_ms: u64, longest_ms: u64) -> PyResult<u64> {
        py.detach(|| self.journal().mend_waits(before_ms, after_ms, longest_ms)).or_raise(py)
    }

    fn requeue(&self, py: Python<'_>, seqs: Vec<u64>) -> PyResult<u64> {
        py.detach(|| self.journal().requeue(&seqs)).or_raise(py)
    }

    fn acks(&self, py: Python<'_>, after: u64, limit: usize) -> PyResult<Vec<(u64, Row)>> {
        let acked = py.detach(|| self.journal().acks(after, limit)).or_raise(py)?;
        Ok(acked.into_iter().map(|(number, row)| (number, Row(row))).collect())
    }

    fn last_ack(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.journal().last_ack()).or_raise(py)
    }
}
