//! The asyncio tasks that started open runs.
//!
//! A task is watched by a callback, while it has open runs. Most tasks make one call, and the callback is taken back after it. A task
//! that makes several calls keeps the callback from its second call to its end.

use pyo3::prelude::*;

use crate::id_map::Map;

/// The most tasks without open runs that are kept.
const MAX_IDLE: usize = 1024;

/// The tasks by their address.
#[derive(Default)]
pub(super) struct Tasks(Map<usize, Task>);

#[derive(Default)]
struct Task {
    open: usize,
    /// A weak reference to the task.
    reference: Option<Py<PyAny>>,
    /// The task made a call before, so its callback stays.
    is_repeated: bool,
    is_watched: bool,
}

impl Tasks {
    /// Forgets an earlier task that had the address of `task`. Runs no Python code.
    pub(super) fn forget_other(&mut self, task: &Bound<'_, PyAny>) {
        let address = task.as_ptr() as usize;
        let is_other = |known: &Task| {
            let reference = known.reference.as_ref().filter(|_| known.open == 0);
            reference.is_some_and(|reference| !reference.bind(task.py()).call0().is_ok_and(|known| known.is(task)))
        };
        if self.0.get(&address).is_some_and(is_other) {
            self.0.remove(&address);
        }
    }

    /// Counts a run that a task starts. Returns whether the task must be watched from now on.
    pub(super) fn open(&mut self, task: usize) -> bool {
        let task = self.0.entry(task).or_default();
        task.is_repeated |= task.open == 0 && task.reference.is_some();
        task.open += 1;
        !std::mem::replace(&mut task.is_watched, true)
    }

    /// Counts a run that has ended. The last run of a task that is watched no more takes the reference to the task along.
    pub(super) fn close(&mut self, task: usize) -> Option<Py<PyAny>> {
        let task = self.0.get_mut(&task)?;
        task.open -= 1;
        if task.open > 0 || task.is_repeated {
            return None;
        }
        task.is_watched = false;
        task.reference.take()
    }

    /// Keeps the reference to a task: one that is watched from now on, or one that is watched no more. Returns a reference that isn't
    /// needed.
    pub(super) fn keep(&mut self, task: usize, reference: Py<PyAny>) -> Option<Py<PyAny>> {
        if self.0.len() > MAX_IDLE {
            self.0.retain(|_, task| task.open > 0);
        }
        match self.0.get_mut(&task) {
            Some(task) => task.reference.replace(reference),
            None => Some(reference),
        }
    }

    /// Forgets a task that is over, unless it has open runs.
    pub(super) fn end(&mut self, task: usize) {
        if self.0.get(&task).is_some_and(|task| task.open == 0) {
            self.0.remove(&task);
        }
    }

    /// Whether a task started open runs.
    pub(super) fn has_open(&self, task: usize) -> bool {
        self.0.get(&task).is_some_and(|task| task.open > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyo3::types::PySet;

    #[test]
    fn a_task_is_watched_on_from_its_second_call() {
        Python::initialize();
        Python::attach(|py| {
            // Any class whose objects take weak references.
            let class = py.get_type::<PySet>();
            let refer =
                |task: &Bound<'_, PyAny>| py.import("weakref").unwrap().call_method1("ref", (task,)).unwrap().unbind();
            let task = class.call0().unwrap();
            let address = task.as_ptr() as usize;
            let mut tasks = Tasks::default();
            assert!(tasks.open(address));
            assert!(tasks.keep(address, refer(&task)).is_none());
            let reference = tasks.close(address).expect("the callback is taken back after the first call");
            assert!(tasks.keep(address, reference).is_none());
            tasks.forget_other(&task);
            assert!(tasks.open(address));
            drop(tasks.keep(address, refer(&task)));
            assert!(tasks.close(address).is_none() && !tasks.has_open(address));
            tasks.forget_other(&task);
            assert!(!tasks.open(address) && tasks.has_open(address));
            assert!(tasks.close(address).is_none());
            // Another task at the same address is a new one.
            let other = class.call0().unwrap();
            let reference = refer(&other);
            drop(other);
            drop(tasks.keep(address, reference));
            tasks.forget_other(&task);
            assert!(tasks.open(address));
            tasks.close(address);
            tasks.end(address);
            assert!(tasks.0.is_empty());
        });
    }
}
