//! The start and the end of a call.

use std::sync::Arc;
use std::time::SystemTime;

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::asyncio::current_task;
use super::calls::{Calls, EndArguments, StartArguments};
use super::open_runs::Closing;
use super::run::{Run, RunKind};
use super::run_id::RunKey;
use super::trees::Joined;
use super::twins::Twin;

impl Calls {
    /// Opens a run for each prompt and writes their start events.
    pub(super) fn start(self: &Arc<Self>, mut call: StartArguments<'_, '_>) -> PyResult<()> {
        let py = call.run_id.py();
        let key = RunKey::read(call.run_id);
        let twin = self.twin(py, key.bits, call.argument);
        if twin == Twin::Repeated {
            return Ok(());
        }
        let joined = self.joined(call.parent_run_id, call.metadata);
        let task = current_task(py);
        let parts = 1 + call.more.len();
        let mut more = std::mem::take(&mut call.more).into_iter();
        let mut result = Ok(());
        loop {
            let now = SystemTime::now();
            let mut run = Box::new(Run::new(now, key.id, call.stands));
            let id = run.id;
            run.parts = parts;
            run.is_twin = twin == Twin::Other;
            run.task = task.as_ref().map_or(0, |task| task.as_ptr() as usize);
            run.place = joined.and_then(Joined::place);
            run.argument = Some(call.argument.clone().unbind());
            run.watch = self.watch_run_id(call.run_id);
            let (forgotten, is_new_task) = {
                let mut open_runs = self.open_runs();
                if let Some(task) = &task {
                    open_runs.tasks.forget_other(task);
                }
                open_runs.open(key.bits, run)
            };
            drop(forgotten);
            if let (Some(task), true) = (&task, is_new_task) {
                result = result.and(self.watch_task(task));
            }
            if twin == Twin::None {
                self.remember_start(key.bits, call.argument, id);
                result = result.and(self.write_start(&call, key, id, now, joined));
            }
            match more.next() {
                Some(content) => call.content.1 = content,
                None => return result,
            }
        }
    }

    /// Closes a run and writes its end event. A second end of a run is ignored.
    pub(super) fn finish<'py>(
        self: &Arc<Self>,
        mut end: EndArguments<'py>,
        run_id: &Bound<'py, PyAny>,
        parent_run_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = run_id.py();
        let key = self.key(run_id);
        let closing = self.open_runs().close(key.bits, end.stands);
        let mut run = match closing {
            Closing::Run(run) => Some(run),
            Closing::AlreadyClosed => return Ok(()),
            // Most chains are not LLM requests.
            Closing::Unknown if end.stands == RunKind::Decision => return Ok(()),
            Closing::Unknown => None,
        };
        if let Some(run) = &mut run {
            self.unwatch_task(py, run);
        }
        let parts = run.as_ref().map_or(1, |run| run.parts);
        if run.as_ref().is_some_and(|run| !run.is_recorded_here()) {
            return Ok(());
        }
        let more = std::mem::take(&mut end.more);
        if parts == 1 && !more.is_empty() {
            end.content.1 = concatenated(&end.content.1, &more)?;
        }
        let (ended, flags, stands, name) = (end.ended, end.flags, end.stands, end.content.0);
        let error = end.error.clone();
        let mut result = self.write_end(py, end, run.as_deref(), key, parent_run_id);
        let mut more = more.into_iter();
        for _ in 1..parts {
            let closing = self.open_runs().close(key.bits, stands);
            let Closing::Run(mut run) = closing else { break };
            self.unwatch_task(py, &mut run);
            let content = more.next().unwrap_or_else(|| PyList::empty(py).into_any());
            let end = EndArguments { flags, stands, error: error.clone(), ..EndArguments::new(ended, (name, content)) };
            result = result.and(self.write_end(py, end, Some(&run), key, parent_run_id));
        }
        result
    }
}

/// The answers to all prompts of a run, in one list.
fn concatenated<'py>(first: &Bound<'py, PyAny>, more: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    let all = PyList::empty(first.py());
    for generations in std::iter::once(first).chain(more) {
        for generation in generations.try_iter()? {
            all.append(generation?)?;
        }
    }
    Ok(all.into_any())
}
