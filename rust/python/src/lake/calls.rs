//! The calls of tools in messages, as `python/plsync/promptlayer/mapping/tool_calls.py` reads them.

use super::json::{Kind, Known, Tree, Unusual, Value};

/// Whether a block has the id of one of the calls.
pub(super) fn repeats(block: Value<'_>, calls: &[Call<'_>]) -> bool {
    if block.get("toolUse").is_some() {
        return false;
    }
    let id = ["call_id", "toolUseId", "id"].into_iter().find_map(|key| block.get(key).and_then(Value::nonempty));
    id.is_some_and(|id| calls.iter().any(|call| call.id.is_some_and(|known| known.raw() == id.raw())))
}

/// A call of a tool.
pub(super) struct Call<'t> {
    pub(super) id: Option<Value<'t>>,
    pub(super) name: Value<'t>,
    pub(super) args: Option<Value<'t>>,
}

/// The calls of tools in an assistant's message.
pub(super) fn calls(item: Value<'_>, is_answer: bool) -> Known<Vec<Call<'_>>> {
    let list = |key| item.get(key).filter(|found| found.kind() == Kind::List && found.is_truthy());
    if list("invalid_tool_calls").is_some() {
        return Err(Unusual);
    }
    let Some(found) = list("tool_calls") else { return Ok(Vec::new()) };
    let mut calls = Vec::new();
    for call in found.items() {
        let others = ["partial_json", "input", "arguments"].into_iter().any(|key| call.get(key).is_some());
        let name = call.get("name").filter(|name| name.kind() == Kind::Text).ok_or(Unusual)?;
        let args = call.given("args");
        if others || args.is_some_and(|args| args.kind() == Kind::Text) {
            return Err(Unusual);
        }
        calls.push(Call { id: call.get("id").and_then(Value::nonempty), name, args });
    }
    if let (true, Some(chunks)) = (is_answer, list("tool_call_chunks")) {
        check_chunks(chunks, calls.len())?;
    }
    Ok(calls)
}

/// Refuses the calls of a stream unless the text of each is a JSON object.
fn check_chunks(chunks: Value<'_>, calls: usize) -> Known<()> {
    if chunks.items().count() != calls {
        return Err(Unusual);
    }
    for chunk in chunks.items() {
        if chunk.kind() != Kind::Object {
            return Err(Unusual);
        }
        if let Some(written) = chunk.get("args").and_then(Value::nonempty) {
            Tree::parse(without_spaces(&written.text()).as_bytes())?;
        }
    }
    Ok(())
}

/// The JSON without the spaces that models put beside brackets, commas and colons.
fn without_spaces(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for (at, character) in json.char_indices() {
        if character == ' ' && !in_text {
            let next = json[at..].trim_start_matches(' ').chars().next();
            if compact.ends_with(['{', '[', ',', ':'])
                || compact.is_empty()
                || next.is_none_or(|next| "}],:".contains(next))
            {
                continue;
            }
        }
        in_text ^= character == '"' && !escaped;
        escaped = character == '\\' && in_text && !escaped;
        compact.push(character);
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::without_spaces;

    #[test]
    fn only_spaces_without_a_meaning_are_removed() {
        assert_eq!(without_spaces(r#" { "a b" : [ 1 , "x, \" y" ] } "#), r#"{"a b":[1,"x, \" y"]}"#);
        assert_eq!(without_spaces("[1 2]"), "[1 2]");
    }
}
