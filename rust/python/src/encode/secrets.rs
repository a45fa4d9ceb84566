//! Credentials among settings, metadata and the headers of an answer: known by the names they go by, and replaced.
//!
//! What is plain is looked through as it is written ([`super::plain`]); a name with a suspicious word in it leaves the value to the
//! copier ([`super::tagged`]), which asks `credentials.py` about that name and sees into whatever the value is made of.

use memchr::memchr2;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::names::{Look, has_word, look_of, place_of};

/// What stands in a credential's place, as in `credentials.py`.
pub(crate) const GONE: &str = "[redacted]";

/// What a key says about the value under it; [`Look::Suspect`] is a verdict here. Names of headers may be bytes.
pub(super) fn verdict(key: &Bound<'_, PyAny>) -> Look {
    let name = match key.cast::<PyBytes>() {
        Ok(bytes) => &PyString::new(key.py(), &String::from_utf8_lossy(bytes.as_bytes())),
        Err(_) => match key.cast::<PyString>() {
            Ok(name) => name,
            Err(_) => return Look::Plain,
        },
    };
    match look_of(&name.to_string_lossy()) {
        Look::Suspect if is_innocent(name) => Look::Plain,
        look => look,
    }
}

/// What a key says about a value that is not looked through for credentials.
pub(super) fn place(key: &Bound<'_, PyAny>) -> Look {
    key.cast::<PyString>().ok().and_then(|name| name.to_str().ok()).map_or(Look::Plain, place_of)
}

/// A named tuple as a plain one without the credentials in it; None for anything else.
pub(super) fn named<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
    let py = object.py();
    let values = object.cast::<PyTuple>().ok()?;
    let names = object.get_type().getattr(intern!(py, "_fields")).ok()?.cast_into::<PyTuple>().ok()?;
    let under = |(name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>)| match verdict(&name) {
        Look::Suspect if !value.is_none() => PyString::new(py, GONE).into_any(),
        _ => value,
    };
    let cleared: Vec<_> = names.iter().zip(values.iter()).map(under).collect();
    if cleared.len() == values.len() { PyTuple::new(py, cleared).ok() } else { None }
}

/// The name in a pair of name and value, as some clients list their headers; None for any other item of a list.
pub(super) fn header<'py>(item: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let (len, name) = if let Ok(pair) = item.cast_exact::<PyTuple>() {
        (pair.len(), pair.get_item(0))
    } else {
        let pair = item.cast_exact::<PyList>().ok()?;
        (pair.len(), pair.get_item(0))
    };
    if len == 2 { name.ok() } else { None }
}

/// Such a pair without its value.
pub(super) fn without_value<'py>(pair: &Bound<'py, PyAny>, name: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = pair.py();
    let items = [name, PyString::new(py, GONE).into_any()];
    Ok(if pair.is_exact_instance_of::<PyTuple>() {
        PyTuple::new(py, items)?.into_any()
    } else {
        PyList::new(py, items)?.into_any()
    })
}

/// Whoever cannot be asked has not said no.
fn is_innocent(name: &Bound<'_, PyString>) -> bool {
    let py = name.py();
    let asked = py.import("plsync.credentials").and_then(|known| known.call_method1("names_a_secret", (name,)));
    asked.and_then(|answer| answer.is_truthy()).is_ok_and(|is_secret| !is_secret)
}

/// A `repr` shows what it likes: one that speaks of credentials is not kept.
pub(super) fn shown(py: Python<'_>, repr: String) -> String {
    if has_word(&repr, true) {
        GONE.into()
    } else if may_be_in(&repr) {
        without_credentials(&PyString::new(py, &repr)).to_string()
    } else {
        repr
    }
}

/// Whether a text may have a link in it that holds a password or a key.
pub(super) fn may_be_in(text: &str) -> bool {
    memchr2(b'@', b'?', text.as_bytes()).is_some() && text.contains("://")
}

/// A text whose links hold neither.
pub(super) fn without_credentials<'py>(text: &Bound<'py, PyString>) -> Bound<'py, PyString> {
    let py = text.py();
    let known = py.import("plsync.credentials");
    let cleared = known.and_then(|known| known.call_method1(intern!(py, "without_credentials"), (text,)));
    let cleared = cleared.and_then(|text| Ok(text.cast_into::<PyString>()?));
    cleared.unwrap_or_else(|_| PyString::new(py, GONE))
}

/// Settings for the eyes of a hook.
pub(crate) fn without_secrets(values: Bound<'_, PyAny>) -> Bound<'_, PyAny> {
    let py = values.py();
    let privacy = py.import("plsync.privacy");
    let cleared = privacy.and_then(|privacy| privacy.call_method1(intern!(py, "without_secrets"), (values,)));
    cleared.unwrap_or_else(|_| PyString::new(py, GONE).into_any())
}
