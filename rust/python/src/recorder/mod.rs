//! The recorder: writes the events that `LangChain` reports to the handler.
//!
//! A failure in the recorder never reaches the model call. The recorder counts the failure for `plsync status`, and warns once.

mod answer;
mod asyncio;
mod call;
mod callbacks;
mod calls;
mod event;
mod facts;
mod field;
mod given_up;
mod key;
mod labelled;
mod labels;
mod models;
mod open_runs;
mod run;
mod run_id;
mod step_callbacks;
mod step_end;
mod steps;
mod tasks;
mod tokens;
mod trees;
mod twins;
mod warning;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;

use plsync_journal::{CallEnd, Durability, Event, FrameKind, Head, RecordId, Spool};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::errors::OrRaise;
use crate::handover;
pub(crate) use callbacks::LangChainCallbacks;
use calls::{Calls, EndArguments, Runs};
use key::key;
pub(crate) use models::short_model;
use run::RunKind;
pub(crate) use step_callbacks::StepCallbacks;
use step_end::StepEnd;

/// Writes events of one process into its spool segments.
#[pyclass(frozen, module = "plsync._native")]
pub(crate) struct Recorder {
    calls: Arc<Calls>,
}

#[pymethods]
impl Recorder {
    #[new]
    #[pyo3(signature = (path, durability = "process", *, pl_tags = Vec::new(), sink = None, redact = None, join = None,
                        runs = "llm"))]
    #[allow(clippy::too_many_arguments)] // the handler's settings
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        durability: &str,
        pl_tags: Vec<Py<PyAny>>,
        sink: Option<String>,
        redact: Option<Py<PyAny>>,
        join: Option<Py<PyAny>>,
        runs: &str,
    ) -> PyResult<Self> {
        handover::require(py)?;
        let durability = match durability {
            "process" => Durability::Process,
            "power" => Durability::Power,
            other => {
                let message = format!("durability is \"process\" or \"power\", not {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let spool = match path {
            Some(path) => Spool::open(&path, durability).or_raise(py)?,
            None => Spool::nowhere(durability),
        };
        let pl_tags = PyList::new(py, pl_tags)?.unbind();
        let runs = Runs::from_name(runs)
            .ok_or_else(|| PyValueError::new_err(format!("runs is \"tree\", \"llm\" or \"all\", not {runs:?}")))?;
        let calls = Arc::new(Calls::new(spool, pl_tags, sink, redact, join, runs));
        given_up::watch_exit(py, &calls)?;
        Ok(Self { calls })
    }

    fn is_open(&self, run_id: &Bound<'_, PyAny>) -> bool {
        self.calls.is_open(run_id)
    }

    /// Records the end of a chain, a tool or a retriever that failed. `ended` is an `END_*` constant, and `error` the description of an error.
    fn step_end(
        &self,
        ended: u8,
        output: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyAny>>,
        run_id: &Bound<'_, PyAny>,
        input: Option<&Bound<'_, PyAny>>,
    ) {
        let ended = CallEnd::from_u8(ended).unwrap_or(CallEnd::Error);
        let end = StepEnd { ended, flags: 0, input, output, error };
        self.calls.without_raising(run_id.py(), || self.calls.finish_step(end, run_id).map(drop));
    }

    /// Records the end of a failed call. `ended` is an `END_*` constant, `generations` the part of the answer that had arrived.
    fn fail(
        &self,
        ended: u8,
        error: &Bound<'_, PyAny>,
        generations: &Bound<'_, PyAny>,
        decision: bool,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Option<&Bound<'_, PyAny>>,
    ) {
        let py = run_id.py();
        self.calls.without_raising(py, || {
            let ended = CallEnd::from_u8(ended).unwrap_or(CallEnd::Error);
            let content = (key!("generations"), generations.clone());
            let stands = if decision { RunKind::Decision } else { RunKind::Model };
            let end = EndArguments { stands, error: Some(error.clone()), ..EndArguments::new(ended, content) };
            self.calls.finish(end, run_id, parent_run_id)
        });
    }

    /// Notes that an open run, a graph, waits for a person. It will end well.
    fn note_wait(&self, run_id: &Bound<'_, PyAny>) {
        self.calls.without_raising(run_id.py(), || {
            self.calls.note_wait(run_id);
            Ok(())
        });
    }

    /// Counts an event that could not be recorded, and warns once.
    fn note_failure(&self, py: Python<'_>, reason: &str) {
        self.calls.note_failure(py, reason);
    }

    #[pyo3(signature = (payload, *, record_id = None))]
    fn append<'py>(
        &self,
        py: Python<'py>,
        payload: &[u8],
        record_id: Option<[u8; 16]>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let id = record_id.map_or_else(RecordId::new, RecordId);
        let event = Event { head: Head::new(FrameKind::Raw, id), labels: &[], body: payload };
        py.detach(|| self.calls.spool.append(&event)).or_raise(py)?;
        Ok(PyBytes::new(py, &id.0))
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.calls.spool.flush()).or_raise(py)
    }

    #[getter]
    fn writer_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let id = py.detach(|| self.calls.spool.writer_id()).or_raise(py)?;
        Ok(PyBytes::new(py, &id.0))
    }

    #[getter]
    fn failures(&self) -> u64 {
        self.calls.spool.failures()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.calls.linger();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_an_error_nor_a_panic_reaches_the_caller() {
        Python::initialize();
        let directory = tempfile::tempdir().unwrap();
        Python::attach(|py| {
            handover::stand_in(py);
            let path = directory.path().join("journal");
            let recorder = Recorder::new(py, Some(path), "process", Vec::new(), None, None, None, "tree").unwrap();
            recorder.calls.without_raising(py, || Err(PyValueError::new_err("an error")));
            recorder.calls.without_raising(py, || panic!("a panic"));
            assert_eq!(recorder.failures(), 2);
            recorder.calls.without_raising(py, || Ok(()));
            assert_eq!(recorder.failures(), 2);
        });
    }
}
