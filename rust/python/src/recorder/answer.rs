//! Facts that the recorder reads out of an answer, beside the answer itself.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Whether an answer comes from a `LangChain` cache. A total cost of 0 is the only mark that a cached answer has.
pub(super) fn is_cached(generations: &Bound<'_, PyAny>) -> bool {
    let py = generations.py();
    let total_cost = || {
        let first = generations.cast_exact::<PyList>().ok()?.get_item(0).ok()?;
        let usage =
            first.getattr_opt(intern!(py, "message")).ok()??.getattr_opt(intern!(py, "usage_metadata")).ok()??;
        usage.cast_exact::<PyDict>().ok()?.get_item(intern!(py, "total_cost")).ok()?
    };
    total_cost().is_some_and(|cost| cost.extract::<f64>().is_ok_and(|cost| cost == 0.0))
}

/// The kind of a call whose start was not recorded: only chat models answer with messages.
pub(super) fn kind_of(generations: &Bound<'_, PyAny>) -> &'static str {
    let has_message = generations.get_item(0).and_then(|first| first.hasattr("message"));
    if has_message.unwrap_or(false) { "chat" } else { "llm" }
}
