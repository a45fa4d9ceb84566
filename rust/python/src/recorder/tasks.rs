//! The asyncio tasks that started open runs.

use std::collections::hash_map::Entry;

use pyo3::prelude::*;

use crate::id_map::Map;

/// The tasks by their address.
#[derive(Default)]
pub(super) struct Tasks(Map<usize, Task>);

#[derive(Default)]
struct Task {
    open: usize,
    /// A weak reference to the task.
    reference: Option<Py<PyAny>>,
}

impl Tasks {
    /// Counts a run that a task starts. Returns whether the task must be watched from now on.
    pub(super) fn open(&mut self, task: usize) -> bool {
        let task = self.0.entry(task).or_default();
        task.open += 1;
        task.open == 1
    }

    /// Counts a run that has ended. The last run of a task takes the reference to the task along.
    pub(super) fn close(&mut self, task: usize) -> Option<Py<PyAny>> {
        let Entry::Occupied(mut task) = self.0.entry(task) else { return None };
        task.get_mut().open -= 1;
        if task.get().open == 0 { task.remove().reference } else { None }
    }

    /// Keeps the reference to a task that is watched from now on. Returns it when the task's runs have ended meanwhile.
    pub(super) fn watch(&mut self, task: usize, reference: Py<PyAny>) -> Option<Py<PyAny>> {
        match self.0.get_mut(&task) {
            Some(task) => task.reference.replace(reference),
            None => Some(reference),
        }
    }

    /// Whether a task started open runs.
    pub(super) fn contains(&self, task: usize) -> bool {
        self.0.contains_key(&task)
    }
}
