//! The recorder: what the callback handler calls on every event of a model.
//!
//! Nothing that goes wrong in here reaches the caller. It is counted where `plsync status` reads it, and shown once.

mod event;
mod flight;
mod labels;
mod reading;
mod run_id;
mod warning;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use plsync_journal::{Durability, Ended, Event, FLAG_CACHED, Kind, RecordId, Spool};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::encode::class_path;
use crate::errors::OrRaise;
use event::{Envelope, Value};
use flight::{Closing, Flight, Run};
use reading::{is_cached, kind_of, without_secrets};
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

    fn chat_start(
        &self,
        serialized: &Bound<'_, PyAny>,
        messages: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: &Bound<'_, PyAny>,
        tags: &Bound<'_, PyAny>,
        metadata: &Bound<'_, PyAny>,
        rest: &Bound<'_, PyDict>,
    ) {
        let py = run_id.py();
        let content = || {
            // One run has one list of messages.
            let only = messages.cast_exact::<PyList>().ok().filter(|lists| lists.len() == 1);
            let messages = only.map_or_else(|| Ok(messages.clone()), |lists| lists.get_item(0))?;
            Ok::<_, PyErr>(("messages", messages))
        };
        let call = Call { kind: "chat", decision: false, serialized, run_id, parent_run_id, tags, metadata, rest };
        self.guarded(py, || self.start(&call, content()?));
    }

    fn llm_start(
        &self,
        serialized: &Bound<'_, PyAny>,
        prompts: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: &Bound<'_, PyAny>,
        tags: &Bound<'_, PyAny>,
        metadata: &Bound<'_, PyAny>,
        rest: &Bound<'_, PyDict>,
    ) {
        let py = run_id.py();
        let call = Call { kind: "llm", decision: false, serialized, run_id, parent_run_id, tags, metadata, rest };
        self.guarded(py, || self.start(&call, ("prompts", prompts.clone())));
    }

    fn decision_start(
        &self,
        serialized: &Bound<'_, PyAny>,
        inputs: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: &Bound<'_, PyAny>,
        tags: &Bound<'_, PyAny>,
        metadata: &Bound<'_, PyAny>,
        rest: &Bound<'_, PyDict>,
    ) {
        let py = run_id.py();
        let call = Call { kind: "chat", decision: true, serialized, run_id, parent_run_id, tags, metadata, rest };
        self.guarded(py, || self.start(&call, ("inputs", inputs.clone())));
    }

    /// A token, or (`of_stream`) an event of the streaming protocol.
    fn piece(&self, run_id: &Bound<'_, PyAny>, of_stream: bool) {
        self.guarded(run_id.py(), || {
            // Read before the lock is taken: an id of a strange class may run Python code.
            let run_id = RunId::read(run_id)?;
            self.flight().piece(run_id.0, of_stream);
            Ok(())
        });
    }

    fn is_open(&self, run_id: &Bound<'_, PyAny>) -> bool {
        RunId::read(run_id).is_ok_and(|run_id| self.flight().is_open(run_id.0))
    }

    fn end(&self, response: &Bound<'_, PyAny>, run_id: &Bound<'_, PyAny>, parent_run_id: &Bound<'_, PyAny>) {
        let py = run_id.py();
        self.guarded(py, || {
            let generations = response.getattr(intern!(py, "generations"))?;
            // One run has one prompt, and a list of its candidates.
            let generations = match generations.cast_exact::<PyList>() {
                Ok(lists) if !lists.is_empty() => lists.get_item(0)?,
                _ => generations,
            };
            let answer = Answer {
                ended: Ended::Ok,
                decision: false,
                flags: if is_cached(&generations) { FLAG_CACHED } else { 0 },
                content: ("generations", generations),
                llm_output: response.getattr(intern!(py, "llm_output")).ok(),
                error: None,
            };
            self.finish(answer, run_id, parent_run_id)
        });
    }

    fn decision_end(&self, outputs: &Bound<'_, PyAny>, run_id: &Bound<'_, PyAny>, parent_run_id: &Bound<'_, PyAny>) {
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
        parent_run_id: &Bound<'_, PyAny>,
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

/// What `LangChain` says at a start.
struct Call<'a, 'py> {
    kind: &'static str,
    decision: bool,
    serialized: &'a Bound<'py, PyAny>,
    run_id: &'a Bound<'py, PyAny>,
    parent_run_id: &'a Bound<'py, PyAny>,
    tags: &'a Bound<'py, PyAny>,
    metadata: &'a Bound<'py, PyAny>,
    rest: &'a Bound<'py, PyDict>,
}

/// What it says at the end.
struct Answer<'py> {
    ended: Ended,
    decision: bool,
    flags: u8,
    content: Content<'py>,
    llm_output: Option<Bound<'py, PyAny>>,
    error: Option<Bound<'py, PyAny>>,
}

/// The part of an event that differs between kinds of models, under its key.
type Content<'py> = (&'static str, Bound<'py, PyAny>);

impl Recorder {
    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start<'py>(&self, call: &Call<'_, 'py>, content: Content<'py>) -> PyResult<()> {
        let py = call.run_id.py();
        let run = Run::new(call.decision);
        let now = wall_clock();
        let id = run.id;
        let run_id = RunId::read(call.run_id)?;
        let parent_run_id = RunId::read_optional(call.parent_run_id)?;
        self.flight().open(run_id.0, run);

        // Of what is serialized only the class is kept: the rest holds header values and credentials in URLs.
        let class = call.serialized.cast::<PyDict>().ok().and_then(|fields| fields.get_item(intern!(py, "id")).ok()?);
        let params = call.rest.get_item(intern!(py, "invocation_params"))?.map(without_secrets).transpose()?;
        let fields = vec![
            ("v".into(), Value::Number(Some(1))),
            ("kind".into(), Value::Text(call.kind)),
            ("t".into(), Value::Number(Some(now))),
            ("run_id".into(), Value::Run(Some(run_id))),
            ("parent_run_id".into(), Value::Run(parent_run_id)),
            ("class".into(), Value::Object(class)),
            ("name".into(), Value::Object(call.rest.get_item(intern!(py, "name"))?)),
            (content.0.into(), Value::Object(Some(content.1))),
            ("params".into(), Value::Object(params)),
            ("options".into(), Value::Object(call.rest.get_item(intern!(py, "options"))?)),
            ("tags".into(), Value::Object(Some(call.tags.clone()))),
            ("pl_tags".into(), Value::Object(Some(self.pl_tags.bind(py).clone().into_any()))),
            ("metadata".into(), Value::Object(Some(without_secrets(call.metadata.clone())?))),
        ];
        let sink = self.sink.as_deref();
        let envelope = Envelope { kind: Kind::Start, ended: Ended::No, flags: 0, id, run_id, parent_run_id, sink };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }

    fn finish<'py>(
        &self,
        answer: Answer<'py>,
        run_id: &Bound<'py, PyAny>,
        parent_run_id: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = run_id.py();
        let now = wall_clock();
        let run_id = RunId::read(run_id)?;
        let run = match self.flight().close(run_id.0, answer.decision) {
            Closing::Run(run) => Some(run),
            Closing::Again => return Ok(()),
            // Most chains are not LLM requests.
            Closing::Unknown if answer.decision => return Ok(()),
            Closing::Unknown => None,
        };
        let parent_run_id = RunId::read_optional(parent_run_id)?;
        let pieces = run.as_ref().map_or(&[][..], Run::piece_times);

        let elapsed = run.as_ref().map(Run::elapsed_ns);
        let mut fields = vec![
            ("v".into(), Value::Number(Some(1))),
            ("t".into(), Value::Number(Some(now))),
            ("elapsed".into(), Value::Number(elapsed)),
        ];
        if run.is_none() {
            fields.push(("kind".into(), Value::Text(kind_of(&answer.content.1))));
            fields.push(("run_id".into(), Value::Run(Some(run_id))));
            fields.push(("parent_run_id".into(), Value::Run(parent_run_id)));
        }
        fields.extend([
            (answer.content.0.into(), Value::Object(Some(answer.content.1))),
            ("llm_output".into(), Value::Object(answer.llm_output)),
            ("error".into(), Value::Object(answer.error)),
            ("first_token".into(), Value::Number(pieces.first().copied())),
            ("chunks".into(), Value::Micros(pieces)),
        ]);
        let envelope = Envelope {
            kind: Kind::End,
            ended: answer.ended,
            flags: answer.flags,
            id: run.as_ref().map_or_else(RecordId::new, |run| run.id),
            run_id,
            parent_run_id,
            sink: None,
        };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
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

fn wall_clock() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
