//! Messages in the JSON of OpenTelemetry's `gen_ai` conventions, as `python/plsync/genai/messages.py` maps them.

use std::borrow::Cow;
use std::fmt::Write;

use super::calls::{Call, calls, repeats};
use super::json::{Kind, Known, Unusual, Value};

/// Fields of `additional_kwargs` that change a message.
const ADDED: &[&str] =
    &["reasoning_content", "reasoning", "refusal", "tool_outputs", "audio", "function_call", "__openai_role__"];
/// Blocks that repeat a call of the message's `tool_calls`.
const CALLS: &[&str] = &["tool_call", "tool_use", "function_call", "custom_tool_call"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
    System,
    Tool,
}

impl Role {
    fn of(message: Value<'_>) -> Known<Self> {
        let kind = message.get("type").filter(|kind| kind.kind() == Kind::Text).ok_or(Unusual)?;
        match kind.raw() {
            "human" | "HumanMessageChunk" | "user" => Ok(Self::User),
            "ai" | "AIMessageChunk" | "assistant" => Ok(Self::Assistant),
            "system" | "SystemMessageChunk" => Ok(Self::System),
            "tool" | "ToolMessageChunk" => Ok(Self::Tool),
            _ => Err(Unusual),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }
}

/// The facts of a message that columns beside the messages need. Texts are raw.
pub(super) struct Message<'t> {
    pub(super) role: Role,
    /// The id and the name of each tool call.
    pub(super) calls: Vec<(Cow<'t, str>, Value<'t>)>,
    /// The id of the call whose result the message is, and whether the tool failed.
    pub(super) result: Option<(&'t str, bool)>,
    pub(super) name: Option<Value<'t>>,
    parts: usize,
}

impl Message<'_> {
    fn new(role: Role) -> Self {
        Self { role, calls: Vec::new(), result: None, name: None, parts: 0 }
    }
}

/// Writes the messages of a request.
pub(super) fn input<'t>(start: Value<'t>, out: &mut String) -> Known<Vec<Message<'t>>> {
    let found = start.given("messages").or_else(|| start.given("prompts"));
    if found.is_some_and(|messages| messages.kind() != Kind::List)
        || (found.is_none() && start.given("inputs").is_some())
    {
        return Err(Unusual);
    }
    let mut messages = Vec::new();
    out.push('[');
    for item in found.into_iter().flat_map(Value::items) {
        if !messages.is_empty() {
            out.push(',');
        }
        messages.push(message(item, Role::User, out)?);
        out.push('}');
    }
    out.push(']');
    Ok(messages)
}

/// Writes the candidates of an answer.
pub(super) fn output<'t>(generations: &[Value<'t>], failed: bool, out: &mut String) -> Known<Vec<Message<'t>>> {
    let mut messages = Vec::new();
    out.push('[');
    for generation in generations {
        let answer = generation.get("message").filter(|message| message.kind() == Kind::Object);
        let text = generation.get("text").filter(|text| text.kind() == Kind::Text);
        let before = out.len();
        if !messages.is_empty() {
            out.push(',');
        }
        let made = match (answer, text) {
            (Some(item), _) | (None, Some(item)) => message(item, Role::Assistant, out)?,
            (None, None) => {
                out.push_str(r#"{"role":"assistant","parts":[]"#);
                Message::new(Role::Assistant)
            }
        };
        if made.parts == 0 && failed {
            out.truncate(before);
            continue;
        }
        out.push_str(r#","finish_reason":"#);
        out.push('"');
        write_reason(*generation, &made, failed, out)?;
        out.push_str("\"}");
        messages.push(made);
    }
    out.push(']');
    Ok(messages)
}

/// Writes a message without its last bracket. A text is a message of the `speaker`.
fn message<'t>(item: Value<'t>, speaker: Role, out: &mut String) -> Known<Message<'t>> {
    let is_text = item.kind() == Kind::Text;
    if !is_text && item.kind() != Kind::Object {
        return Err(Unusual);
    }
    let mut made = Message::new(if is_text { speaker } else { Role::of(item)? });
    if speaker == Role::Assistant && made.role != Role::Assistant {
        return Err(Unusual);
    }
    let _ = write!(out, r#"{{"role":"{}","parts":["#, made.role.name());
    if is_text {
        write_text(item, &mut made, out);
        out.push(']');
        return Ok(made);
    }
    let content = item.get("content").ok_or(Unusual)?;
    check_beside(item)?;
    match made.role {
        Role::Tool => write_result(item, content, &mut made, out)?,
        Role::Assistant => {
            let calls = calls(item, speaker == Role::Assistant)?;
            write_blocks(content, Some(&calls), &mut made, out)?;
            write_calls(&calls, &mut made, out)?;
        }
        Role::User | Role::System => write_blocks(content, None, &mut made, out)?,
    }
    out.push(']');
    made.name = item.get("name").and_then(Value::nonempty);
    if let Some(name) = made.name {
        out.push_str(r#","name":"#);
        name.write(out)?;
    }
    Ok(made)
}

/// Refuses fields beside the content that change a message.
fn check_beside(item: Value<'_>) -> Known<()> {
    let additional = item.get("additional_kwargs").filter(|value| value.is_truthy());
    if let Some(additional) = additional {
        let known = additional.kind() == Kind::Object
            && additional.entries().all(|(key, value)| !ADDED.contains(&key.raw()) || !value.is_truthy());
        known.then_some(()).ok_or(Unusual)?;
    }
    let metadata = item.get("response_metadata").filter(|value| value.is_truthy());
    let known = metadata.is_none_or(|found| found.kind() == Kind::Object && found.get("grounding_metadata").is_none());
    known.then_some(()).ok_or(Unusual)
}

/// Writes a part with a text, unless the text is empty.
fn write_text(text: Value<'_>, made: &mut Message<'_>, out: &mut String) {
    write_part("text", text, made, out);
}

fn write_part(kind: &str, text: Value<'_>, made: &mut Message<'_>, out: &mut String) {
    if text.raw().is_empty() {
        return;
    }
    if made.parts > 0 {
        out.push(',');
    }
    let _ = write!(out, r#"{{"type":"{kind}","content":"{}"}}"#, text.raw());
    made.parts += 1;
}

/// The text of a block of text. [`Unusual`] for a block of another kind.
fn text_of(block: Value<'_>) -> Known<Value<'_>> {
    if block.kind() == Kind::Text {
        return Ok(block);
    }
    let text = block.get("text").filter(|text| text.kind() == Kind::Text).ok_or(Unusual)?;
    let known = match block.given("type") {
        Some(kind) => kind.kind() == Kind::Text && matches!(kind.raw(), "text" | "output_text" | "input_text"),
        None => block.get("toolUse").is_none() && block.get("toolResult").is_none(),
    };
    // An empty text may be the beginning of a call.
    (known && (!text.raw().is_empty() || block.get("args").is_none())).then_some(text).ok_or(Unusual)
}

/// Writes the parts of the content. Blocks that repeat the calls of an answer are left out.
fn write_blocks<'t>(
    content: Value<'t>,
    calls: Option<&[Call<'t>]>,
    made: &mut Message<'t>,
    out: &mut String,
) -> Known<()> {
    match content.kind() {
        Kind::Text => write_text(content, made, out),
        Kind::List => {
            for block in content.items() {
                let kind = block.get("type").and_then(Value::nonempty).map_or("", Value::raw);
                if let (Some(calls), true) = (calls, CALLS.contains(&kind)) {
                    if !repeats(block, calls) {
                        return Err(Unusual);
                    }
                } else if matches!(kind, "thinking" | "reasoning") {
                    let given = ["reasoning", "thinking"]
                        .into_iter()
                        .find_map(|key| block.get(key).filter(|text| text.is_truthy()));
                    write_part("reasoning", given.and_then(Value::nonempty).ok_or(Unusual)?, made, out);
                } else {
                    write_text(text_of(block)?, made, out);
                }
            }
        }
        _ => return Err(Unusual),
    }
    Ok(())
}

fn write_calls<'t>(calls: &[Call<'t>], made: &mut Message<'t>, out: &mut String) -> Known<()> {
    for (number, call) in calls.iter().enumerate() {
        let id = call.id.map_or_else(|| Cow::Owned(format!("call_{number}")), |id| Cow::Borrowed(id.raw()));
        if made.parts > 0 {
            out.push(',');
        }
        let _ = write!(out, r#"{{"type":"tool_call","id":"{id}","name":"{}","arguments":"#, call.name.raw());
        match call.args {
            Some(args) => args.write(out)?,
            None => out.push_str("{}"),
        }
        out.push('}');
        made.parts += 1;
        made.calls.push((id, call.name));
    }
    Ok(())
}

/// Writes the result of a tool.
fn write_result<'t>(item: Value<'t>, content: Value<'t>, made: &mut Message<'t>, out: &mut String) -> Known<()> {
    let id = item.get("tool_call_id").and_then(Value::nonempty).ok_or(Unusual)?;
    let failed = item.get("status").and_then(Value::nonempty).is_some_and(|status| status.raw() == "error");
    let _ = write!(out, r#"{{"type":"tool_call_response","id":"{}","response":""#, id.raw());
    match content.kind() {
        Kind::Text => out.push_str(content.raw()),
        Kind::List => {
            let mut is_first = true;
            for block in content.items() {
                let text = text_of(block)?.raw();
                if !text.is_empty() {
                    out.push_str(if is_first { "" } else { "\\n" });
                    out.push_str(text);
                    is_first = false;
                }
            }
        }
        _ => return Err(Unusual),
    }
    out.push_str(if failed { r#"","status":"error"}"# } else { "\"}" });
    made.parts += 1;
    made.result = Some((id.raw(), failed));
    Ok(())
}

/// Writes the reason for which a model stopped, in the conventions' words.
fn write_reason(generation: Value<'_>, made: &Message<'_>, failed: bool, out: &mut String) -> Known<()> {
    let message = generation.get("message");
    let metadata = message.and_then(|message| message.get("response_metadata"));
    let details = metadata.and_then(|metadata| metadata.get("incomplete_details"));
    let places = [metadata, generation.get("generation_info"), details];
    let keys = ["finish_reason", "stop_reason", "done_reason", "stopReason", "reason"];
    let found = places
        .into_iter()
        .flatten()
        .find_map(|place| keys.iter().find_map(|key| place.get(key).and_then(Value::nonempty)));
    let Some(found) = found else {
        out.push_str(match (failed, made.calls.is_empty()) {
            (true, _) => "error",
            (false, false) => "tool_call",
            (false, true) => "stop",
        });
        return Ok(());
    };
    let reason = found.raw().to_ascii_lowercase();
    let is_word = reason.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // The name of an enum stands before some reasons.
    if !is_word || reason.contains("reason") {
        return Err(Unusual);
    }
    out.push_str(match reason.as_str() {
        "stop" | "end_turn" | "stop_sequence" => "stop",
        "length" | "max_tokens" | "max_output_tokens" => "length",
        "content_filter" | "safety" | "refusal" => "content_filter",
        "tool_calls" | "tool_use" | "function_call" | "tool_call" => "tool_call",
        other => other,
    });
    Ok(())
}
