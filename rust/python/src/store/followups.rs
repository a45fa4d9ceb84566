//! `Store`: the queue of follow-ups, which are scores, metadata, prompt links and groups.

use std::time::Duration;

use plsync_journal::{
    ClockChange, FailedFollowUp as Failed, FollowUp as Stored, FollowUpKey, FollowUpState, Limits, ListedState, Millis,
    Op, RecordId, RequestId, SentFollowUp, Target,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::Store;
use crate::errors::{OrRaise, bytes};

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct FollowUp(Stored);

#[pymethods]
impl FollowUp {
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.key)
    }

    #[getter]
    fn number(&self) -> u64 {
        self.0.number()
    }

    #[getter]
    fn op(&self) -> &'static str {
        self.0.op.name()
    }

    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        bytes(py, &self.0.payload)
    }

    #[getter]
    fn record_id(&self) -> Option<[u8; 16]> {
        self.0.record.map(|id| id.0)
    }

    #[getter]
    fn request_id(&self) -> Option<u64> {
        self.0.request.map(|id| id.0)
    }

    #[getter]
    fn state(&self) -> &'static str {
        match self.0.state {
            FollowUpState::Waiting => "pending",
            FollowUpState::Dead => "dead",
            FollowUpState::Sent { .. } => "sent",
        }
    }

    #[getter]
    fn sent_at(&self) -> Option<u64> {
        match self.0.state {
            FollowUpState::Sent { at, .. } => Some(at.0),
            FollowUpState::Waiting | FollowUpState::Dead => None,
        }
    }

    #[getter]
    fn status(&self) -> Option<u16> {
        match self.0.state {
            FollowUpState::Sent { status, .. } => Some(status).filter(|status| *status > 0),
            FollowUpState::Waiting | FollowUpState::Dead => None,
        }
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.0.attempts
    }

    #[getter]
    fn due(&self) -> u64 {
        self.0.due.0
    }

    #[getter]
    fn queued_at(&self) -> u64 {
        self.0.queued_at.0
    }

    #[getter]
    fn last_error(&self) -> Option<&str> {
        Some(self.0.last_error.as_str()).filter(|text| !text.is_empty())
    }
}

/// A follow-up that failed.
#[pyclass(module = "plsync._native", frozen, get_all, eq, from_py_object)]
#[derive(Clone, PartialEq)]
pub(crate) struct FailedFollowUp {
    key: FollowUpKey,
    error: String,
    not_before: u64,
    dead: bool,
}

#[pymethods]
impl FailedFollowUp {
    #[new]
    #[pyo3(signature = (key, error, not_before, dead))]
    fn new(key: FollowUpKey, error: String, not_before: u64, dead: bool) -> Self {
        Self { key, error, not_before, dead }
    }

    fn __repr__(&self) -> String {
        let Self { error, not_before, dead, .. } = self;
        format!(
            "FailedFollowUp(error={error:?}, not_before={not_before}, dead={})",
            if *dead { "True" } else { "False" }
        )
    }
}

#[pymethods]
impl Store {
    #[pyo3(signature = (op, payload, *, record_id = None, request_id = None))]
    fn follow_up(
        &self,
        py: Python<'_>,
        op: &str,
        payload: &[u8],
        record_id: Option<[u8; 16]>,
        request_id: Option<u64>,
    ) -> PyResult<Option<u64>> {
        let op = Op::from_name(op)
            .ok_or_else(|| PyValueError::new_err("a follow-up is a score, metadata, a prompt or a group"))?;
        let target = one_target(record_id, request_id)?;
        py.detach(|| self.journal().follow_up(target, op, payload)).or_raise(py)
    }

    #[pyo3(signature = (*, record_id = None, request_id = None))]
    fn followups(
        &self,
        py: Python<'_>,
        record_id: Option<[u8; 16]>,
        request_id: Option<u64>,
    ) -> PyResult<Vec<FollowUp>> {
        let target = one_target(record_id, request_id)?;
        Ok(wrap(py.detach(|| self.journal().followups(target)).or_raise(py)?))
    }

    #[pyo3(signature = (*, record_id = None, request_id = None))]
    fn sent_followups(
        &self,
        py: Python<'_>,
        record_id: Option<[u8; 16]>,
        request_id: Option<u64>,
    ) -> PyResult<Vec<FollowUp>> {
        let target = one_target(record_id, request_id)?;
        Ok(wrap(py.detach(|| self.journal().sent_followups(target)).or_raise(py)?))
    }

    #[pyo3(signature = (limit = 100))]
    fn dead_followups(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<FollowUp>> {
        Ok(wrap(py.detach(|| self.journal().dead_followups(limit)).or_raise(py)?))
    }

    #[pyo3(signature = (state, before = None, limit = 100))]
    fn list_followups(
        &self,
        py: Python<'_>,
        state: &str,
        before: Option<FollowUpKey>,
        limit: usize,
    ) -> PyResult<Vec<FollowUp>> {
        let state = ListedState::from_name(state)
            .ok_or_else(|| PyValueError::new_err("the state of a follow-up is pending, dead or sent"))?;
        Ok(wrap(py.detach(|| self.journal().list_followups(state, before, limit)).or_raise(py)?))
    }

    #[pyo3(signature = (limit, lease_ms, now_ms, max_bytes = 4 << 20))]
    fn claim_followups(
        &self,
        py: Python<'_>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
        max_bytes: u64,
    ) -> PyResult<Vec<FollowUp>> {
        let limits = Limits { records: limit, bytes: max_bytes };
        let lease = Duration::from_millis(lease_ms);
        Ok(wrap(py.detach(|| self.journal().claim_followups(limits, lease, Millis(now_ms))).or_raise(py)?))
    }

    fn followups_done(&self, py: Python<'_>, done: Vec<(FollowUpKey, u16)>, now_ms: u64) -> PyResult<()> {
        let done: Vec<_> = done.into_iter().map(|(key, status)| SentFollowUp { key, status }).collect();
        py.detach(|| self.journal().followups_done(&done, Millis(now_ms))).or_raise(py)
    }

    fn followups_failed(&self, py: Python<'_>, failed: Vec<FailedFollowUp>) -> PyResult<()> {
        let failed = failed.into_iter().map(|failed| {
            let FailedFollowUp { key, error, not_before, dead } = failed;
            Failed { key, error, not_before: Millis(not_before), dead }
        });
        let failed: Vec<_> = failed.collect();
        py.detach(|| self.journal().followups_failed(&failed)).or_raise(py)
    }

    fn release_followups(&self, py: Python<'_>, keys: Vec<FollowUpKey>) -> PyResult<()> {
        py.detach(|| self.journal().release_followups(&keys)).or_raise(py)
    }

    #[pyo3(signature = (*, record_id = None, request_id = None))]
    fn requeue_followups(&self, py: Python<'_>, record_id: Option<[u8; 16]>, request_id: Option<u64>) -> PyResult<u64> {
        let target = target(record_id, request_id)?;
        py.detach(|| self.journal().requeue_followups(target)).or_raise(py)
    }

    #[pyo3(signature = (*, record_id = None, request_id = None))]
    fn resend_followups(&self, py: Python<'_>, record_id: Option<[u8; 16]>, request_id: Option<u64>) -> PyResult<u64> {
        let target = one_target(record_id, request_id)?;
        py.detach(|| self.journal().resend_followups(target)).or_raise(py)
    }

    fn next_followup_due(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        Ok(py.detach(|| self.journal().next_followup_due()).or_raise(py)?.map(|due| due.0))
    }

    fn shift_followup_waits(&self, py: Python<'_>, before_ms: u64, after_ms: u64, longest_ms: u64) -> PyResult<u64> {
        let clock = ClockChange { before: Millis(before_ms), after: Millis(after_ms) };
        py.detach(|| self.journal().shift_followup_waits(clock, Duration::from_millis(longest_ms))).or_raise(py)
    }
}

fn target(record_id: Option<[u8; 16]>, request_id: Option<u64>) -> PyResult<Option<Target>> {
    match (record_id, request_id) {
        (Some(id), None) => Ok(Some(Target::Record(RecordId(id)))),
        (None, Some(id)) => Ok(Some(Target::Request(RequestId(id)))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(PyValueError::new_err("a follow-up is about a record or a request, not both")),
    }
}

fn one_target(record_id: Option<[u8; 16]>, request_id: Option<u64>) -> PyResult<Target> {
    target(record_id, request_id)?.ok_or_else(|| PyValueError::new_err("a follow-up needs a record or a request"))
}

fn wrap(followups: Vec<Stored>) -> Vec<FollowUp> {
    followups.into_iter().map(FollowUp).collect()
}
