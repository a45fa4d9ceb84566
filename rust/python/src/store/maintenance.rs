//! `Store`: the journal as a whole. Ingest, statistics, quota, compaction, check, and the salvage of a damaged journal.

use std::io::ErrorKind;
use std::path::PathBuf;

use plsync_journal::{CompactReport, Error, Policy, Quota, State};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::Store;
use crate::errors::OrRaise;

#[pymethods]
impl Store {
    #[pyo3(signature = (*, wait = false))]
    fn ingest<'py>(&self, py: Python<'py>, wait: bool) -> PyResult<Bound<'py, PyDict>> {
        let report = patiently(py, || self.journal().ingest(wait))?;
        let dict = PyDict::new(py);
        dict.set_item("ran", report.ran)?;
        dict.set_item("frames", report.frames)?;
        dict.set_item("records", report.records)?;
        dict.set_item("duplicates", report.duplicates)?;
        dict.set_item("abandoned", report.abandoned)?;
        dict.set_item("segments_removed", report.segments_removed)?;
        let damage = PyList::empty(py);
        for item in report.damage {
            let entry = PyDict::new(py);
            entry.set_item("segment", item.segment)?;
            entry.set_item("offset", item.offset)?;
            entry.set_item("len", item.len)?;
            entry.set_item("reason", item.reason)?;
            damage.append(entry)?;
        }
        dict.set_item("damage", damage)?;
        Ok(dict)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.journal().stats()).or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item("format", plsync_journal::FORMAT)?;
        dict.set_item("journal_id", stats.journal_id)?;
        dict.set_item("records", stats.records)?;
        dict.set_item("open", stats.open)?;
        let by_state = PyDict::new(py);
        for (state, count) in State::ALL.into_iter().zip(stats.states) {
            by_state.set_item(state.name(), count)?;
        }
        dict.set_item("states", by_state)?;
        dict.set_item("opaque", stats.opaque)?;
        dict.set_item("callbacks", stats.callbacks)?;
        dict.set_item("callbacks_dead", stats.callbacks_dead)?;
        dict.set_item("callback_error", stats.callback_error)?;
        dict.set_item("followups", stats.followups)?;
        dict.set_item("followups_stranded", stats.followups_stranded)?;
        dict.set_item("followups_dead", stats.followups_dead)?;
        dict.set_item("followup_error", stats.followup_error)?;
        let spool = PyDict::new(py);
        spool.set_item("segments", stats.segments)?;
        spool.set_item("bytes", stats.spool_bytes)?;
        dict.set_item("spool", spool)?;
        dict.set_item("lmdb_bytes", stats.lmdb_bytes)?;
        dict.set_item("used_bytes", stats.used_bytes)?;
        dict.set_item("raw_bytes", stats.raw_bytes)?;
        dict.set_item("stored_bytes", stats.stored_bytes)?;
        dict.set_item("failures", stats.failures)?;
        dict.set_item("last_failure", stats.last_failure)?;
        dict.set_item("pruned", stats.pruned)?;
        dict.set_item("dropped", stats.dropped)?;
        dict.set_item("quota", describe(py, &stats.quota)?)?;
        dict.set_item("damaged", stats.damaged)?;
        dict.set_item("damage", stats.damage)?;
        let writers = PyList::empty(py);
        for writer in stats.writers {
            let entry = PyDict::new(py);
            entry.set_item("writer", writer.id.hex())?;
            entry.set_item("pid", writer.pid)?;
            entry.set_item("started_ms", writer.started_ms)?;
            entry.set_item("alive", writer.alive)?;
            entry.set_item("failures", writer.failures)?;
            entry.set_item("events", writer.events)?;
            writers.append(entry)?;
        }
        dict.set_item("writers", writers)?;
        dict.set_item("oldest_unsent", stats.oldest_unsent)?;
        Ok(dict)
    }

    fn quota<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        describe(py, &py.detach(|| self.journal().quota()).or_raise(py)?)
    }

    fn set_quota(&self, py: Python<'_>, max_bytes: Option<u64>, max_age_ms: Option<u64>, policy: &str) -> PyResult<()> {
        let quota = Quota { max_bytes, max_age_ms, policy: policy_named(policy)? };
        py.detach(|| self.journal().set_quota(&quota)).or_raise(py)
    }

    fn compact<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        compact_report(py, &patiently(py, || self.journal().compact())?)
    }

    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = py.detach(|| self.journal().check()).or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item("frames", report.frames)?;
        dict.set_item("records", report.records)?;
        dict.set_item("events", report.events)?;
        let problems = PyList::empty(py);
        for problem in report.problems {
            let entry = PyDict::new(py);
            entry.set_item("where", problem.place)?;
            entry.set_item("what", problem.what)?;
            entry.set_item("kept", problem.kept)?;
            problems.append(entry)?;
        }
        dict.set_item("problems", problems)?;
        Ok(dict)
    }
}

/// Does what waits for another process, again when a signal came in between: its handler may raise, as Ctrl-C's does, or not.
fn patiently<T: Send>(py: Python<'_>, work: impl Fn() -> Result<T, Error> + Sync) -> PyResult<T> {
    loop {
        match py.detach(&work) {
            Err(error) if error.io_cause().is_some_and(|cause| cause.kind() == ErrorKind::Interrupted) => {
                py.check_signals()?;
            }
            result => return result.or_raise(py),
        }
    }
}

fn describe<'py>(py: Python<'py>, quota: &Quota) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("max_bytes", quota.max_bytes)?;
    dict.set_item("max_age_ms", quota.max_age_ms)?;
    dict.set_item("policy", quota.policy.name())?;
    Ok(dict)
}

fn policy_named(name: &str) -> PyResult<Policy> {
    let found = Policy::ALL.into_iter().find(|policy| policy.name() == name);
    found.ok_or_else(|| PyValueError::new_err("a policy is keep-unsent or drop-oldest"))
}

fn compact_report<'py>(py: Python<'py>, report: &CompactReport) -> PyResult<Bound<'py, PyDict>> {
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
