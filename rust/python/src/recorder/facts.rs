//! The facts of a digest in the last label of an event: `rust/journal/src/facts.rs`.
//!
//! An event gets the label when its objects decide the facts beyond doubt. In any other case the journal makes the digest later, from the
//! bodies, by the rules of `python/plsync/journal/events`. These rules know the names of every provider; this file knows `LangChain`'s.

use plsync_journal::facts::{StartFacts, Tokens, kind_number};
use plsync_journal::{Draft, FrameKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};

use super::labelled::Labelled;
use super::models::Models;
use crate::encode::fields_of;
use crate::redact::redact_object;

/// The first parts of class paths whose third part names the provider.
const UMBRELLAS: [&str; 3] = ["langchain", "langchain_community", "langchain_classic"];
/// A part of each name under which a provider reports counts.
const IN_NAMES_OF_COUNTS: [&str; 10] =
    ["token", "usage", "eval", "prompt", "predicted", "billed", "meta", "metrics", "timing", "groq"];

/// A value that the rules for bodies must judge.
pub(super) struct Doubt;

/// Adds the facts of the start of a step.
pub(super) fn push_step(draft: &mut Draft, kind: Option<&str>) {
    if let Some(kind) = kind {
        StartFacts { kind: kind_number(kind), ..StartFacts::default() }.push(draft);
    }
}

/// Adds the facts of the start of a call, if its fields decide them.
pub(super) fn push_start(draft: &mut Draft, frame: FrameKind, labelled: &Labelled<'_, '_>, models: &Models<'_>) {
    let Some(kind) = labelled.kind.filter(|_| !labelled.is_doubtful) else { return };
    if frame == FrameKind::RunStart {
        return push_step(draft, Some(kind));
    }
    let names = [models.noted.as_ref(), models.passed.as_ref()];
    // A name that is empty does not count, and the next one does.
    if names.into_iter().flatten().any(|name| name.certain().is_none_or(str::is_empty)) {
        return;
    }
    // A chat model that is bound to another model passes its name; a text model notes it.
    let [noted, passed] = names.map(|name| name.and_then(|name| name.certain()));
    let model = if kind == "chat" { passed.or(noted) } else { noted.or(passed) };
    let noted_provider =
        match labelled.metadata.map(|metadata| metadata.get_item(intern!(metadata.py(), "ls_provider"))) {
            Some(Ok(provider)) => provider,
            Some(Err(_)) => return,
            None => None,
        };
    let noted_provider = noted_provider.and_then(|provider| provider.cast_into::<PyString>().ok());
    let provider = match noted_provider.as_ref().map(|object| (object, object.to_str())) {
        Some((object, Ok(text))) if !text.is_empty() => {
            // The body may have another text.
            if !object.is_exact_instance_of::<PyString>() || redact_object(object, text).is_some() {
                return;
            }
            Some(text)
        }
        Some((_, Err(_))) => return,
        Some(_) | None => None,
    };
    let (mut last, mut of_class) = (None, None);
    if let Some(path) = labelled.class.filter(|_| model.is_none() || provider.is_none()) {
        last = path.len().checked_sub(1).and_then(|at| path.get_item(at).ok()?.extract::<String>().ok());
        of_class = provider_of(path, last.as_deref());
    }
    let facts = StartFacts {
        kind: kind_number(kind),
        is_model_open: model.is_none() || models.has_more || models.has_two(),
        provider: provider.or(of_class.as_deref()).map(str::as_bytes),
        model: model.or(last.as_deref()).map(str::as_bytes),
    };
    facts.push(draft);
}

/// The provider that a class path names.
#[cold]
fn provider_of(path: &Bound<'_, PyList>, last: Option<&str>) -> Option<String> {
    let parts: Vec<String> = path.iter().filter_map(|part| part.extract().ok()).collect();
    let first = parts.first().map(String::as_str).unwrap_or_default();
    if parts.len() > 3 && UMBRELLAS.contains(&first) {
        return Some(parts[2].clone());
    }
    match first.strip_prefix("langchain_") {
        Some(provider) if first != "langchain_core" && !UMBRELLAS.contains(&first) => Some(provider.to_owned()),
        _ => last.map(str::to_lowercase),
    }
}

/// The tokens in a usage of `LangChain` with both counts and the total alone. Nearly every answer has such a usage.
pub(super) fn complete(usage: &Bound<'_, PyDict>) -> Option<Tokens> {
    if usage.len() != 3 {
        return None;
    }
    let py = usage.py();
    let count = |name| count(&usage.get_item(name).ok()??).ok();
    let [input, output, total] =
        [count(intern!(py, "input_tokens")), count(intern!(py, "output_tokens")), count(intern!(py, "total_tokens"))];
    total?;
    Some(Tokens { input: input?, output: output?, cached: 0 }).filter(|tokens| tokens.input > 0 && tokens.output > 0)
}

/// The tokens of an answer.
#[cold]
pub(super) fn tokens(
    generations: &Bound<'_, PyAny>,
    llm_output: Option<&Bound<'_, PyAny>>,
) -> Result<Option<Tokens>, Doubt> {
    let generations = generations.cast_exact::<PyList>().map_err(|_| Doubt)?;
    if generations.is_empty() {
        return if has_no_counts(llm_output) { Ok(None) } else { Err(Doubt) };
    }
    let py = generations.py();
    let first = fields_of(&generations.get_item(0).map_err(|_| Doubt)?).ok_or(Doubt)?;
    let message = match at(&first, intern!(py, "message"))? {
        Some(message) => Some(fields_of(&message).ok_or(Doubt)?),
        None => None,
    };
    let of_message = |name| message.as_ref().map_or(Ok(None), |message| at(message, name));
    let mut found = None;
    if let Some(usage) = of_message(intern!(py, "usage_metadata"))? {
        let tokens = read(usage.cast_exact::<PyDict>().map_err(|_| Doubt)?)?;
        if tokens.input > 0 && tokens.output > 0 {
            return Ok(Some(tokens));
        }
        found = Some(tokens);
    }
    // Another place may have counts, or more of them.
    let places = [
        of_message(intern!(py, "response_metadata"))?,
        of_message(intern!(py, "additional_kwargs"))?,
        at(&first, intern!(py, "generation_info"))?,
    ];
    let is_alone = generations.len() == 1 || found.is_some();
    if is_alone && has_no_counts(llm_output) && places.iter().all(|place| has_no_counts(place.as_ref())) {
        Ok(found)
    } else {
        Err(Doubt)
    }
}

/// The value of a field; `None` without one.
fn at<'py>(fields: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> Result<Option<Bound<'py, PyAny>>, Doubt> {
    Ok(fields.get_item(name).map_err(|_| Doubt)?.filter(|value| !value.is_none()))
}

/// The counts under `LangChain`'s own names.
fn read(usage: &Bound<'_, PyDict>) -> Result<Tokens, Doubt> {
    let mut tokens = Tokens::default();
    let mut counted = 0;
    for (name, value) in usage {
        let name = name.cast_exact::<PyString>().map_err(|_| Doubt)?;
        match name.to_str().map_err(|_| Doubt)? {
            "input_tokens" => (tokens.input, counted) = (count(&value)?, counted + 1),
            "output_tokens" => (tokens.output, counted) = (count(&value)?, counted + 1),
            "input_token_details" if !value.is_none() => {
                let details = value.cast_exact::<PyDict>().map_err(|_| Doubt)?;
                if let Some(cached) = at(details, intern!(usage.py(), "cache_read"))? {
                    tokens.cached = count(&cached)?;
                }
            }
            "total_tokens" | "input_token_details" | "output_token_details" | "total_cost" => {}
            _ => return Err(Doubt),
        }
    }
    if counted == 2 { Ok(tokens) } else { Err(Doubt) }
}

fn count(value: &Bound<'_, PyAny>) -> Result<u32, Doubt> {
    if value.is_instance_of::<PyBool>() {
        return Err(Doubt);
    }
    value.cast_exact::<PyInt>().map_err(|_| Doubt)?.extract().map_err(|_| Doubt)
}

/// Whether a place certainly reports no counts.
fn has_no_counts(place: Option<&Bound<'_, PyAny>>) -> bool {
    let Some(place) = place.filter(|place| !place.is_none()) else { return true };
    let Ok(place) = place.cast_exact::<PyDict>() else { return false };
    place.iter().all(|(name, _)| {
        let name = name.cast_exact::<PyString>().ok();
        let name = name.and_then(|name| name.to_str().ok()).map(str::to_ascii_lowercase);
        name.is_some_and(|name| !IN_NAMES_OF_COUNTS.iter().any(|part| name.contains(part)))
    })
}
