//! Facts that the recorder reads out of an answer, beside the answer itself.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::encode::attribute;

/// Whether an answer comes from a `LangChain` cache. A total cost of 0 is the only mark that a cached answer has.
pub(super) fn is_cached(generations: &Bound<'_, PyAny>) -> bool {
    let py = generations.py();
    let total_cost = || {
        let first = generations.cast_exact::<PyList>().ok()?.get_item(0).ok()?;
        let message = attribute(&first, intern!(py, "message")).ok()??;
        let usage = attribute(&message, intern!(py, "usage_metadata")).ok()??;
        usage.cast_exact::<PyDict>().ok()?.get_item(intern!(py, "total_cost")).ok()?
    };
    total_cost().is_some_and(|cost| cost.extract::<f64>().is_ok_and(|cost| cost == 0.0))
}

/// The kind of a call whose start was not recorded: only chat models answer with messages.
pub(super) fn kind_of(generations: &Bound<'_, PyAny>) -> &'static str {
    let has_message = generations.get_item(0).and_then(|first| first.hasattr("message"));
    if has_message.unwrap_or(false) { "chat" } else { "llm" }
}

/// The candidates in an `LLMResult`: a list for the first prompt, and lists for further prompts. None for any other object.
///
/// `LangChain` returns a list of candidates for each prompt, and a run has exactly one prompt.
pub(super) fn generations_of<'py>(response: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, Vec<Bound<'py, PyAny>>)> {
    let name = intern!(response.py(), "generations");
    let generations = match response.cast::<PyDict>() {
        Ok(fields) => fields.get_item(name).ok()??,
        Err(_) => attribute(response, name).ok()??,
    };
    let of_prompts = generations.cast_exact::<PyList>().ok().filter(|lists| !lists.is_empty());
    let first = of_prompts.and_then(|lists| lists.get_item(0).ok()).filter(PyAnyMethods::is_instance_of::<PyList>);
    let (Some(of_prompts), Some(first)) = (of_prompts, first) else { return Some((generations, Vec::new())) };
    let more = if of_prompts.len() == 1 { Vec::new() } else { of_prompts.iter().skip(1).collect() };
    Some((first, more))
}
