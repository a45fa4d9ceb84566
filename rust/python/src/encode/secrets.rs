//! Credentials in settings, in metadata and in the headers of an answer: found by their names, and replaced.
//!
//! [`super::plain`] searches plain objects as it writes them. A suspicious name makes it give up, and [`super::tagged`] takes over:
//! the copier has `redaction.py` check the name, and also searches objects that are not plain.

use memchr::memchr2;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::key_cache::{Hint, has_word, hint_of, unredacted_hint_of};
use crate::handover;

/// The text that replaces a credential.
pub(super) fn replacement(py: Python<'_>) -> Bound<'_, PyAny> {
    PyString::new(py, &handover::redaction(py).redacted).into_any()
}

/// The hint of a key, with [`Hint::Suspect`] only for keys that do name a credential. Names of headers may be bytes.
pub(super) fn checked_hint(key: &Bound<'_, PyAny>) -> Hint {
    let name = match key.cast::<PyBytes>() {
        Ok(bytes) => &PyString::new(key.py(), &String::from_utf8_lossy(bytes.as_bytes())),
        Err(_) => match key.cast::<PyString>() {
            Ok(name) => name,
            Err(_) => return Hint::Plain,
        },
    };
    match hint_of(name.py(), &name.to_string_lossy()) {
        Hint::Suspect if is_harmless(name) => Hint::Plain,
        hint => hint,
    }
}

/// The hint of a key whose value is not searched for credentials.
pub(super) fn unredacted_hint(key: &Bound<'_, PyAny>) -> Hint {
    key.cast::<PyString>().ok().and_then(|name| name.to_str().ok()).map_or(Hint::Plain, unredacted_hint_of)
}

/// A named tuple as a plain tuple with its credentials replaced. None for any other object.
pub(super) fn redacted_named_tuple<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
    let py = object.py();
    let values = object.cast::<PyTuple>().ok()?;
    let names = object.get_type().getattr(intern!(py, "_fields")).ok()?.cast_into::<PyTuple>().ok()?;
    let under = |(name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>)| match checked_hint(&name) {
        Hint::Suspect if !value.is_none() => replacement(py),
        _ => value,
    };
    let redacted: Vec<_> = names.iter().zip(values.iter()).map(under).collect();
    if redacted.len() == values.len() { PyTuple::new(py, redacted).ok() } else { None }
}

/// The name in a pair of name and value, the form in which some clients list headers. None for any other item.
pub(super) fn header_name<'py>(item: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let (len, name) = if let Ok(pair) = item.cast_exact::<PyTuple>() {
        (pair.len(), pair.get_item(0))
    } else {
        let pair = item.cast_exact::<PyList>().ok()?;
        (pair.len(), pair.get_item(0))
    };
    if len == 2 { name.ok() } else { None }
}

/// A header pair with its value replaced.
pub(super) fn redacted_header<'py>(pair: &Bound<'py, PyAny>, name: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = pair.py();
    let items = [name, replacement(py)];
    Ok(if pair.is_exact_instance_of::<PyTuple>() {
        PyTuple::new(py, items)?.into_any()
    } else {
        PyList::new(py, items)?.into_any()
    })
}

/// Whether a suspicious name does not name a credential. A check that fails counts as a credential.
fn is_harmless(name: &Bound<'_, PyString>) -> bool {
    let py = name.py();
    let checked = handover::redaction(py).is_credential_name.bind(py).call1((name,));
    checked.and_then(|is_secret| is_secret.is_truthy()).is_ok_and(|is_secret| !is_secret)
}

/// A `repr` with its credentials replaced. A `repr` may show any text: one with a word from names of credentials is replaced as a
/// whole.
pub(super) fn redacted_repr(py: Python<'_>, repr: String) -> String {
    if has_word(&repr, true) {
        handover::redaction(py).redacted.clone()
    } else if may_be_in_url(&repr) {
        redact_text(&PyString::new(py, &repr)).to_string()
    } else {
        repr
    }
}

/// Whether a text may contain a URL with a password or a key.
pub(super) fn may_be_in_url(text: &str) -> bool {
    memchr2(b'@', b'?', text.as_bytes()).is_some() && text.contains("://")
}

/// A text with the passwords and keys of its URLs replaced.
pub(super) fn redact_text<'py>(text: &Bound<'py, PyString>) -> Bound<'py, PyString> {
    let py = text.py();
    let redaction = handover::redaction(py);
    let redacted = redaction.redact_text.bind(py).call1((text,));
    let redacted = redacted.and_then(|text| Ok(text.cast_into::<PyString>()?));
    redacted.unwrap_or_else(|_| PyString::new(py, &redaction.redacted))
}

/// Settings as a redact hook receives them: with their credentials replaced.
pub(crate) fn redact_settings(values: Bound<'_, PyAny>) -> Bound<'_, PyAny> {
    let py = values.py();
    let redacted = handover::redaction(py).redact_settings.bind(py).call1((values,));
    redacted.unwrap_or_else(|_| replacement(py))
}
