//! The Python objects of plsync that Rust uses: its exception classes.
//!
//! Rust imports no module of plsync. `python/plsync/_common/native.py` calls [`hand_over`] once, right after it loads the native
//! module. A native class or function that is used without a hand-over raises `RuntimeError`. `plsync.errors` is loaded with the first error: most recording programs never need it.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::once::get_or_load;

/// The classes of `plsync.errors` that Rust raises or warns with. The first error of a process reads all of them.
#[derive(FromPyObject)]
pub(crate) struct ErrorClasses {
    #[pyo3(attribute("JournalError"))]
    pub(crate) journal: Py<PyType>,
    #[pyo3(attribute("JournalNotFound"))]
    pub(crate) not_found: Py<PyType>,
    #[pyo3(attribute("JournalFormatError"))]
    pub(crate) format: Py<PyType>,
    #[pyo3(attribute("JournalLocked"))]
    pub(crate) locked: Py<PyType>,
    #[pyo3(attribute("JournalCorrupt"))]
    pub(crate) corrupt: Py<PyType>,
    #[pyo3(attribute("BundleError"))]
    pub(crate) bundle: Py<PyType>,
    #[pyo3(attribute("RecordingError"))]
    pub(crate) recording: Py<PyType>,
    #[pyo3(attribute("InvalidFollowUp"))]
    pub(crate) invalid_followup: Py<PyType>,
    #[pyo3(attribute("PlsyncWarning"))]
    pub(crate) warning: Py<PyType>,
}

struct HandedOver {
    load_errors: Py<PyAny>,
    plain_form: Option<Py<PyAny>>,
    errors: PyOnceLock<ErrorClasses>,
}

static HANDED_OVER: PyOnceLock<HandedOver> = PyOnceLock::new();

/// Takes a function that returns the module `plsync.errors`, and one that returns the plain form of a value that the encoder does
/// not know. Later calls have no effect.
#[pyfunction]
#[pyo3(signature = (load_errors, *, plain_form = None))]
pub(crate) fn hand_over(py: Python<'_>, load_errors: Py<PyAny>, plain_form: Option<Py<PyAny>>) {
    // A program may drop and import the package again. The recorder keeps the first objects.
    let _ = HANDED_OVER.set(py, HandedOver { load_errors, plain_form, errors: PyOnceLock::new() });
}

/// Raises `RuntimeError` before the hand-over. Every exported class and function that uses the objects calls this first.
pub(crate) fn require(py: Python<'_>) -> PyResult<()> {
    HANDED_OVER.get(py).map(|_| ()).ok_or_else(|| {
        PyRuntimeError::new_err(
            "plsync._native was imported on its own, without the errors of plsync; nothing was done: import its names from \
             plsync._common.native",
        )
    })
}

/// The error classes.
///
/// # Panics
///
/// Before the hand-over, which [`require`] rules out.
pub(crate) fn errors(py: Python<'_>) -> PyResult<&'static ErrorClasses> {
    let HandedOver { load_errors, errors, .. } = HANDED_OVER.get(py).expect("`require` was called before");
    get_or_load(errors, py, || load_errors.bind(py).call0()?.extract())
}

/// The function that returns the plain form of a value, if it was handed over.
pub(crate) fn plain_form(py: Python<'_>) -> Option<&'static Py<PyAny>> {
    HANDED_OVER.get(py)?.plain_form.as_ref()
}

/// Hands over stand-ins, for unit tests without the Python package.
#[cfg(test)]
pub(crate) fn stand_in(py: Python<'_>) {
    let code = c"
BundleError = JournalError = JournalNotFound = JournalFormatError = JournalLocked = JournalCorrupt = RuntimeError
RecordingError = RuntimeError
InvalidFollowUp, PlsyncWarning = ValueError, UserWarning
def load():
    import types
    return types.SimpleNamespace(**globals())
";
    let errors = PyModule::from_code(py, code, c"errors.py", c"errors").unwrap();
    let load_errors = errors.getattr("load").unwrap().unbind();
    hand_over(py, load_errors, None);
}
