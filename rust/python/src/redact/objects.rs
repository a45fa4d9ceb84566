//! Names and values of credentials among Python's objects.

use std::borrow::Cow;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString};

use super::names::{Name, meaning};
use super::value::is_random;

/// Keys of JSON schemas. A schema names the program's data, and a tool may well take a password.
pub(crate) fn is_schema_key(name: &str) -> bool {
    matches!(name, "input_schema" | "json_schema" | "parameters" | "properties" | "schema")
}

/// The meaning of a key, which may be text or bytes.
pub(crate) fn meaning_of(key: &Bound<'_, PyAny>) -> Name {
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return meaning(bytes.as_bytes());
    }
    key.cast::<PyString>().map_or(Name::Plain, |name| meaning(name.to_string_lossy().as_bytes()))
}

/// Whether a value under a name with this meaning is a credential. Under some names only a text is one.
pub(crate) fn is_credential(name: Name, value: &Bound<'_, PyAny>) -> bool {
    match name {
        Name::Plain => false,
        Name::Random => is_random_text(value),
        Name::Text => value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>(),
        Name::Credential => !value.is_none() && !value.is_instance_of::<PyBool>(),
    }
}

fn is_random_text(value: &Bound<'_, PyAny>) -> bool {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return is_random(bytes.as_bytes(), false);
    }
    value.cast::<PyString>().is_ok_and(|text| is_random(text.to_string_lossy().as_bytes(), false))
}

/// Whether a text names a credential, and the next item of the same list is its value: `["--api-key", "..."]`.
pub(crate) fn is_value_behind(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> bool {
    let is_option = || name.cast::<PyString>().is_ok_and(|name| name.to_string_lossy().starts_with("--"));
    value.is_instance_of::<PyString>() && meaning_of(name) == Name::Credential && (is_option() || is_random_text(value))
}

/// Whether a dict names a credential and has its value under `value`: `{"name": "Authorization", "value": "..."}`.
pub(crate) fn names_credential(dict: &Bound<'_, PyDict>) -> bool {
    let py = dict.py();
    [intern!(py, "name"), intern!(py, "key"), intern!(py, "header")]
        .into_iter()
        .any(|field| dict.get_item(field).ok().flatten().is_some_and(|name| meaning_of(&name) == Name::Credential))
}

/// The text with a function applied; the same object when nothing is replaced.
///
/// Lone surrogates can't be in a Rust string. A text with one is searched with U+FFFD in its place, and keeps it when unchanged.
pub(crate) fn replaced<'py>(
    text: &Bound<'py, PyString>,
    redact: impl Fn(&str) -> Option<String>,
) -> Bound<'py, PyString> {
    let known: Cow<'_, str> = text.to_string_lossy();
    redact(&known).map_or_else(|| text.clone(), |redacted| PyString::new(text.py(), &redacted))
}
