//! Values that are computed at their first use, and kept.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The value of a cell; `load` computes it when the cell is empty.
///
/// `get_or_try_init` would lock the cell while `load` runs Python code, for instance an import. A finaliser of the program may
/// record an event meanwhile and wait for its own thread. A child that is forked meanwhile would wait for a thread that it lacks.
/// Without the lock, two threads may both compute the value, and both receive the first one that is stored.
pub(crate) fn get_or_load<'a, T>(
    cell: &'a PyOnceLock<T>,
    py: Python<'_>,
    load: impl FnOnce() -> PyResult<T>,
) -> PyResult<&'a T> {
    if let Some(value) = cell.get(py) {
        return Ok(value);
    }
    let value = load()?;
    Ok(cell.get_or_init(py, || value))
}
