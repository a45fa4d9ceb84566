//! The asyncio task that runs in this thread.

use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::once::get_or_load;

/// Calls a method with one argument, without a tuple and a bound method for the call.
pub(super) fn call_method<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    argument: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the objects are alive and the GIL is held; null ends the arguments. The result is a new reference or null with an error
    // set.
    unsafe {
        let end = std::ptr::null_mut::<ffi::PyObject>();
        let result = ffi::PyObject_CallMethodObjArgs(object.as_ptr(), name.as_ptr(), argument.as_ptr(), end);
        Bound::from_owned_ptr_or_err(object.py(), result)
    }
}

/// The functions of asyncio that find the current task.
struct Asyncio {
    running_loop: Py<PyAny>,
    /// Maps a loop to its task: a function, and a dict before Python 3.12.
    task_of: Py<PyAny>,
    is_dict: bool,
}

static ASYNCIO: PyOnceLock<Option<Asyncio>> = PyOnceLock::new();

/// The asyncio task that runs in this thread. Runs no Python code.
pub(super) fn current_task(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let Asyncio { running_loop, task_of, is_dict } =
        get_or_load(&ASYNCIO, py, || Ok(asyncio(py).ok())).ok()?.as_ref()?;
    let task_of = task_of.bind(py);
    let tasks = if *is_dict { Some(task_of.cast::<PyDict>().ok()?) } else { None };
    if tasks.is_some_and(PyDictMethods::is_empty) {
        // No thread runs a task.
        return None;
    }
    let running = running_loop.bind(py).call0().ok()?;
    if running.is_none() {
        return None;
    }
    let task = match tasks {
        Some(tasks) => tasks.get_item(running).ok()??,
        None => task_of.call1((running,)).ok()?,
    };
    (!task.is_none()).then_some(task)
}

fn asyncio(py: Python<'_>) -> PyResult<Asyncio> {
    let module = py.import("_asyncio")?;
    let running_loop = module.getattr("_get_running_loop")?.unbind();
    Ok(match module.getattr("current_task") {
        Ok(task_of) => Asyncio { running_loop, task_of: task_of.unbind(), is_dict: false },
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => {
            Asyncio { running_loop, task_of: module.getattr("_current_tasks")?.unbind(), is_dict: true }
        }
        Err(error) => return Err(error),
    })
}
