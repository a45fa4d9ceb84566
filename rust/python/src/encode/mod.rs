//! Encodes Python objects as JSON bytes, in the tagged form of `docs/reference/events.md`.
//!
//! Nearly every object is plain JSON, which [`plain`] writes in one pass. [`tagged`] copies any other object into tagged form, and
//! orjson writes the copy.

mod approximate;
mod classes;
mod key_cache;
mod limits;
pub(crate) mod memory;
mod plain;
mod pydantic;
mod secrets;
mod stdlib;
mod tagged;
mod tags;
pub(crate) mod text;
pub(crate) mod untagged;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::errors::{bytes, memory_error};
use crate::handover;
use crate::once::get_or_load;
pub(crate) use classes::is_model_tag;
pub(crate) use secrets::Part;
pub(crate) use tags::class_path;

/// The JSON bytes of any object, and whether they only approximate it.
#[pyfunction]
#[pyo3(signature = (object, *, redact = false))]
pub(crate) fn encode<'py>(object: &Bound<'py, PyAny>, redact: bool) -> PyResult<(Bound<'py, PyBytes>, bool)> {
    handover::require(object.py())?;
    let mut out = Vec::new();
    let part = if redact { Part::Params } else { Part::Content };
    let lossy = write_value(&mut out, object, part)?;
    Ok((bytes(object.py(), &out)?, lossy))
}

/// Appends the JSON of any object. The part of the event decides which credentials in it are replaced.
///
/// Returns true when the JSON only approximates the object.
pub(crate) fn write_value(out: &mut Vec<u8>, object: &Bound<'_, PyAny>, part: Part) -> PyResult<bool> {
    let start = out.len();
    if plain::write(out, object, part).is_ok() {
        return Ok(false);
    }
    out.truncate(start);
    let mut copier = tagged::Copier::new(part);
    let copy = copier.copy(object, 0)?;
    let json = dumps(&copy)?;
    text::try_reserve(out, json.as_bytes().len()).map_err(|_| memory_error("an event"))?;
    out.extend_from_slice(json.as_bytes());
    Ok(copier.lossy)
}

/// An attribute of an object, if the object has it. The dict of a message or an output holds its fields, and the class of a pydantic
/// model is slow to find them.
pub(crate) fn attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let classes::Kind::Model(_) = classes::kind(object)
        && let Some(fields) = pydantic::dict_of(object)
        && let Some(value) = fields.get_item(name)?
    {
        return Ok(Some(value));
    }
    object.getattr_opt(name)
}

/// The fields of a message or an output of `LangChain`'s own classes; `None` for any other object.
pub(crate) fn fields_of<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    match classes::kind(object) {
        classes::Kind::Model(_) => pydantic::dict_of(object),
        _ => None,
    }
}

static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn dumps<'py>(copy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    memory::check_json_memory(copy)?;
    let py = copy.py();
    let dumps = get_or_load(&DUMPS, py, || Ok(py.import("orjson")?.getattr(intern!(py, "dumps"))?.unbind()))?;
    Ok(dumps.bind(py).call1((copy,))?.cast_into::<PyBytes>()?)
}
