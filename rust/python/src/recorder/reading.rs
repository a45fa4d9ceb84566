//! What is read out of `LangChain`'s objects besides what is written down as it is.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

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
