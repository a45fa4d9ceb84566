//! The calls of a recorder: each has a start event and an end event, made from the arguments of `LangChain`'s callbacks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use plsync_journal::{CallEnd, FrameKind, RecordId, Spool};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::answer::kind_of;
use super::event;
use super::field::{Envelope, Value};
use super::open_runs::{Arrival, Closing, OpenRuns, Run};
use super::run_id::RunId;

/// The arguments of a start callback.
pub(super) struct StartArguments<'a, 'py> {
    pub(super) kind: &'static str,
    /// The call is a chain that stands for an LLM request.
    pub(super) decision: bool,
    pub(super) content: Content<'py>,
    pub(super) serialized: &'a Bound<'py, PyAny>,
    pub(super) run_id: &'a Bound<'py, PyAny>,
    pub(super) parent_run_id: Option<&'a Bound<'py, PyAny>>,
    pub(super) tags: Option<&'a Bound<'py, PyAny>>,
    pub(super) metadata: Option<&'a Bound<'py, PyAny>>,
    pub(super) params: Option<&'a Bound<'py, PyAny>>,
    pub(super) options: Option<&'a Bound<'py, PyAny>>,
    pub(super) name: Option<&'a Bound<'py, PyAny>>,
}

/// The arguments of an end or error callback.
pub(super) struct EndArguments<'py> {
    pub(super) ended: CallEnd,
    pub(super) decision: bool,
    pub(super) flags: u8,
    pub(super) content: Content<'py>,
    pub(super) llm_output: Option<Bound<'py, PyAny>>,
    pub(super) error: Option<Bound<'py, PyAny>>,
}

/// The field of an event that differs between kinds of models: its key and its value.
pub(super) type Content<'py> = (&'static str, Bound<'py, PyAny>);

impl<'py> EndArguments<'py> {
    pub(super) fn new(ended: CallEnd, content: Content<'py>) -> Self {
        Self { ended, decision: false, flags: 0, content, llm_output: None, error: None }
    }
}

/// The open calls, and the settings that their events share.
pub(super) struct Calls {
    pub(super) spool: Spool,
    pl_tags: Py<PyList>,
    sink: Option<String>,
    redact: Option<Py<PyAny>>,
    /// Locked for a few instructions at a time, with the GIL held and without running Python code.
    open_runs: Mutex<OpenRuns>,
}

impl Calls {
    pub(super) fn new(spool: Spool, pl_tags: Py<PyList>, sink: Option<String>, redact: Option<Py<PyAny>>) -> Self {
        Self { spool, pl_tags, sink, redact, open_runs: Mutex::default() }
    }

    pub(super) fn is_open(&self, run_id: &Bound<'_, PyAny>) -> bool {
        RunId::read(run_id).is_ok_and(|run_id| self.open_runs().is_open(run_id.0))
    }

    /// Notes the time at which a part of the answer arrives.
    pub(super) fn add_arrival(&self, run_id: &Bound<'_, PyAny>, arrival: Arrival) -> PyResult<()> {
        // Read before the lock is taken: an id of an unknown class may run Python code.
        let run_id = RunId::read(run_id)?;
        self.open_runs().add_arrival(run_id.0, arrival);
        Ok(())
    }

    fn open_runs(&self) -> MutexGuard<'_, OpenRuns> {
        self.open_runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a run and writes its start event.
    pub(super) fn start(&self, call: StartArguments<'_, '_>) -> PyResult<()> {
        let py = call.run_id.py();
        let now = SystemTime::now();
        let run = Run::new(now, call.decision);
        let id = run.id;
        let run_id = RunId::read(call.run_id)?;
        let parent_run_id = call.parent_run_id.map(RunId::read).transpose()?;
        self.open_runs().open(run_id.0, run);

        // Of the serialized model only the class is kept: the rest holds header values and credentials in URLs.
        let class = call.serialized.cast::<PyDict>().ok().and_then(|fields| fields.get_item(intern!(py, "id")).ok()?);
        let fields = [
            ("v".into(), Value::Number(Some(1))),
            ("kind".into(), Value::Text(call.kind)),
            ("t".into(), Value::Number(Some(nanos(now)))),
            ("run_id".into(), Value::Run(Some(run_id))),
            ("parent_run_id".into(), Value::Run(parent_run_id)),
            ("class".into(), Value::Object(class)),
            ("name".into(), Value::Searched(call.name.cloned())),
            (call.content.0.into(), Value::Object(Some(call.content.1))),
            ("params".into(), Value::Settings(call.params.cloned())),
            ("options".into(), Value::Settings(call.options.cloned())),
            ("tags".into(), Value::Searched(call.tags.cloned())),
            ("pl_tags".into(), Value::Searched(Some(self.pl_tags.bind(py).clone().into_any()))),
            ("metadata".into(), Value::Searched(call.metadata.cloned())),
        ];
        let sink = self.sink.as_deref();
        let envelope =
            Envelope { kind: FrameKind::Start, ended: CallEnd::No, flags: 0, id, run_id, parent_run_id, sink };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }

    /// Closes a run and writes its end event. A second end of a run is ignored.
    pub(super) fn finish<'py>(
        &self,
        end: EndArguments<'py>,
        run_id: &Bound<'py, PyAny>,
        parent_run_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = run_id.py();
        let now = SystemTime::now();
        let run_id = RunId::read(run_id)?;
        let run = match self.open_runs().close(run_id.0, end.decision) {
            Closing::Run(run) => Some(run),
            Closing::AlreadyClosed => return Ok(()),
            // Most chains are not LLM requests.
            Closing::Unknown if end.decision => return Ok(()),
            Closing::Unknown => None,
        };
        let parent_run_id = parent_run_id.map(RunId::read).transpose()?;
        let arrivals = run.as_ref().map_or(&[][..], Run::arrivals);

        let elapsed = run.as_ref().map(Run::elapsed_ns);
        let mut fields = Vec::with_capacity(11);
        fields.extend([
            ("v".into(), Value::Number(Some(1))),
            ("t".into(), Value::Number(Some(nanos(now)))),
            ("elapsed".into(), Value::Number(elapsed)),
        ]);
        if run.is_none() {
            fields.push(("kind".into(), Value::Text(kind_of(&end.content.1))));
            fields.push(("run_id".into(), Value::Run(Some(run_id))));
            fields.push(("parent_run_id".into(), Value::Run(parent_run_id)));
        }
        fields.extend([
            (end.content.0.into(), Value::Object(Some(end.content.1))),
            ("llm_output".into(), Value::Object(end.llm_output)),
            ("error".into(), Value::Searched(end.error)),
            ("first_token".into(), Value::Number(arrivals.first().copied())),
            ("chunks".into(), Value::Times(arrivals)),
        ]);
        let envelope = Envelope {
            kind: FrameKind::End,
            ended: end.ended,
            flags: end.flags,
            id: run.as_ref().map_or_else(RecordId::new, |run| run.id),
            run_id,
            parent_run_id,
            sink: None,
        };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }
}

/// Nanoseconds since the epoch.
fn nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
