//! The two events of a call: what is kept of what `LangChain` says.

use std::time::{SystemTime, UNIX_EPOCH};

use plsync_journal::{Ended, Kind, RecordId};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Recorder;
use super::event::{self, Envelope, Value};
use super::flight::{Closing, Run};
use super::reading::kind_of;
use super::run_id::RunId;

/// What `LangChain` says at a start.
pub(super) struct Call<'a, 'py> {
    pub(super) kind: &'static str,
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

/// What it says at the end.
pub(super) struct Answer<'py> {
    pub(super) ended: Ended,
    pub(super) decision: bool,
    pub(super) flags: u8,
    pub(super) content: Content<'py>,
    pub(super) llm_output: Option<Bound<'py, PyAny>>,
    pub(super) error: Option<Bound<'py, PyAny>>,
}

/// The part of an event that differs between kinds of models, under its key.
type Content<'py> = (&'static str, Bound<'py, PyAny>);

impl Recorder {
    pub(super) fn start(&self, call: Call<'_, '_>) -> PyResult<()> {
        let py = call.run_id.py();
        let now = SystemTime::now();
        let run = Run::new(now, call.decision);
        let id = run.id;
        let run_id = RunId::read(call.run_id)?;
        let parent_run_id = call.parent_run_id.map(RunId::read).transpose()?;
        self.flight().open(run_id.0, run);

        // Of what is serialized only the class is kept: the rest holds header values and credentials in URLs.
        let class = call.serialized.cast::<PyDict>().ok().and_then(|fields| fields.get_item(intern!(py, "id")).ok()?);
        let fields = [
            ("v".into(), Value::Number(Some(1))),
            ("kind".into(), Value::Text(call.kind)),
            ("t".into(), Value::Number(Some(nanos(now)))),
            ("run_id".into(), Value::Run(Some(run_id))),
            ("parent_run_id".into(), Value::Run(parent_run_id)),
            ("class".into(), Value::Object(class)),
            ("name".into(), Value::Object(call.name.cloned())),
            (call.content.0.into(), Value::Object(Some(call.content.1))),
            ("params".into(), Value::Settings(call.params.cloned())),
            ("options".into(), Value::Object(call.options.cloned())),
            ("tags".into(), Value::Object(call.tags.cloned())),
            ("pl_tags".into(), Value::Object(Some(self.pl_tags.bind(py).clone().into_any()))),
            ("metadata".into(), Value::Settings(call.metadata.cloned())),
        ];
        let sink = self.sink.as_deref();
        let envelope =
            Envelope { kind: Kind::Start, ended: Ended::No, flags: 0, lane: 0, id, run_id, parent_run_id, sink };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }

    pub(super) fn finish<'py>(
        &self,
        answer: Answer<'py>,
        run_id: &Bound<'py, PyAny>,
        parent_run_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = run_id.py();
        let now = SystemTime::now();
        let run_id = RunId::read(run_id)?;
        let run = match self.flight().close(run_id.0, answer.decision) {
            Closing::Run(run) => Some(run),
            Closing::Again => return Ok(()),
            // Most chains are not LLM requests.
            Closing::Unknown if answer.decision => return Ok(()),
            Closing::Unknown => None,
        };
        let parent_run_id = parent_run_id.map(RunId::read).transpose()?;
        let pieces = run.as_ref().map_or(&[][..], Run::piece_times);

        let elapsed = run.as_ref().map(Run::elapsed_ns);
        let mut fields = Vec::with_capacity(11);
        fields.extend([
            ("v".into(), Value::Number(Some(1))),
            ("t".into(), Value::Number(Some(nanos(now)))),
            ("elapsed".into(), Value::Number(elapsed)),
        ]);
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
            lane: 0,
            id: run.as_ref().map_or_else(RecordId::new, |run| run.id),
            run_id,
            parent_run_id,
            sink: None,
        };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
