//! The names of tools in messages, as `python/plsync/genai/messages.py` finds them.

use std::borrow::Cow;

use super::json::{Value, unescaped};
use super::messages::{Message, Role};

/// The names of the tools that the messages call.
pub(super) fn called_tools<'t>(messages: &[Message<'t>]) -> Vec<Cow<'t, str>> {
    messages.iter().flat_map(|message| &message.calls).map(|(_, name)| name.text()).collect()
}

/// The names of the tools whose failures the request reports first.
pub(super) fn failed_tools<'t>(messages: &[Message<'t>]) -> Vec<Cow<'t, str>> {
    let mut failed = Vec::new();
    for (at, message) in messages.iter().enumerate().rev() {
        if message.role == Role::Assistant {
            break;
        }
        if let Some((id, true)) = message.result {
            let mut calls = messages[..at].iter().rev().flat_map(|earlier| &earlier.calls);
            let name = calls.find(|(known, _)| known == id).and_then(|(_, name)| name.nonempty());
            failed.push(name.or(message.name).map_or_else(|| unescaped(id), Value::text));
        }
    }
    failed.reverse();
    failed
}
