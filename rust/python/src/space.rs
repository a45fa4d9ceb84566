//! Quotas and what compaction did, in Python's words.

use std::path::PathBuf;

use plsync_journal::{CompactReport, Policy, Quota};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::OrRaise;

pub(crate) fn describe<'py>(py: Python<'py>, quota: &Quota) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("max_bytes", quota.max_bytes)?;
    dict.set_item("max_age_ms", quota.max_age_ms)?;
    dict.set_item("policy", quota.policy.name())?;
    Ok(dict)
}

pub(crate) fn policy(name: &str) -> PyResult<Policy> {
    let found = Policy::ALL.into_iter().find(|policy| policy.name() == name);
    found.ok_or_else(|| PyValueError::new_err("a policy is keep-unsent or drop-oldest"))
}

pub(crate) fn report<'py>(py: Python<'py>, report: &CompactReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("before", report.before)?;
    dict.set_item("after", report.after)?;
    dict.set_item("pruned", report.pruned.acked)?;
    dict.set_item("dropped", report.pruned.unsent)?;
    Ok(dict)
}

/// Writes what can be read of a damaged journal into a new one.
#[pyfunction]
pub(crate) fn salvage(py: Python<'_>, source: PathBuf, target: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let report = py.detach(|| plsync_journal::salvage(&source, &target)).or_raise(py)?;
    let dict = PyDict::new(py);
    dict.set_item("records", report.records)?;
    dict.set_item("events", report.events)?;
    dict.set_item("acks", report.acks)?;
    dict.set_item("callbacks", report.callbacks)?;
    dict.set_item("followups", report.followups)?;
    dict.set_item("frames", report.frames)?;
    dict.set_item("damaged", report.damaged)?;
    dict.set_item("lost", report.lost)?;
    dict.set_item("losses", report.losses)?;
    Ok(dict)
}
