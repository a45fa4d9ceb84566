//! `Watch`: notices that another process wrote to a journal.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::errors::OrRaise;
use crate::handover;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Watch(Mutex<plsync_journal::Watch>);

#[pymethods]
impl Watch {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        handover::require(py)?;
        let watch = py.detach(|| plsync_journal::Watch::new(&path)).or_raise(py)?;
        Ok(Self(Mutex::new(watch)))
    }

    fn descriptor(&self) -> Option<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).descriptor()
    }

    fn poll(&self, py: Python<'_>) -> PyResult<(bool, bool)> {
        let changes = py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).poll()).or_raise(py)?;
        Ok((changes.events, changes.doorbell))
    }
}
