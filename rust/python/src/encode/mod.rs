//! Python objects to JSON bytes, in the tagged form of `docs/events.md`.
//!
//! orjson writes the bytes. What it would lose silently is found by a scan that runs no Python code ([`scan`]) and is handed to it as
//! a tagged copy ([`tagged`]); what it refuses aloud sends the whole object there.

mod classes;
mod scan;
mod stdlib;
mod tagged;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};

use classes::Known;
pub(crate) use tagged::class_path;

/// Deepest nesting of JSON containers; orjson gives up at 254.
const MAX_DEPTH: usize = 200;
/// Most values of one object, so that containers that share their parts can't grow without end.
const MAX_NODES: usize = 1_000_000;

/// JSON bytes, and whether something in them is only an approximation.
pub(crate) struct Encoded<'py> {
    pub(crate) json: Bound<'py, PyBytes>,
    pub(crate) lossy: bool,
}

/// Encodes any object.
#[pyfunction]
#[pyo3(name = "encode")]
pub(crate) fn encode_any<'py>(object: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, bool)> {
    if scan::is_plain(object)
        && let Ok(json) = dumps(object)
    {
        return Ok((json, false));
    }
    let mut copier = tagged::Copier::default();
    let copy = copier.copy(object, 0)?;
    Ok((dumps(&copy)?, copier.lossy))
}

/// Encodes an event: a dict of our own whose values are the caller's. Values that need no copy are not copied.
pub(crate) fn encode_event<'py>(event: &Bound<'py, PyDict>) -> PyResult<Encoded<'py>> {
    if event.iter().all(|(_, value)| scan::is_plain(&value))
        && let Ok(json) = dumps(event.as_any())
    {
        return Ok(Encoded { json, lossy: false });
    }
    let mut copier = tagged::Copier::default();
    let copy = PyDict::new(event.py());
    for (key, value) in event {
        copy.set_item(key, if scan::is_plain(&value) { value } else { copier.copy(&value, 1)? })?;
    }
    // Python code may have changed what was scanned before it ran: orjson gets private copies of everything then.
    if !copier.ran_code
        && let Ok(json) = dumps(copy.as_any())
    {
        return Ok(Encoded { json, lossy: copier.lossy });
    }
    let mut copier = tagged::Copier::default();
    let copy = copier.copy(event.as_any(), 0)?;
    Ok(Encoded { json: dumps(&copy)?, lossy: copier.lossy })
}

/// What orjson asks for an object it does not know: the fields of a `langchain_core` object that was scanned before.
#[pyfunction]
fn default<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match (classes::known(object), classes::fields(object)) {
        (Some(Known::Text), _) => classes::exact_str(object),
        (Some(Known::Model(name)), Some((fields, extras))) => {
            tagged::model(&name, fields.as_any(), extras.as_ref().map(Bound::as_any))
        }
        _ => Err(PyTypeError::new_err("not a plain object")),
    }
}

struct Orjson {
    dumps: Py<PyAny>,
    default: Py<PyAny>,
    options: Py<PyAny>,
}

static ORJSON: PyOnceLock<Orjson> = PyOnceLock::new();

fn dumps<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    let orjson = ORJSON.get_or_try_init(py, || {
        let module = py.import("orjson")?;
        let mut options = 0_u32;
        for name in ["OPT_PASSTHROUGH_DATETIME", "OPT_PASSTHROUGH_DATACLASS", "OPT_PASSTHROUGH_SUBCLASS"] {
            options |= module.getattr(name)?.extract::<u32>()?;
        }
        Ok::<_, PyErr>(Orjson {
            dumps: module.getattr("dumps")?.unbind(),
            default: wrap_pyfunction!(default, py)?.into_any().unbind(),
            options: options.into_pyobject(py)?.into_any().unbind(),
        })
    })?;
    let json = orjson.dumps.bind(py).call1((object, &orjson.default, &orjson.options))?;
    Ok(json.cast_into::<PyBytes>()?)
}
