//! Steps: the runs of a tree that are not calls, which are chains, tools and retrievers.
//!
//! The messages of a model are in the record of its call. So a step has its input and output only when they exist nowhere else: as a
//! tool, as a retriever, or as the root.

use std::hash::Hasher;
use std::sync::Arc;
use std::time::SystemTime;

use plsync_journal::{CallEnd, FrameKind, RecordId};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};

use super::asyncio::current_task;
use super::calls::{Calls, Runs, nanos, push_place};
use super::event;
use super::field::{Envelope, Value};
use super::given_up::Reason;
use super::key::key;
use super::labels::tree_lane;
use super::open_runs::Closing;
use super::run::{Run, RunKind};
use super::run_id::{RunId, RunKey};
use super::step_end::StepEnd;
use super::trees::{Joined, Place};
use super::twins::Twin;
use crate::id_map::IdHasher;

/// A tag of chains that `LangChain` and `LangGraph` use inside. They are no step of the program.
const HIDDEN: &str = "langsmith:hidden";

/// Stands for the graph itself among the graphs that a run waits for.
const OF_ITSELF: u64 = 0;

/// The arguments of a start callback.
pub(super) struct StepStart<'a, 'py> {
    /// `chain`, `prompt`, `parser`, `tool` or `retriever`.
    pub(super) kind: &'a str,
    pub(super) input: &'a Bound<'py, PyAny>,
    pub(super) name: Option<&'a Bound<'py, PyAny>>,
    pub(super) run_id: &'a Bound<'py, PyAny>,
    pub(super) parent_run_id: Option<&'a Bound<'py, PyAny>>,
    pub(super) tags: Option<&'a Bound<'py, PyAny>>,
    pub(super) metadata: Option<&'a Bound<'py, PyAny>>,
    pub(super) tool_call_id: Option<&'a Bound<'py, PyAny>>,
}

impl StepStart<'_, '_> {
    /// Whether the content of the step exists nowhere else.
    fn has_own_content(&self) -> bool {
        matches!(self.kind, "tool" | "retriever")
    }

    fn is_hidden(&self) -> bool {
        let tags = self.tags.and_then(|tags| tags.cast_exact::<PyList>().ok());
        let is_hidden = |tag: &Bound<'_, PyAny>| tag.cast::<PyString>().is_ok_and(|tag| tag == HIDDEN);
        tags.is_some_and(|tags| tags.iter().any(|tag| is_hidden(&tag)))
    }
}

impl Calls {
    /// The key of a run's parent. A program that passes callbacks on by itself loses the parent, but not the checkpoint namespace.
    fn parent_of(&self, parent_run_id: Option<&Bound<'_, PyAny>>, metadata: Option<&Bound<'_, PyAny>>) -> Option<u128> {
        match parent_run_id.filter(|parent| !parent.is_none()) {
            Some(parent) => Some(self.key(parent).bits),
            None if self.open_runs().trees.has_nodes() => {
                let namespace = namespace_of(metadata)?;
                self.open_runs().trees.node(namespace)
            }
            None => None,
        }
    }

    /// The tree that a call joins. `None` when this recorder records calls alone, and for a call without a parent.
    pub(super) fn joined(
        &self,
        parent_run_id: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> Option<Joined> {
        if self.runs == Runs::Llm {
            return None;
        }
        let parent = self.parent_of(parent_run_id, metadata)?;
        Some(self.open_runs().join(parent))
    }

    /// Opens a step and writes its start event.
    pub(super) fn start_step(self: &Arc<Self>, step: &StepStart<'_, '_>) -> PyResult<()> {
        let py = step.run_id.py();
        let key = RunKey::read(step.run_id);
        let parent = self.parent_of(step.parent_run_id, step.metadata);
        let joined = parent.map_or(Joined::Own { after: None }, |parent| self.open_runs().join(parent));
        if step.is_hidden() {
            if let Joined::Parent(Place { root, parent: Some(parent), .. }) = joined {
                self.open_runs().trees.remember(key.bits, parent, root);
            }
            return Ok(());
        }
        let twin = self.twin(py, key.bits, step.input);
        if twin == Twin::Repeated {
            return Ok(());
        }
        let task = if step.has_own_content() { current_task(py) } else { None };
        let now = SystemTime::now();
        let mut run = Box::new(Run::new(now, key.id, RunKind::Step));
        let id = run.id;
        let place =
            joined.place().unwrap_or_else(|| Place { root: id, parent: None, lane: tree_lane(step.metadata, id) });
        let is_root = place.parent.is_none();
        run.place = Some(place);
        let parent = parent.unwrap_or(0);
        run.parent = parent;
        run.is_twin = twin == Twin::Other;
        run.has_content = is_root || step.has_own_content() || self.runs == Runs::All;
        let has_content = run.has_content;
        run.task = task.as_ref().map_or(0, |task| task.as_ptr() as usize);
        run.argument = Some(step.input.clone().unbind());
        run.watch = self.watch_run_id(step.run_id);
        let metadata = step.metadata.and_then(|metadata| metadata.cast_exact::<PyDict>().ok());
        run.metadata = metadata.map(|metadata| metadata.clone().unbind());
        run.name = step.name.map(|name| name.clone().unbind());
        let namespace = namespace_of(step.metadata);
        let (forgotten, is_new_task, inherited, is_waiting) = {
            let mut open_runs = self.open_runs();
            if let Some(task) = &task {
                open_runs.tasks.forget_other(task);
            }
            run.namespace = namespace.filter(|namespace| open_runs.trees.add_node(*namespace, key.bits));
            run.is_chain = !step.has_own_content() && run.namespace.is_none();
            let (forgotten, is_new_task) = open_runs.open(key.bits, run);
            let (inherited, is_waiting) = open_runs.above(py, parent);
            (forgotten, is_new_task, inherited, is_waiting)
        };
        drop(forgotten);
        if is_waiting {
            self.open_runs().resume(parent, graph_of(step.name, step.metadata));
        }
        let mut result = Ok(());
        if let (Some(task), true) = (&task, is_new_task) {
            result = self.watch_task(task);
        }
        if twin == Twin::None {
            self.remember_start(key.bits, step.input, id);
            let own = match (metadata, &inherited) {
                (Some(metadata), Some(inherited)) if !is_root => own_metadata(metadata, inherited)?,
                _ => None,
            };
            let inherits = is_root || own.is_some();
            let metadata = own.map(Bound::into_any).or_else(|| step.metadata.cloned());
            let joined = if is_root { joined } else { Joined::Parent(place) };
            result = result.and(self.write_step_start(
                step,
                key,
                (id, now),
                (joined, place),
                has_content,
                (metadata, inherits),
            ));
        }
        result
    }

    fn write_step_start<'py>(
        &self,
        step: &StepStart<'_, 'py>,
        key: RunKey,
        (id, now): (RecordId, SystemTime),
        (joined, place): (Joined, Place),
        has_content: bool,
        (metadata, inherits): (Option<Bound<'py, PyAny>>, bool),
    ) -> PyResult<()> {
        let py = step.run_id.py();
        let parent = step.parent_run_id.filter(|parent| !parent.is_none());
        let parent_run_id = parent.and_then(|parent| RunId::read(parent));
        let mut fields = Vec::with_capacity(17);
        fields.extend([
            (key!("v").into(), Value::Number(Some(1))),
            (key!("kind").into(), Value::Text(step.kind)),
            (key!("t").into(), Value::Number(Some(nanos(now)))),
            (key!("run_id").into(), Value::Run(key.id)),
        ]);
        // The record of the parent has its run id.
        if place.parent.is_none() {
            fields.push((key!("parent_run_id").into(), Value::Run(parent_run_id)));
        }
        push_place(&mut fields, Some(joined));
        fields.push((key!("name").into(), Value::Searched(step.name.cloned())));
        if has_content {
            fields.push((key!("input").into(), Value::Object(Some(step.input.clone()))));
        } else if let Ok(input) = step.input.cast_exact::<PyDict>() {
            fields.push((key!("input_keys").into(), Value::Searched(Some(input.keys().into_any()))));
        }
        if let Some(tool_call_id) = step.tool_call_id.filter(|id| !id.is_none()) {
            fields.push((key!("tool_call_id").into(), Value::Object(Some(tool_call_id.clone()))));
        }
        fields.push((key!("tags").into(), Value::Searched(step.tags.cloned())));
        if place.parent.is_none() {
            let pl_tags = self.pl_tags.bind(py).clone().into_any();
            fields.push((key!("pl_tags").into(), Value::Searched(Some(pl_tags))));
        }
        fields.push((key!("metadata").into(), Value::Searched(metadata)));
        if !inherits {
            let no = PyBool::new(py, false).to_owned().into_any();
            fields.push((key!("inherits").into(), Value::Object(Some(no))));
        }
        let envelope = Envelope {
            kind: FrameKind::RunStart,
            ended: CallEnd::No,
            flags: 0,
            id,
            run_id: key.id,
            parent_run_id,
            sink: None,
            root: Some(place.root),
            lane: Some(place.lane),
            facts: None,
        };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }

    /// Notes that an open step waits for a person.
    pub(super) fn note_wait(&self, run_id: &Bound<'_, PyAny>) {
        let key = self.key(run_id);
        self.open_runs().wait(key.bits, OF_ITSELF, false);
    }

    /// Closes a step and writes its end event. The end of a run that is no open step is ignored.
    /// Returns whether it was one.
    pub(super) fn finish_step(self: &Arc<Self>, mut end: StepEnd<'_, '_>, run_id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = run_id.py();
        let key = self.key(run_id);
        let closing = self.open_runs().close(key.bits, RunKind::Step);
        let Closing::Run(mut run) = closing else { return Ok(false) };
        self.unwatch_task(py, &mut run);
        // A graph whose node waits for a person returns, and so may the chains above it. All other runs end by the exception of the node.
        let is_returned = end.ended == CallEnd::Ok && !run.waits.is_empty();
        if is_returned {
            end.ended = CallEnd::Interrupted;
        }
        if is_returned || (end.ended == CallEnd::Interrupted && run.namespace.is_some()) {
            let name = run.name.as_ref().map(|name| name.bind(py));
            let metadata = run.metadata.as_ref().map(|metadata| metadata.bind(py).as_any());
            let graph = graph_of(name, metadata);
            self.open_runs().wait(run.parent, graph, is_returned);
        }
        let result = if run.is_recorded_here() { self.write_step_end(py, &end, &run, key) } else { Ok(()) };
        // LangChain reports no end of the calls and tools of a run that was cancelled.
        if matches!(end.ended, CallEnd::Cancelled | CallEnd::Partial)
            && let Some(place) = run.place.filter(|place| place.parent.is_none())
        {
            let is_below = |run: &Run| run.is_of_this_process() && run.place.is_some_and(|of| of.root == place.root);
            let open = self.open_runs().find(is_below);
            for (run_id, record) in open {
                self.give_up(py, run_id, record, Reason::Root);
            }
        }
        result.map(|()| true)
    }
}

/// The entries of a run's metadata that the run did not inherit. An inherited entry is the same object. `None` if the run lacks an entry
/// of its parent, which is the parent's alone.
fn own_metadata<'py>(
    metadata: &Bound<'py, PyDict>,
    inherited: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let own = PyDict::new(metadata.py());
    let mut known = 0;
    for (name, value) in metadata {
        let above = inherited.get_item(&name)?;
        known += usize::from(above.is_some());
        if !above.is_some_and(|above| above.is(&value)) {
            own.set_item(name, value)?;
        }
    }
    Ok((known == inherited.len()).then_some(own))
}

/// The hash of a graph that runs again when a person answers: of its name and its conversation.
#[cold]
fn graph_of(name: Option<&Bound<'_, PyAny>>, metadata: Option<&Bound<'_, PyAny>>) -> u64 {
    let mut hasher = IdHasher::default();
    if let Some(name) = name.and_then(|name| name.cast::<PyString>().ok()?.to_str().ok()) {
        hasher.write(name.as_bytes());
    }
    hasher.write_u64(tree_lane(metadata, RecordId([0; 16])).0.into());
    hasher.finish()
}

/// The hash of the checkpoint namespace of `LangGraph` in a run's metadata.
fn namespace_of(metadata: Option<&Bound<'_, PyAny>>) -> Option<u64> {
    let metadata = metadata?.cast_exact::<PyDict>().ok()?;
    let namespace = metadata.get_item(intern!(metadata.py(), "langgraph_checkpoint_ns")).ok()??;
    let namespace = namespace.cast_into::<PyString>().ok()?;
    let text = namespace.to_str().ok().filter(|text| !text.is_empty())?;
    let mut hasher = IdHasher::default();
    hasher.write(text.as_bytes());
    Some(hasher.finish())
}
