//! Separates tokens from other parts of a stream.
//!
//! Streams open and close with parts that hold no answer: the role, `message_start`, counted tokens. Thinking and the
//! parts of a tool call are tokens.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

/// Keys of a content block that hold no part of an answer.
const ABOUT: [&str; 3] = ["type", "index", "id"];
/// Words in the keys of `additional_kwargs` that hold a part of an answer.
const PARTS: [&str; 7] = ["reason", "think", "thought", "tool_call", "function_call", "refusal", "audio"];

/// Whether `on_llm_new_token` reports a part of the answer.
pub(super) fn is_token(token: &Bound<'_, PyAny>, chunk: Option<&Bound<'_, PyAny>>) -> bool {
    match token.cast::<PyString>() {
        Ok(text) => !is_empty(text) || chunk.is_some_and(has_part),
        Err(_) => has_content(token) || chunk.is_some_and(has_part),
    }
}

/// Whether the delta of a protocol event holds a part of the answer.
pub(super) fn has_delta(event: &Bound<'_, PyDict>) -> bool {
    match event.get_item(intern!(event.py(), "delta")) {
        Ok(Some(delta)) => has_content(&delta),
        _ => true,
    }
}

fn is_empty(text: &Bound<'_, PyString>) -> bool {
    text.len().is_ok_and(|length| length == 0)
}

/// Whether a chunk without a text holds a part of the answer.
fn has_part(chunk: &Bound<'_, PyAny>) -> bool {
    let py = chunk.py();
    let Ok(message) = chunk.getattr(intern!(py, "message")) else { return false };
    let at = |name| message.getattr(name).ok();
    if at(intern!(py, "tool_call_chunks")).is_some_and(|calls| calls.is_truthy().unwrap_or(true))
        || at(intern!(py, "content")).is_some_and(|content| has_content(&content))
    {
        return true;
    }
    let Some(extra) = at(intern!(py, "additional_kwargs")).and_then(|extra| extra.cast_into::<PyDict>().ok()) else {
        return false;
    };
    extra.iter().any(|(name, value)| {
        let is_part = |name: &str| PARTS.iter().any(|part| name.contains(part));
        let is_part = name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(is_part));
        is_part && has_content(&value)
    })
}

/// Whether a content, or a block of it, is more than an empty frame.
fn has_content(content: &Bound<'_, PyAny>) -> bool {
    if let Ok(blocks) = content.cast::<PyList>() {
        return blocks.iter().any(|block| has_content(&block));
    }
    let Ok(block) = content.cast::<PyDict>() else { return content.is_truthy().unwrap_or(true) };
    // A block of text or of reasoning has its content under the name of its type.
    if let Ok(Some(kind)) = block.get_item(intern!(block.py(), "type"))
        && let Ok(Some(part)) = block.get_item(&kind)
    {
        return has_content(&part);
    }
    block.iter().any(|(name, value)| {
        let is_about = name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(|name| ABOUT.contains(&name)));
        !is_about && has_content(&value)
    })
}
