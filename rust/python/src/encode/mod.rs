//! Python objects to JSON bytes, in the tagged form of `docs/reference/events.md`.
//!
//! Nearly everything is plain and written in one pass ([`plain`]). What is not is copied into tagged form ([`tagged`]), which
//! orjson writes.

mod classes;
mod plain;
pub(crate) mod secrets;
mod stdlib;
mod tagged;
mod tags;
pub(crate) mod text;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

pub(crate) use classes::is_model_tag;
pub(crate) use tags::class_path;

/// Deepest nesting of JSON containers; orjson gives up at 254.
const MAX_DEPTH: usize = 200;
/// Most values of one object, so that containers that share their parts can't grow without end.
const MAX_NODES: usize = 1_000_000;

/// JSON bytes of any object, and whether something in them is only an approximation.
#[pyfunction]
#[pyo3(name = "encode", signature = (object, *, guarded = false))]
pub(crate) fn encode_any<'py>(object: &Bound<'py, PyAny>, guarded: bool) -> PyResult<(Bound<'py, PyBytes>, bool)> {
    let mut out = Vec::new();
    let lossy = write_value(&mut out, object, guarded)?;
    Ok((PyBytes::new(object.py(), &out), lossy))
}

/// Appends the JSON of any object, where it is `guarded` without the credentials in it; true when something else in it is only an
/// approximation. After an error `out` is as it was.
pub(crate) fn write_value(out: &mut Vec<u8>, object: &Bound<'_, PyAny>, guarded: bool) -> PyResult<bool> {
    let start = out.len();
    if plain::write(out, object, guarded).is_ok() {
        return Ok(false);
    }
    out.truncate(start);
    let mut copier = tagged::Copier::new(guarded);
    let copy = copier.copy(object, 0)?;
    out.extend_from_slice(dumps(&copy)?.as_bytes());
    Ok(copier.lossy)
}

static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn dumps<'py>(copy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = copy.py();
    let dumps =
        DUMPS.get_or_try_init(py, || Ok::<_, PyErr>(py.import("orjson")?.getattr(intern!(py, "dumps"))?.unbind()))?;
    Ok(dumps.bind(py).call1((copy,))?.cast_into::<PyBytes>()?)
}
