//! Facts that the recorder reads out of an answer, beside the answer itself.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::encode::attribute;

/// The usage of the first candidate's message, if it is a dict.
pub(super) fn usage_of<'py>(generations: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let py = generations.py();
    let first = generations.cast_exact::<PyList>().ok()?.get_item(0).ok()?;
    let message = attribute(&first, intern!(py, "message")).ok()??;
    let usage = attribute(&message, intern!(py, "usage_metadata")).ok()??;
    usage.cast_into_exact::<PyDict>().ok()
}

/// Whether an answer with this usage comes from a `LangChain` cache. A total cost of 0 is the only mark that a cached answer has.
pub(super) fn is_cached(usage: &Bound<'_, PyDict>) -> bool {
    let total_cost = usage.get_item(intern!(usage.py(), "total_cost")).ok().flatten();
    total_cost.is_some_and(|cost| cost.extract::<f64>().is_ok_and(|cost| cost == 0.0))
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
