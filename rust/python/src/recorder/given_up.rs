//! Ends that `LangChain` does not report: of calls that the program cancels, or drops together with their run.
//!
//! Three observers find them. The first to see the end of a call records it.
//!
//! - A weak reference to the run id. `LangChain`'s run manager holds the id, and reports the end by it. Once the id is gone, no end
//!   can come.
//! - The asyncio task that started the call: the program may keep an error, whose traceback keeps the run id.
//! - The exit of the process.
//!
//! A program may also call the handler itself, with copies of a run id. So an end that comes later replaces the end that is recorded
//! here, as long as the record was not sent.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use plsync_journal::{CallEnd, FLAG_INFERRED, RecordId};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyModule};
use pyo3::{ffi, intern, wrap_pyfunction};

use super::asyncio::call_method;
use super::calls::{Calls, EndArguments};
use super::key::key;
use super::run::{Run, RunKind};
use super::run_id::RunKey;
use super::step_end::StepEnd;
use super::watched::Watch;
use crate::once::get_or_load;

/// The reason for the end of a call, for the record.
#[derive(Clone, Copy)]
pub(super) enum Reason {
    /// Nothing is left that could report the end.
    Dropped,
    /// The asyncio task of the call was cancelled.
    Task,
    /// The root of the call's tree was cancelled.
    Root,
    /// The process exits.
    Exit,
}

impl Reason {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Dropped => "the program dropped the call before it ended",
            Self::Task => "the asyncio task of the call was cancelled",
            Self::Root => "the run that the call belongs to was cancelled",
            Self::Exit => "the program exited before the call ended",
        }
    }
}

/// The callback of weak references to run ids, and of asyncio tasks that are over.
#[pyclass(frozen, module = "plsync._native")]
struct Watcher {
    calls: Weak<Calls>,
}

#[pymethods]
impl Watcher {
    fn __call__(&self, gone: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, address) = (gone.py(), gone.as_ptr() as usize);
        let Some(calls) = self.calls.upgrade() else { return Ok(()) };
        if let Some((run_id, record)) = calls.watched(address) {
            calls.give_up(py, run_id, record, Reason::Dropped);
            return Ok(());
        }
        let open = calls.of_task(address);
        if !open.is_empty()
            && let Some(reason) = end_of_task(gone)?
        {
            for (run_id, record) in open {
                let id = calls.live_run_id(py, run_id, record);
                if !id.is_some_and(|id| is_read_elsewhere(gone, &id)) {
                    calls.give_up(py, run_id, record, reason);
                }
            }
        }
        calls.open_runs().tasks.end(address);
        Ok(())
    }
}

/// Why the open calls of a task have ended. None for a task that returned: the program may go on with a call in another task.
fn end_of_task(task: &Bound<'_, PyAny>) -> PyResult<Option<Reason>> {
    let py = task.py();
    if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(Some(Reason::Task));
    }
    // A timeout ends a task by an exception. Not by `exception()`: asyncio would not report the exception any more.
    let failed = task.getattr(intern!(py, "_exception")).is_ok_and(|error| !error.is_none());
    Ok(failed.then_some(Reason::Dropped))
}

/// Whether an async generator of a task's loop still holds the run: another task may go on to read it.
fn is_read_elsewhere(task: &Bound<'_, PyAny>, run_id: &Bound<'_, PyAny>) -> bool {
    let py = task.py();
    let holds = |generator: &Bound<'_, PyAny>| -> PyResult<bool> {
        let locals = generator.getattr(intern!(py, "ag_frame"))?.getattr(intern!(py, "f_locals"))?;
        let manager = locals.get_item(intern!(py, "run_manager"))?;
        Ok(manager.getattr(intern!(py, "run_id"))?.is(run_id))
    };
    let search = || -> PyResult<bool> {
        let generators = task.call_method0(intern!(py, "get_loop"))?.getattr(intern!(py, "_asyncgens"))?;
        let generators: Vec<_> = generators.try_iter()?.collect::<PyResult<_>>()?;
        for generator in generators {
            if holds(&generator).unwrap_or(false) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    search().unwrap_or(false)
}

impl Calls {
    fn watcher<'py>(self: &Arc<Self>, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let make = || Ok(Py::new(py, Watcher { calls: Arc::downgrade(self) })?.into_any());
        let watcher = get_or_load(&self.watcher, py, make)?;
        Ok(watcher.bind(py))
    }

    /// A weak reference to a run id, whose callback ends the run. None for an id that takes no weak references, as a text, and for
    /// an id that nothing else holds.
    pub(super) fn watch_run_id(self: &Arc<Self>, run_id: &Bound<'_, PyAny>) -> Option<Watch> {
        let py = run_id.py();
        // The arguments of this call hold one or two references. The end of an object that nothing else holds means nothing.
        // SAFETY: the object is alive and the GIL is held.
        if unsafe { ffi::Py_REFCNT(run_id.as_ptr()) } < 3 {
            return None;
        }
        let watcher = self.watcher(py).ok()?;
        // SAFETY: both objects are alive and the GIL is held; the result is a new reference or null with an error set.
        let reference =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyWeakref_NewRef(run_id.as_ptr(), watcher.as_ptr())) };
        Some(Watch { reference: reference.ok()?.unbind(), object: run_id.as_ptr() as usize })
    }

    /// Watches a task until the last of its runs has ended, or until its own end.
    pub(super) fn watch_task(self: &Arc<Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = task.py();
        // Weak, because a task that waits for nothing any more must go, and its runs with it.
        // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set.
        let reference =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyWeakref_NewRef(task.as_ptr(), std::ptr::null_mut())) }?;
        call_method(task, intern!(py, "add_done_callback"), self.watcher(py)?)?;
        let unused = self.open_runs().tasks.keep(task.as_ptr() as usize, reference.unbind());
        drop(unused);
        Ok(())
    }

    /// Stops watching the task of a run that has ended, if the run was its last.
    pub(super) fn unwatch_task(self: &Arc<Self>, py: Python<'_>, run: &mut Run) {
        let Some(reference) = run.task_reference.take() else { return };
        if let (Ok(task), Ok(watcher)) = (reference.bind(py).call0(), self.watcher(py))
            && !task.is_none()
        {
            // A task that is over has no callbacks any more.
            let _ = call_method(&task, intern!(py, "remove_done_callback"), watcher);
            let unused = self.open_runs().tasks.keep(run.task, reference);
            drop(unused);
        }
    }

    /// Ends a run whose end `LangChain` does not report. Does nothing when it has ended, or in a forked child.
    pub(super) fn give_up(self: &Arc<Self>, py: Python<'_>, run_id: u128, record: RecordId, reason: Reason) {
        let Some(mut run) = self.open_runs().give_up(run_id, record) else { return };
        self.unwatch_task(py, &mut run);
        if run.is_recorded_here() {
            self.without_raising(py, || {
                let error = PyDict::new(py);
                error.set_item("type", "Cancelled")?;
                error.set_item("module", "plsync")?;
                error.set_item("message", reason.text())?;
                error.set_item("status_code", py.None())?;
                let key = RunKey { bits: run_id, id: run.langchain_id };
                if run.kind == RunKind::Step {
                    let error = Some(error.as_any());
                    let end =
                        StepEnd { ended: CallEnd::Cancelled, flags: FLAG_INFERRED, input: None, output: None, error };
                    return self.write_step_end(py, &end, &run, key);
                }
                let content = (key!("generations"), PyList::empty(py).into_any());
                let end = EndArguments {
                    flags: FLAG_INFERRED,
                    error: Some(error.into_any()),
                    ..EndArguments::new(CallEnd::Cancelled, content)
                };
                self.write_end(py, end, Some(&run), key, None)
            });
        }
        run.task = 0;
        // The record has the parts of the answer. Kept here, they would use memory for a long time.
        drop((run.watch.take(), run.argument.take(), run.metadata.take(), std::mem::take(&mut run.pieces)));
        drop(run.task_reference.take());
        let forgotten = self.open_runs().remember(run_id, run);
        drop(forgotten);
        self.leave();
    }

    /// The open runs that a task of this process started.
    fn of_task(&self, task: usize) -> Vec<(u128, RecordId)> {
        let open_runs = self.open_runs();
        if open_runs.tasks.has_open(task) { open_runs.find(|run| run.task == task) } else { Vec::new() }
    }

    /// The open runs of this process.
    fn of_this_process(&self) -> Vec<(u128, RecordId)> {
        self.open_runs().find(Run::is_of_this_process)
    }

    fn watched(&self, reference: usize) -> Option<(u128, RecordId)> {
        self.open_runs().watched.run(reference)
    }

    /// Keeps the open runs of a handler that is gone. A model that the program drops may drop its handler first.
    pub(super) fn linger(self: &Arc<Self>) {
        if !self.open_runs().is_empty() {
            let mut all = LINGERING.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(self.clone());
        }
    }

    /// Ends that, once no run is open.
    fn leave(self: &Arc<Self>) {
        if self.open_runs().is_empty() {
            let mut all = LINGERING.lock().unwrap_or_else(PoisonError::into_inner);
            let gone: Vec<_> = all.extract_if(.., |calls| Arc::ptr_eq(calls, self)).collect();
            drop(all);
            drop(gone);
        }
    }

    /// The run id of an open run, as the program holds it.
    fn live_run_id<'py>(&self, py: Python<'py>, run_id: u128, record: RecordId) -> Option<Bound<'py, PyAny>> {
        let reference = self.open_runs().get_mut(run_id, record)?.watch.as_ref()?.reference.clone_ref(py);
        reference.bind(py).call0().ok().filter(|id| !id.is_none())
    }
}

/// Recorders whose handler is gone, and whose runs are open.
static LINGERING: Mutex<Vec<Arc<Calls>>> = Mutex::new(Vec::new());
/// The recorders of this process, for its exit.
static ALL: Mutex<Vec<Weak<Calls>>> = Mutex::new(Vec::new());
static AT_EXIT: PyOnceLock<()> = PyOnceLock::new();

/// Records the ends of open calls when the process exits.
pub(super) fn watch_exit(py: Python<'_>, calls: &Arc<Calls>) -> PyResult<()> {
    {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|calls| calls.strong_count() > 0);
        all.push(Arc::downgrade(calls));
    }
    get_or_load(&AT_EXIT, py, || {
        let module = PyModule::new(py, "plsync._native")?;
        py.import("atexit")?.call_method1("register", (wrap_pyfunction!(give_up_all, module)?,)).map(drop)
    })
    .map(drop)
}

#[pyfunction]
fn give_up_all(py: Python<'_>) {
    let all: Vec<_> = {
        let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    };
    for calls in all {
        for (run_id, record) in calls.of_this_process() {
            calls.give_up(py, run_id, record, Reason::Exit);
        }
    }
}
