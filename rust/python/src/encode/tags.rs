//! The parts of the tagged form: tags, and values that JSON can't represent.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString, PyType};

use super::stdlib;

pub(super) type CopyResult<'py> = PyResult<Bound<'py, PyAny>>;

/// `{"$": name, "v": fields[, "x": extras]}`.
pub(super) fn model<'py>(
    name: &str,
    fields: &Bound<'py, PyAny>,
    extras: Option<&Bound<'py, PyAny>>,
) -> CopyResult<'py> {
    let py = fields.py();
    let tagged = PyDict::new(py);
    tagged.set_item(intern!(py, "$"), name)?;
    tagged.set_item(intern!(py, "v"), fields)?;
    if let Some(extras) = extras {
        tagged.set_item(intern!(py, "x"), extras)?;
    }
    Ok(tagged.into_any())
}

pub(super) fn tag<'py>(py: Python<'py>, name: &str, class: Option<&str>, value: &Bound<'py, PyAny>) -> CopyResult<'py> {
    let tagged = PyDict::new(py);
    tagged.set_item(intern!(py, "$"), name)?;
    if let Some(class) = class {
        tagged.set_item(intern!(py, "c"), class)?;
    }
    tagged.set_item(intern!(py, "v"), value)?;
    Ok(tagged.into_any())
}

pub(super) fn copy_str<'py>(text: &Bound<'py, PyString>) -> CopyResult<'py> {
    if text.to_str().is_ok() {
        return Ok(text.clone().into_any());
    }
    let bytes = text.call_method1(intern!(text.py(), "encode"), ("utf-8", "surrogatepass"))?;
    tag(text.py(), "str", None, &base64(&bytes)?)
}

pub(super) fn copy_float<'py>(number: &Bound<'py, PyFloat>) -> CopyResult<'py> {
    let value = number.value();
    if value.is_finite() {
        return Ok(number.clone().into_any());
    }
    let name = match value {
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        _ => "nan",
    };
    tag(number.py(), "float", None, PyString::new(number.py(), name).as_any())
}

pub(super) fn base64<'py>(bytes: &Bound<'py, PyAny>) -> CopyResult<'py> {
    let py = bytes.py();
    let one_line = PyDict::new(py);
    one_line.set_item(intern!(py, "newline"), false)?;
    let text = stdlib::get(py)?.b2a_base64.bind(py).call((bytes,), Some(&one_line))?;
    text.call_method1(intern!(py, "decode"), ("ascii",))
}

/// `module:Class`, for people to read. Unknown parts are `?`.
pub(crate) fn class_path(class: &Bound<'_, PyType>) -> String {
    let module = class.module().map_or_else(|_| "?".to_owned(), |module| module.to_string_lossy().into_owned());
    let name = class.qualname().map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned());
    format!("{module}:{name}")
}
