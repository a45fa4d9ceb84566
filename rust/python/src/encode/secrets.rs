//! Credentials among settings and metadata: known by the names they go by, and replaced.
//!
//! What is plain is looked through as it is written ([`super::plain`]); a name with a suspicious word in it leaves the value to the
//! copier ([`super::tagged`]), which asks `privacy.py` about that name and sees into whatever the value is made of.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::names::{Look, has_word, look_of};

/// What stands in a credential's place, as in `privacy.py`.
pub(crate) const GONE: &str = "[redacted]";

/// What a key says about the value under it; [`Look::Suspect`] is a verdict here.
pub(super) fn verdict(key: &Bound<'_, PyAny>) -> Look {
    let Ok(name) = key.cast::<PyString>() else { return Look::Plain };
    match look_of(&name.to_string_lossy()) {
        Look::Suspect if is_innocent(name) => Look::Plain,
        look => look,
    }
}

/// Whoever cannot be asked has not said no.
fn is_innocent(name: &Bound<'_, PyString>) -> bool {
    let py = name.py();
    let asked = py.import("plsync.privacy").and_then(|privacy| privacy.call_method1("names_a_secret", (name,)));
    asked.and_then(|answer| answer.is_truthy()).is_ok_and(|is_secret| !is_secret)
}

/// A `repr` shows what it likes: one that speaks of credentials is not kept.
pub(super) fn shown(repr: String) -> String {
    if has_word(&repr, true) { GONE.into() } else { repr }
}

/// Settings for the eyes of a hook.
pub(crate) fn without_secrets(values: Bound<'_, PyAny>) -> Bound<'_, PyAny> {
    let py = values.py();
    let privacy = py.import("plsync.privacy");
    let cleared = privacy.and_then(|privacy| privacy.call_method1(intern!(py, "without_secrets"), (values,)));
    cleared.unwrap_or_else(|_| PyString::new(py, GONE).into_any())
}
