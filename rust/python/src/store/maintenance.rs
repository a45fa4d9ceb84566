//! `Store`: the journal as a whole. Ingest, statistics, quota, compaction, check, and the salvage of a damaged journal.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use plsync_journal::{Error, Quota, QuotaPolicy, RecordId, RequestId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Store;
use super::report::Report;
use crate::errors::OrRaise;
use crate::handover;

#[pymethods]
impl Store {
    #[pyo3(signature = (*, wait = false, largest = None))]
    fn ingest<'py>(&self, py: Python<'py>, wait: bool, largest: Option<usize>) -> PyResult<Bound<'py, PyDict>> {
        until_uninterrupted(py, || self.journal().ingest_up_to(wait, largest.unwrap_or(usize::MAX)))?.to_dict(py)
    }

    #[getter]
    fn read_only(&self) -> bool {
        self.journal().is_read_only()
    }

    fn waiting_events(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.journal().waiting_events()).or_raise(py)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        py.detach(|| self.journal().stats()).or_raise(py)?.to_dict(py)
    }

    fn quota<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        py.detach(|| self.journal().quota()).or_raise(py)?.to_dict(py)
    }

    fn set_quota(&self, py: Python<'_>, max_bytes: Option<u64>, max_age_ms: Option<u64>, policy: &str) -> PyResult<()> {
        let max_age = max_age_ms.map(Duration::from_millis);
        let quota = Quota { max_bytes, max_age, policy: policy_named(policy)? };
        py.detach(|| self.journal().set_quota(&quota)).or_raise(py)
    }

    fn compact<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        until_uninterrupted(py, || self.journal().compact())?.to_dict(py)
    }

    fn backup<'py>(&self, py: Python<'py>, target: PathBuf) -> PyResult<Bound<'py, PyDict>> {
        until_uninterrupted(py, || self.journal().backup(&target))?.to_dict(py)
    }

    fn forget<'py>(
        &self,
        py: Python<'py>,
        record_ids: Vec<[u8; 16]>,
        request_ids: Vec<u64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let records: Vec<_> = record_ids.into_iter().map(RecordId).collect();
        let requests: Vec<_> = request_ids.into_iter().map(RequestId).collect();
        until_uninterrupted(py, || self.journal().forget(&records, &requests))?.to_dict(py)
    }

    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        py.detach(|| self.journal().check()).or_raise(py)?.to_dict(py)
    }
}

/// Writes all readable records of a damaged journal into a new one.
#[pyfunction]
pub(crate) fn salvage(py: Python<'_>, source: PathBuf, target: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    handover::require(py)?;
    py.detach(|| plsync_journal::salvage(&source, &target)).or_raise(py)?.to_dict(py)
}

/// Shares a journal with a group, by its number, or makes it private.
#[pyfunction]
#[pyo3(signature = (path, group))]
pub(crate) fn share(py: Python<'_>, path: PathBuf, group: Option<u32>) -> PyResult<Bound<'_, PyDict>> {
    handover::require(py)?;
    py.detach(|| plsync_journal::share(&path, group)).or_raise(py)?.to_dict(py)
}

fn policy_named(name: &str) -> PyResult<QuotaPolicy> {
    let found = QuotaPolicy::ALL.into_iter().find(|policy| policy.name() == name);
    found.ok_or_else(|| {
        PyValueError::new_err(format!(
            "a policy is {}, not {name}",
            QuotaPolicy::ALL.map(QuotaPolicy::name).join(" or ")
        ))
    })
}

/// Repeats work that waits for another process until no signal interrupts it. A signal handler may raise, as for Ctrl-C; that ends
/// the work.
fn until_uninterrupted<T: Send>(py: Python<'_>, work: impl Fn() -> Result<T, Error> + Sync) -> PyResult<T> {
    loop {
        match py.detach(&work) {
            Err(error) if error.io_cause().is_some_and(|cause| cause.kind() == ErrorKind::Interrupted) => {
                py.check_signals()?;
            }
            result => return result.or_raise(py),
        }
    }
}
