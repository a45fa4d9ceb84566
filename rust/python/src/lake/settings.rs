//! The parameters and the tools of a request, as `python/plsync/promptlayer/mapping` maps them.

use crate::redact::{Name, meaning};

use super::json::{Kind, Known, Unusual, Value};

/// Parameters that other columns have.
const ELSEWHERE: &[&str] =
    &["model", "model_name", "model_id", "_type", "tools", "tool_choice", "functions", "function_call"];
const PASSED_ON: &[&str] = &["model_kwargs", "extra_body", "extra_query"];
/// Parameters of the metadata of a text model.
const STANDARD: &[(&str, &str)] =
    &[("ls_temperature", "temperature"), ("ls_max_tokens", "max_tokens"), ("ls_stop", "stop")];
const FORMATS: &[&str] = &["response_format", "text", "format", "tools"];
/// Parameters in which a client takes a class or a schema, which Python replaces.
const SCHEMAS: &[&str] = &["response_format", "response_schema", "format", "output_format", "text_format"];

/// Refuses parameters with the name of a class, and tools that are bare schemas.
fn check_schemas(params: Value<'_>) -> Known<()> {
    let mut formats = SCHEMAS.iter().filter_map(|key| params.get(key));
    if formats.any(|value| value.kind() == Kind::Text && value.raw().starts_with("<class ")) {
        return Err(Unusual);
    }
    let tools = params.get("tools").into_iter().flat_map(Value::items);
    if tools.into_iter().any(is_schema) { Err(Unusual) } else { Ok(()) }
}

fn is_schema(value: Value<'_>) -> bool {
    let has = |key: &str| value.get(key).is_some_and(|found| found.kind() == Kind::Object);
    has("properties") || (has("$defs") && value.get("$ref").is_some())
}

/// Writes the parameters without names, tools, empty values and values that may be secrets.
pub(super) fn write_params(
    params: Option<Value<'_>>,
    options: Option<Value<'_>>,
    metadata: Option<Value<'_>>,
    out: &mut String,
) -> Known<()> {
    out.push('{');
    let mut names: Vec<&str> = Vec::new();
    if let Some(params) = params {
        check_schemas(params)?;
        write_kept(params, true, &mut names, out)?;
    }
    let standard = STANDARD.iter().map(|(key, name)| (metadata, *key, *name));
    for (place, key, name) in standard.chain([(options, "stop", "stop")]) {
        if let Some(value) = place.and_then(|place| place.given(key)).filter(|_| !names.contains(&name)) {
            write_name(name, &mut names, out);
            value.write(out)?;
        }
    }
    let format = options.and_then(|options| options.given("ls_structured_output_format"));
    let has_format = params.is_some_and(|params| FORMATS.iter().any(|key| params.get(key).is_some()));
    if let Some(format) = format.filter(|_| !has_format) {
        write_name("response_format", &mut names, out);
        write_format(format.get("schema").filter(|schema| schema.kind() == Kind::Object), out)?;
    }
    out.push('}');
    Ok(())
}

/// Writes a schema as `OpenAI`'s `response_format`.
fn write_format(schema: Option<Value<'_>>, out: &mut String) -> Known<()> {
    let title = schema.and_then(|schema| schema.get("title")).and_then(Value::nonempty);
    out.push_str(r#"{"type":"json_schema","json_schema":{"name":""#);
    out.push_str(title.map_or("answer", Value::raw));
    out.push_str(r#"","schema":"#);
    match schema {
        Some(schema) => schema.write(out)?,
        None => out.push_str("{}"),
    }
    out.push_str("}}");
    Ok(())
}

fn write_name<'n>(name: &'n str, names: &mut Vec<&'n str>, out: &mut String) {
    if !names.is_empty() {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
    names.push(name);
}

fn write_kept<'t>(params: Value<'t>, is_top: bool, names: &mut Vec<&'t str>, out: &mut String) -> Known<()> {
    for (key, value) in params.entries() {
        let name = key.raw();
        if !name.is_ascii() || name.contains('\\') {
            return Err(Unusual);
        }
        if value.kind() == Kind::Null || ELSEWHERE.contains(&name) || is_secret(name) {
            continue;
        }
        write_name(name, names, out);
        if is_top && name == "response_format" && is_schema(value) {
            write_format(Some(value), out)?;
        } else if PASSED_ON.contains(&name) && value.kind() == Kind::Object {
            out.push('{');
            write_kept(value, false, &mut Vec::new(), out)?;
            out.push('}');
        } else {
            value.write(out)?;
        }
    }
    Ok(())
}

fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let word = lower.strip_suffix('s').unwrap_or(&lower).strip_suffix("header");
    meaning(name.as_bytes()) != Name::Plain || word.is_some_and(|before| before.is_empty() || before.ends_with('_'))
}

/// Writes the functions that the request offers. Returns whether it offers any.
pub(super) fn write_tools(params: Option<Value<'_>>, out: &mut String) -> Known<bool> {
    let Some(params) = params else { return Ok(false) };
    if params.given("functions").is_some() || params.given("toolConfig").is_some() {
        return Err(Unusual);
    }
    let mut count = 0;
    out.push('[');
    for tool in params.get("tools").into_iter().flat_map(Value::items) {
        if count > 0 {
            out.push(',');
        }
        write_function(function_of(tool)?, out)?;
        count += 1;
    }
    out.push(']');
    Ok(count > 0)
}

/// The function of a tool: `OpenAI`'s nested one, or a flat one.
fn function_of(tool: Value<'_>) -> Known<Value<'_>> {
    let others = ["function_declarations", "functionDeclarations", "custom", "toolSpec"];
    if tool.kind() != Kind::Object || others.iter().any(|key| tool.get(key).is_some()) {
        return Err(Unusual);
    }
    if let Some(function) = tool.get("function").filter(|function| function.kind() == Kind::Object) {
        return Ok(function);
    }
    match tool.given("type") {
        None => Ok(tool),
        Some(kind) if kind.kind() == Kind::Text && kind.raw() == "function" => Ok(tool),
        Some(_) => Err(Unusual),
    }
}

fn write_function(function: Value<'_>, out: &mut String) -> Known<()> {
    let name = function.get("name").and_then(Value::nonempty).ok_or(Unusual)?;
    let description = function.given("description");
    if description.is_some_and(|text| text.kind() != Kind::Text) {
        return Err(Unusual);
    }
    let schema = ["parameters", "input_schema"]
        .into_iter()
        .find_map(|key| function.get(key).filter(|schema| schema.is_truthy()));
    let schema = schema.filter(|schema| schema.kind() == Kind::Object).ok_or(Unusual)?;
    out.push_str(r#"{"type":"function","name":"#);
    name.write(out)?;
    out.push_str(r#","description":""#);
    out.push_str(description.map_or("", Value::raw));
    out.push_str(r#"","parameters":"#);
    schema.write(out)?;
    if function.get("strict").is_some_and(|strict| strict.kind() == Kind::True) {
        out.push_str(r#","strict":true"#);
    }
    out.push('}');
    Ok(())
}
