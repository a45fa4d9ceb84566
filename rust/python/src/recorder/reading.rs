//! What is read out of `LangChain`'s objects besides what is written down as it is.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::names::{Look, Names, look_of, names};

/// How deep names are looked at: settings, what is passed on to a client, its headers.
const MAX_DEPTH: usize = 4;

/// Settings or metadata, without the credentials that some programs and models pass with a call.
pub(super) fn without_secrets(values: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if !may_hold_secrets(&values, names().as_deref_mut(), 0) {
        return Ok(values);
    }
    values.py().import("plsync.privacy")?.call_method1("without_secrets", (values,))
}

fn may_hold_secrets(value: &Bound<'_, PyAny>, mut names: Option<&mut Names>, depth: usize) -> bool {
    if let Ok(fields) = value.cast_exact::<PyDict>() {
        depth >= MAX_DEPTH
            || fields.iter().any(|(name, value)| match look(&name, names.as_deref_mut()) {
                Look::Suspect => true,
                Look::Schema => false,
                Look::Plain => may_hold_secrets(&value, names.as_deref_mut(), depth + 1),
            })
    } else if let Ok(items) = value.cast_exact::<PyList>() {
        depth >= MAX_DEPTH || items.iter().any(|item| may_hold_secrets(&item, names.as_deref_mut(), depth + 1))
    } else {
        false
    }
}

fn look(name: &Bound<'_, PyAny>, names: Option<&mut Names>) -> Look {
    let Ok(name) = name.cast_exact::<PyString>() else { return Look::Plain };
    if let Some(known) = names.and_then(|names| names.find(name)) {
        return known.look();
    }
    name.to_str().map_or(Look::Plain, look_of)
}

/// An answer from a cache of `LangChain` has no other mark than this cost.
pub(super) fn is_cached(generations: &Bound<'_, PyAny>) -> bool {
    let py = generations.py();
    let usage = || {
        let first = generations.cast_exact::<PyList>().ok()?.get_item(0).ok()?;
        let usage =
            first.getattr_opt(intern!(py, "message")).ok()??.getattr_opt(intern!(py, "usage_metadata")).ok()??;
        usage.cast_exact::<PyDict>().ok()?.get_item(intern!(py, "total_cost")).ok()?
    };
    usage().is_some_and(|cost| cost.extract::<f64>().is_ok_and(|cost| cost == 0.0))
}

/// The kind of a call whose start was not seen: only chat models answer with messages.
pub(super) fn kind_of(generations: &Bound<'_, PyAny>) -> &'static str {
    let first = generations.get_item(0).and_then(|first| first.hasattr("message"));
    if first.unwrap_or(false) { "chat" } else { "llm" }
}
