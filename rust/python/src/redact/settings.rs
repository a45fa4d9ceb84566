//! Settings as a redact hook receives them: a copy without credentials, of the same containers.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString, PyTuple};

use super::objects::{is_credential, is_schema_key, is_value_behind, meaning_of, names_credential, replaced};
use super::output::REDACTED;
use super::text::redact_text;

const MAX_DEPTH: usize = 100;

/// A copy of settings in which credentials are replaced. A container that contains itself, is nested too deep, or fails to be read is
/// replaced whole.
pub(crate) fn redact_settings(value: Bound<'_, PyAny>) -> Bound<'_, PyAny> {
    redacted(&value, &mut Vec::new())
}

fn replacement(py: Python<'_>) -> Bound<'_, PyAny> {
    PyString::new(py, REDACTED).into_any()
}

fn redacted<'py>(value: &Bound<'py, PyAny>, parents: &mut Vec<usize>) -> Bound<'py, PyAny> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return replaced(text, redact_text).into_any();
    }
    let class = value.get_type();
    // By the class: isinstance() would run code of the program's class.
    let is_mapping = class.is_subclass(&value.py().get_type::<PyMapping>()).unwrap_or(false);
    if !is_mapping && !value.is_instance_of::<PyList>() && !value.is_instance_of::<PyTuple>() {
        return value.clone();
    }
    let address = value.as_ptr().addr();
    if parents.contains(&address) || parents.len() >= MAX_DEPTH {
        return replacement(value.py());
    }
    parents.push(address);
    let copy = if is_mapping { mapping(value, parents) } else { sequence(value, parents) };
    parents.pop();
    // Raised by a container class of the program.
    copy.unwrap_or_else(|_| replacement(value.py()))
}

fn mapping<'py>(value: &Bound<'py, PyAny>, parents: &mut Vec<usize>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let copy = PyDict::new(py);
    for pair in value.call_method0(intern!(py, "items"))?.try_iter()? {
        let (key, item): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
        let item = under(&key, &item, parents);
        copy.set_item(redacted_key(key), item)?;
    }
    if names_credential(&copy) && copy.contains(intern!(py, "value"))? {
        copy.set_item(intern!(py, "value"), replacement(py))?;
    }
    Ok(copy.into_any())
}

fn sequence<'py>(value: &Bound<'py, PyAny>, parents: &mut Vec<usize>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if let Some(names) = field_names(value) {
        let mut items = Vec::with_capacity(names.len());
        for (name, item) in names.iter().zip(value.try_iter()?) {
            items.push(under(&name, &item?, parents));
        }
        return Ok(PyTuple::new(py, items)?.into_any());
    }
    let mut items = Vec::new();
    let mut before: Option<Bound<'py, PyAny>> = None;
    for item in value.try_iter()? {
        let item = item?;
        let is_value = before.as_ref().is_some_and(|before| is_value_behind(before, &item));
        items.push(if is_value { replacement(py) } else { pair_or_item(&item, parents)? });
        before = Some(item);
    }
    Ok(if value.is_instance_of::<PyTuple>() {
        PyTuple::new(py, items)?.into_any()
    } else {
        PyList::new(py, items)?.into_any()
    })
}

/// The names of a named tuple's fields.
fn field_names<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
    let names = value.get_type().getattr(intern!(value.py(), "_fields")).ok()?.cast_into::<PyTuple>().ok()?;
    (!names.is_empty() && value.len().is_ok_and(|len| len == names.len())).then_some(names)
}

/// A key without the credentials in its text.
fn redacted_key(key: Bound<'_, PyAny>) -> Bound<'_, PyAny> {
    match key.cast_exact::<PyString>() {
        Ok(text) => replaced(text, redact_text).into_any(),
        Err(_) => key,
    }
}

fn under<'py>(key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>, parents: &mut Vec<usize>) -> Bound<'py, PyAny> {
    if value.is_none() || key.cast::<PyString>().is_ok_and(|key| is_schema_key(&key.to_string_lossy())) {
        return value.clone();
    }
    if is_credential(meaning_of(key), value) { replacement(value.py()) } else { redacted(value, parents) }
}

/// An item of a list. Some clients list headers as pairs of name and value.
fn pair_or_item<'py>(item: &Bound<'py, PyAny>, parents: &mut Vec<usize>) -> PyResult<Bound<'py, PyAny>> {
    let py = item.py();
    let is_list = item.is_exact_instance_of::<PyList>();
    if (is_list || item.is_exact_instance_of::<PyTuple>()) && item.len()? == 2 {
        let (name, value) = (item.get_item(0)?, item.get_item(1)?);
        if is_credential(meaning_of(&name), &value) {
            let pair = [name, replacement(py)];
            return Ok(if is_list { PyList::new(py, pair)?.into_any() } else { PyTuple::new(py, pair)?.into_any() });
        }
    }
    Ok(redacted(item, parents))
}
