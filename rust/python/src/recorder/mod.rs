//! The recorder: what the callback handler calls on every event of a model.
//!
//! Nothing that goes wrong in here reaches the caller. It is counted where `plsync status` reads it, and shown once.

mod call;
mod callbacks;
mod event;
mod flight;
mod labels;
mod lane;
mod reading;
mod run_id;
mod warning;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plsync_journal::{Durability, Ended, Event, Kind, RecordId, Spool};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::encode::class_path;
use crate::errors::OrRaise;
use call::{Answer, Call};
pub(crate) use callbacks::Callbacks;
use flight::Flight;
use run_id::RunId;
use warning::warn_once;

/// Writes events of one process into its spool segments.
#[pyclass(frozen, module = "plsync._native")]
pub(crate) struct Recorder {
    spool: Spool,
    pl_tags: Py<PyList>,
    sink: Option<String>,
    redact: Option<Py<PyAny>>,
    /// Locked for a few instructions at a time, with the GIL held and without running Python code.
    flight: Mutex<Flight>,
}

#[pymethods]
impl Recorder {
    #[new]
    #[pyo3(signature = (path, durability = "process", *, pl_tags = Vec::new(), sink = None, redact = None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        durability: &str,
        pl_tags: Vec<String>,
        sink: Option<String>,
        redact: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let durability = match durability {
            "process" => Durability::Process,
            "power" => Durability::Power,
            other => {
                let message = format!("durability is \"process\" or \"power\", not {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let spool = Spool::open(&path, durability).or_raise(py)?;
        let pl_tags = PyList::new(py, pl_tags)?.unbind();
        Ok(Self { spool, pl_tags, sink, redact, flight: Mutex::default() })
    }

    /// A chain begins that stands for a request to a model; `rest` holds what `LangChain` says besides.
    fn decision_start(
        &self,
        serialized: &Bound<'_, PyAny>,
        inputs: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
        rest: &Bound<'_, PyDict>,
    ) {
        let py = run_id.py();
        self.guarded(py, || {
            let told = |name| rest.get_item(name);
            let (params, options, name) =
                (told(intern!(py, "invocation_params"))?, told(intern!(py, "options"))?, told(intern!(py, "name"))?);
            self.start(Call {
                kind: "chat",
                decision: true,
                content: ("inputs", inputs.clone()),
                serialized,
                run_id,
                parent_run_id,
                tags,
                metadata,
                params: params.as_ref(),
                options: options.as_ref(),
                name: name.as_ref(),
            })
        });
    }

    fn is_open(&self, run_id: &Bound<'_, PyAny>) -> bool {
        RunId::read(run_id).is_ok_and(|run_id| self.flight().is_open(run_id.0))
    }

    /// Ignored unless a decision model's run is open under this id.
    fn decision_end(
        &self,
        outputs: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Option<&Bound<'_, PyAny>>,
    ) {
        let py = run_id.py();
        self.guarded(py, || {
            let answer = Answer {
                ended: Ended::Ok,
                decision: true,
                flags: 0,
                content: ("outputs", outputs.clone()),
                llm_output: None,
                error: None,
            };
            self.finish(answer, run_id, parent_run_id)
        });
    }

    /// `ended` is an `END_*` constant, `error` a dict, `generations` what had arrived.
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
        self.guarded(py, || {
            let answer = Answer {
                ended: Ended::from_u8(ended).unwrap_or(Ended::Error),
                decision,
                flags: 0,
                content: ("generations", generations.clone()),
                llm_output: None,
                error: Some(error.clone()),
            };
            self.finish(answer, run_id, parent_run_id)
        });
    }

    /// Counts an event that could not be recorded, and warns once.
    fn note_failure(&self, py: Python<'_>, reason: &str) {
        py.detach(|| self.spool.note_failure(reason));
        warn_once(py, reason);
    }

    #[pyo3(signature = (payload, *, record_id = None))]
    fn append<'py>(
        &self,
        py: Python<'py>,
        payload: &[u8],
        record_id: Option<[u8; 16]>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let id = record_id.map_or_else(RecordId::new, RecordId);
        let event = Event { kind: Kind::Raw, ended: Ended::No, flags: 0, lane: 0, id, labels: &[], body: payload };
        py.detach(|| self.spool.append(&event)).or_raise(py)?;
        Ok(PyBytes::new(py, &id.0))
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.spool.flush()).or_raise(py)
    }

    #[getter]
    fn writer_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let id = py.detach(|| self.spool.writer_id()).or_raise(py)?;
        Ok(PyBytes::new(py, &id.0))
    }

    #[getter]
    fn failures(&self) -> u64 {
        self.spool.failures()
    }
}

impl Recorder {
    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` so that no error and no panic of it reaches the caller.
    fn guarded(&self, py: Python<'_>, work: impl FnOnce() -> PyResult<()>) {
        let reason = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                let class = class_path(&error.get_type(py));
                let text =
                    error.value(py).str().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
                format!("{class}: {text}")
            }
            Err(_) => "a panic in the recorder".to_owned(),
        };
        // What fails here fails in the counting of a failure: there is nowhere left to report it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.note_failure(py, &reason)));
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
            let path = directory.path().join("journal");
            let recorder = Recorder::new(py, path, "process", Vec::new(), None, None).unwrap();
            recorder.guarded(py, || Err(PyValueError::new_err("an error")));
            recorder.guarded(py, || panic!("a panic"));
            assert_eq!(recorder.failures(), 2);
            recorder.guarded(py, || Ok(()));
            assert_eq!(recorder.failures(), 2);
        });
    }
}
