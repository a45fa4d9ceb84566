//! The functions for Python, which `python/plsync/_native.pyi` documents.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::names::Name;
use super::objects::{meaning_of, replaced};
use super::{known, settings, text, urls};

#[pyfunction]
pub(crate) fn is_credential_name(key: &Bound<'_, PyAny>) -> bool {
    meaning_of(key) != Name::Plain
}

#[pyfunction]
pub(crate) fn is_url_credential(name: &str) -> bool {
    urls::is_url_credential(name)
}

#[pyfunction]
pub(crate) fn redact_text<'py>(text: &Bound<'py, PyString>) -> Bound<'py, PyString> {
    replaced(text, text::redact_text)
}

#[pyfunction]
pub(crate) fn redact_urls<'py>(text: &Bound<'py, PyString>) -> Bound<'py, PyString> {
    replaced(text, urls::redact_urls)
}

#[pyfunction]
pub(crate) fn redact_secrets<'py>(text: &Bound<'py, PyString>, secrets: Vec<String>) -> Bound<'py, PyString> {
    replaced(text, |text| known::redact_secrets(text, &secrets))
}

#[pyfunction]
pub(crate) fn redact_settings<'py>(value: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    settings::redact_settings(value.clone())
}
