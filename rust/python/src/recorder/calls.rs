//! The calls of a recorder: each has a start event and an end event, made from the arguments of `LangChain`'s callbacks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use plsync_journal::facts::{EndFacts, Tokens};
use plsync_journal::{CallEnd, FrameKind, RecordId, Spool};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use super::answer::kind_of;
use super::event;
use super::facts::{self, Doubt};
use super::field::{Envelope, Field, Value};
use super::key::{OwnKey, key};
use super::open_runs::OpenRuns;
use super::run::{Arrival, Run, RunKind};
use super::run_id::{RunId, RunKey, unreadable};
use super::trees::{Joined, Place};
use super::warning::warn_once;
use crate::encode::class_path;

/// The arguments of a start callback.
pub(super) struct StartArguments<'a, 'py> {
    pub(super) kind: &'static str,
    /// The call is a chain that stands for an LLM request.
    pub(super) stands: RunKind,
    /// The argument that `LangChain` passes to every handler alike.
    pub(super) argument: &'a Bound<'py, PyAny>,
    pub(super) content: Content<'py>,
    /// Further prompts of the run. `LangChain` passes none.
    pub(super) more: Vec<Bound<'py, PyAny>>,
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
    pub(super) stands: RunKind,
    pub(super) flags: u8,
    pub(super) content: Content<'py>,
    /// The answers to further prompts of the run. `LangChain` passes none.
    pub(super) more: Vec<Bound<'py, PyAny>>,
    pub(super) llm_output: Option<Bound<'py, PyAny>>,
    pub(super) error: Option<Bound<'py, PyAny>>,
    /// The tokens, if the usage of the first candidate has both counts.
    pub(super) tokens: Option<Tokens>,
}

/// The field of an event that differs between kinds of models: its key and its value.
pub(super) type Content<'py> = (&'static OwnKey, Bound<'py, PyAny>);

impl<'py> EndArguments<'py> {
    pub(super) fn new(ended: CallEnd, content: Content<'py>) -> Self {
        Self {
            ended,
            stands: RunKind::Model,
            flags: 0,
            content,
            more: Vec::new(),
            llm_output: None,
            error: None,
            tokens: None,
        }
    }
}

/// The runs that a recorder records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Runs {
    /// Calls of models.
    Llm,
    /// Each run of a tree. Of chains, only the root has its input and output.
    Tree,
    /// Each run, with its input and output.
    All,
}

impl Runs {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "llm" => Some(Self::Llm),
            "tree" => Some(Self::Tree),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

/// The open calls, and the settings that their events share.
pub(super) struct Calls {
    pub(super) spool: Spool,
    pub(super) pl_tags: Py<PyList>,
    pub(super) sink: Option<String>,
    pub(super) redact: Option<Py<PyAny>>,
    pub(super) runs: Runs,
    /// Joins the parts of an answer: `python/plsync/recorder/arrived.py`.
    join: Option<Py<PyAny>>,
    /// Watches the run ids and tasks of open runs.
    pub(super) watcher: PyOnceLock<Py<PyAny>>,
    /// Locked for a few instructions at a time, with the GIL held and without running Python code.
    open_runs: Mutex<OpenRuns>,
}

impl Calls {
    pub(super) fn new(
        spool: Spool,
        pl_tags: Py<PyList>,
        sink: Option<String>,
        redact: Option<Py<PyAny>>,
        join: Option<Py<PyAny>>,
        runs: Runs,
    ) -> Self {
        Self { spool, pl_tags, sink, redact, runs, join, watcher: PyOnceLock::new(), open_runs: Mutex::default() }
    }

    pub(super) fn is_open(&self, run_id: &Bound<'_, PyAny>) -> bool {
        let key = self.key(run_id);
        self.open_runs().is_open(key.bits)
    }

    /// Adds a part of an answer that arrives.
    pub(super) fn add(&self, run_id: &Bound<'_, PyAny>, arrival: Arrival) {
        let key = self.key(run_id);
        let unused = self.open_runs().add(key.bits, arrival);
        drop(unused);
    }

    /// The key of a run id. The key of an open run is known.
    pub(super) fn key(&self, run_id: &Bound<'_, PyAny>) -> RunKey {
        let known = self.open_runs().watched.key(run_id.as_ptr() as usize);
        // Read without the lock: an id of an unknown class may run Python code.
        known.unwrap_or_else(|| RunKey::read(run_id))
    }

    pub(super) fn open_runs(&self) -> MutexGuard<'_, OpenRuns> {
        self.open_runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the start event of a call.
    pub(super) fn write_start(
        &self,
        call: &StartArguments<'_, '_>,
        key: RunKey,
        id: RecordId,
        now: SystemTime,
        joined: Option<Joined>,
    ) -> PyResult<()> {
        let py = call.run_id.py();
        let parent = call.parent_run_id.filter(|parent| !parent.is_none());
        let parent_run_id = parent.and_then(|parent| RunId::read(parent));
        // Of the serialized model only the class is kept: the rest holds header values and credentials in URLs.
        let class = call.serialized.cast::<PyDict>().ok().and_then(|fields| fields.get_item(intern!(py, "id")).ok()?);
        let mut fields = Vec::with_capacity(16);
        fields.extend([
            (key!("v").into(), Value::Number(Some(1))),
            (key!("kind").into(), Value::Text(call.kind)),
            (key!("t").into(), Value::Number(Some(nanos(now)))),
            (key!("run_id").into(), Value::Run(key.id)),
            (key!("parent_run_id").into(), Value::Run(parent_run_id)),
            (key!("class").into(), Value::Object(class)),
            (key!("name").into(), Value::Searched(call.name.cloned())),
            (call.content.0.into(), Value::Object(Some(call.content.1.clone()))),
            (key!("params").into(), Value::Settings(call.params.cloned())),
            (key!("options").into(), Value::Settings(call.options.cloned())),
            (key!("tags").into(), Value::Searched(call.tags.cloned())),
            (key!("pl_tags").into(), Value::Searched(Some(self.pl_tags.bind(py).clone().into_any()))),
            (key!("metadata").into(), Value::Searched(call.metadata.cloned())),
        ]);
        let place = push_place(&mut fields, joined);
        let envelope = Envelope {
            kind: FrameKind::Start,
            ended: CallEnd::No,
            flags: 0,
            id,
            run_id: key.id,
            parent_run_id,
            sink: self.sink.as_deref(),
            root: place.map(|place| place.root),
            lane: place.map(|place| place.lane),
            facts: None,
        };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)?;
        if key.id.is_none() {
            return Err(unreadable("run_id", call.run_id));
        }
        match parent {
            Some(parent) if parent_run_id.is_none() => Err(unreadable("parent_run_id", parent)),
            _ => Ok(()),
        }
    }

    /// Writes the end event of a call.
    pub(super) fn write_end<'py>(
        &self,
        py: Python<'py>,
        mut end: EndArguments<'py>,
        run: Option<&Run>,
        key: RunKey,
        parent_run_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let now = SystemTime::now();
        // LangChain passes no part of an answer on when a streamed call fails inside a plain one.
        if let Some(run) = run
            && end.ended != CallEnd::Ok
            && end.content.1.is_truthy().is_ok_and(|has_part| !has_part)
            && let Some(arrived) = self.arrived(py, run)
        {
            end.content.1 = arrived;
        }
        let parent_run_id = parent_run_id.and_then(|parent| RunId::read(parent));
        let arrivals = run.map_or(&[][..], Run::arrivals);
        let (elapsed, first_token) = (run.map(Run::elapsed_ns), arrivals.first().copied());
        // A redact hook may change the counts.
        let tokens = match end.tokens {
            tokens @ Some(_) if self.redact.is_none() => Ok(tokens),
            _ if self.redact.is_some() || end.stands == RunKind::Decision || run.is_none() => Err(Doubt),
            _ => facts::tokens(&end.content.1, end.llm_output.as_ref()),
        };
        let facts = tokens.ok().map(|tokens| EndFacts { duration_ns: elapsed, first_token_ns: first_token, tokens });
        let mut fields = Vec::with_capacity(11);
        fields.extend([
            (key!("v").into(), Value::Number(Some(1))),
            (key!("t").into(), Value::Number(Some(nanos(now)))),
            (key!("elapsed").into(), Value::Number(elapsed)),
        ]);
        if run.is_none() {
            fields.push((key!("kind").into(), Value::Text(kind_of(&end.content.1))));
            fields.push((key!("run_id").into(), Value::Run(key.id)));
            fields.push((key!("parent_run_id").into(), Value::Run(parent_run_id)));
        }
        fields.extend([
            (end.content.0.into(), Value::Object(Some(end.content.1))),
            (key!("llm_output").into(), Value::Metadata(end.llm_output)),
            (key!("error").into(), Value::Searched(end.error)),
            (key!("first_token").into(), Value::Number(first_token)),
            (key!("chunks").into(), Value::Times(arrivals)),
        ]);
        let envelope = Envelope {
            kind: FrameKind::End,
            ended: end.ended,
            flags: end.flags,
            id: run.map_or_else(RecordId::new, |run| run.id),
            run_id: key.id,
            parent_run_id,
            sink: None,
            root: run.and_then(|run| run.place).map(|place| place.root),
            lane: None,
            facts,
        };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }

    /// The part of an answer that arrived; None without one.
    fn arrived<'py>(&self, py: Python<'py>, run: &Run) -> Option<Bound<'py, PyAny>> {
        if run.pieces.is_empty() {
            return None;
        }
        let pieces = PyList::new(py, run.pieces.iter().map(|piece| piece.bind(py))).ok()?;
        self.join.as_ref()?.bind(py).call1((pieces,)).ok()
    }

    /// Runs `work`. An error or a panic of it is counted and does not reach the caller.
    pub(super) fn without_raising(&self, py: Python<'_>, work: impl FnOnce() -> PyResult<()>) {
        let reason = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                event::interrupt_again(py, &error);
                let class = class_path(&error.get_type(py));
                let text =
                    error.value(py).str().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
                format!("{class}: {text}")
            }
            Err(_) => "a panic in the recorder".to_owned(),
        };
        // A panic while a failure is counted can't be reported anywhere.
        let _ = catch_unwind(AssertUnwindSafe(|| self.note_failure(py, &reason)));
    }

    /// Counts an event that could not be recorded, and warns once.
    pub(super) fn note_failure(&self, py: Python<'_>, reason: &str) {
        py.detach(|| self.spool.note_failure(reason));
        warn_once(py, reason);
    }
}

/// Adds the fields of a record's place in its tree. Returns the place; `None` for a record that has no tree.
pub(super) fn push_place(fields: &mut Vec<Field<'_, '_>>, joined: Option<Joined>) -> Option<Place> {
    match joined? {
        Joined::Parent(place) => {
            fields.push((key!("root").into(), Value::Record(Some(place.root))));
            if place.parent != Some(place.root) {
                fields.push((key!("parent").into(), Value::Record(place.parent)));
            }
            Some(place)
        }
        Joined::Own { after } => {
            if after.is_some() {
                fields.push((key!("after").into(), Value::Record(after)));
            }
            None
        }
    }
}

/// Nanoseconds since the epoch.
pub(super) fn nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
