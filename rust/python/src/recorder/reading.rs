//! What is read out of `LangChain`'s objects besides what is written down as it is.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

/// How deep names are looked at: settings, what is passed on to a client, its headers.
const MAX_DEPTH: usize = 4;
/// Left alone, as `privacy.py` does: the names in JSON schemas are the program's data.
const SCHEMAS: [&str; 5] = ["input_schema", "json_schema", "parameters", "properties", "schema"];

/// Settings or metadata, without the credentials that some programs and models pass with a call.
pub(super) fn without_secrets(values: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if !may_hold_secrets(&values, 0) {
        return Ok(values);
    }
    values.py().import("plsync.privacy")?.call_method1("without_secrets", (values,))
}

fn may_hold_secrets(value: &Bound<'_, PyAny>, depth: usize) -> bool {
    if let Ok(fields) = value.cast_exact::<PyDict>() {
        depth >= MAX_DEPTH
            || fields.iter().any(|(name, value)| match word(&name) {
                Some(name) => !SCHEMAS.contains(&name) && (is_suspect(name) || may_hold_secrets(&value, depth + 1)),
                None => may_hold_secrets(&value, depth + 1),
            })
    } else if let Ok(items) = value.cast_exact::<PyList>() {
        depth >= MAX_DEPTH || items.iter().any(|item| may_hold_secrets(&item, depth + 1))
    } else {
        false
    }
}

fn word<'a>(name: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    name.cast_exact::<PyString>().ok()?.to_str().ok()
}

/// Whether a name has a word in it that credentials have; `privacy.py` decides.
fn is_suspect(name: &str) -> bool {
    let name = name.as_bytes();
    let begins = |at: usize, word: &str| {
        name[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    // One look at each letter: this runs over every name of every call.
    let has_word = name.iter().enumerate().any(|(at, first)| match first | 0x20 {
        b'a' => begins(at, "authorization"),
        b'c' => begins(at, "cookie") || begins(at, "credential"),
        b'k' => begins(at, "key"),
        b'p' => begins(at, "password"),
        b's' => begins(at, "secret"),
        _ => false,
    });
    has_word || name.len() >= 5 && begins(name.len() - 5, "token")
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
