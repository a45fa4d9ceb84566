//! `Store`: the outbox, from which records are leased and sent, and the acks that come back.

use std::time::Duration;

use plsync_journal::{ClockChange, LeaseLimits, Limits, Millis, ParkedState, RecordId, RequestId, Seq};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::row::{Row, rows};
use super::{Store, seqs, state};
use crate::errors::OrRaise;

#[pymethods]
impl Store {
    #[pyo3(signature = (limit, lease_ms, now_ms, max_bytes = 4 << 20, *, per_lane = None,
                        bytes_per_lane = None, per_tree = None, bytes_per_tree = None, fitting = false))]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn lease(
        &self,
        py: Python<'_>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
        max_bytes: u64,
        per_lane: Option<usize>,
        bytes_per_lane: Option<u64>,
        per_tree: Option<usize>,
        bytes_per_tree: Option<u64>,
        fitting: bool,
    ) -> PyResult<Vec<Row>> {
        let limits = LeaseLimits {
            total: Limits { records: limit, bytes: max_bytes },
            per_lane: Limits { records: per_lane.unwrap_or(limit), bytes: bytes_per_lane.unwrap_or(max_bytes) },
            per_tree: Limits { records: per_tree.unwrap_or(limit), bytes: bytes_per_tree.unwrap_or(max_bytes) },
            fitting,
        };
        let lease = Duration::from_millis(lease_ms);
        Ok(rows(py.detach(|| self.journal().lease(limits, lease, Millis(now_ms))).or_raise(py)?))
    }

    fn tree_rests(&self, py: Python<'_>, roots: Vec<[u8; 16]>) -> PyResult<Vec<(bool, Vec<u64>)>> {
        let roots: Vec<_> = roots.into_iter().map(RecordId).collect();
        let rests = py.detach(|| self.journal().tree_rests(&roots)).or_raise(py)?;
        Ok(rests.into_iter().map(|rest| (rest.has_ended, rest.unsettled.iter().map(|seq| seq.0).collect())).collect())
    }

    fn set_tree_wait(&self, wait_ms: u64) {
        self.journal().set_tree_wait(Duration::from_millis(wait_ms));
    }

    fn has_due(&self, py: Python<'_>, now_ms: u64) -> PyResult<bool> {
        py.detach(|| self.journal().has_due(Millis(now_ms))).or_raise(py)
    }

    fn orphan_leases(&self, py: Python<'_>, old_ms: u64, due_ms: u64) -> PyResult<u64> {
        py.detach(|| self.journal().orphan_leases(Millis(old_ms), Millis(due_ms))).or_raise(py)
    }

    fn in_doubt(&self, py: Python<'_>, limit: usize, now_ms: u64) -> PyResult<Vec<Row>> {
        Ok(rows(py.detach(|| self.journal().in_doubt(limit, Millis(now_ms))).or_raise(py)?))
    }

    fn ack(&self, py: Python<'_>, acks: Vec<(u64, Option<u64>)>) -> PyResult<u64> {
        let acks: Vec<_> = acks.into_iter().map(|(seq, id)| (Seq(seq), id.map(RequestId))).collect();
        py.detach(|| self.journal().ack_tree(&acks)).or_raise(py)
    }

    fn release(&self, py: Python<'_>, seqs: Vec<u64>, not_before: u64, error: &str) -> PyResult<()> {
        py.detach(|| self.journal().release(&self::seqs(seqs), Millis(not_before), error)).or_raise(py)
    }

    #[pyo3(signature = (seqs, state, error, not_before = 0))]
    fn park(&self, py: Python<'_>, seqs: Vec<u64>, state: u8, error: &str, not_before: u64) -> PyResult<()> {
        let state = ParkedState::try_from(self::state(state)?)
            .map_err(|_| PyValueError::new_err("a record is parked as in doubt, dead or held"))?;
        py.detach(|| self.journal().park(&self::seqs(seqs), state, Millis(not_before), error)).or_raise(py)
    }

    fn renew(&self, py: Python<'_>, seqs: Vec<u64>, error: &str) -> PyResult<()> {
        py.detach(|| self.journal().renew(&self::seqs(seqs), error)).or_raise(py)
    }

    #[pyo3(signature = (now_ms, *, growing = true))]
    fn next_due(&self, py: Python<'_>, now_ms: u64, growing: bool) -> PyResult<Option<u64>> {
        Ok(py.detach(|| self.journal().next_due_of(Millis(now_ms), growing)).or_raise(py)?.map(|due| due.0))
    }

    fn is_unsettled(&self, py: Python<'_>, seq: u64) -> PyResult<bool> {
        py.detach(|| self.journal().is_unsettled(Seq(seq))).or_raise(py)
    }

    fn shift_waits(&self, py: Python<'_>, before_ms: u64, after_ms: u64, longest_ms: u64) -> PyResult<u64> {
        let clock = ClockChange { before: Millis(before_ms), after: Millis(after_ms) };
        py.detach(|| self.journal().shift_waits(clock, Duration::from_millis(longest_ms))).or_raise(py)
    }

    fn requeue(&self, py: Python<'_>, seqs: Vec<u64>) -> PyResult<u64> {
        py.detach(|| self.journal().requeue(&self::seqs(seqs))).or_raise(py)
    }

    fn acks(&self, py: Python<'_>, after: u64, limit: usize) -> PyResult<Vec<(u64, Row)>> {
        let acked = py.detach(|| self.journal().acks(after, limit)).or_raise(py)?;
        Ok(acked.into_iter().map(|acked| (acked.number, acked.row.into())).collect())
    }

    fn last_ack(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.journal().last_ack()).or_raise(py)
    }
}
