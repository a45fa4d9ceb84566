//! The columns of a call, as `python/plsync/genai/columns.py` makes them.

use std::borrow::Cow;

use plsync_journal::{CallEnd, FLAG_FORGOTTEN, FLAG_PRUNED, FLAG_RENEWED, FLAG_RUN};

use super::json::{Kind, Known, Tree, Unusual, Value};
use super::{messages, names, settings, tools, usage};

/// 9999-12-31T23:59:59.999999, the last time of engines, in µs.
const LAST_US: i64 = 253_402_300_799_999_999;

/// A stored record.
pub(super) struct Stored<'a> {
    pub(super) id: [u8; 16],
    pub(super) seq: u64,
    pub(super) state: &'static str,
    pub(super) ended: CallEnd,
    pub(super) flags: u8,
    pub(super) request_id: Option<u64>,
    pub(super) acked_at_ns: Option<u64>,
    pub(super) start: Option<&'a [u8]>,
    pub(super) end: Option<&'a [u8]>,
}

/// A cell of a row, in the type of its column.
pub(super) enum Cell<'t> {
    Text(Option<Cow<'t, str>>),
    Number(Option<i64>),
    Texts(Vec<Cow<'t, str>>),
    Map(Vec<Entry<'t>>),
}

/// A key, and its value as text.
type Entry<'t> = (Cow<'t, str>, Option<Cow<'t, str>>);

/// The events of a record, parsed.
pub(super) struct Events<'a> {
    start: Tree<'a>,
    end: Option<Tree<'a>>,
}

impl<'a> Events<'a> {
    pub(super) fn parse(stored: &Stored<'a>) -> Known<Self> {
        let start = Tree::parse(stored.start.ok_or(Unusual)?)?;
        Ok(Self { start, end: stored.end.map(Tree::parse).transpose()? })
    }
}

/// The row of a call, in the order of the columns.
pub(super) fn row<'t>(
    stored: &Stored<'_>,
    events: &'t Events<'_>,
    journal_id: &'t str,
    content: bool,
) -> Known<Vec<Cell<'t>>> {
    if stored.flags & (FLAG_RUN | FLAG_PRUNED | FLAG_FORGOTTEN) != 0 || stored.ended == CallEnd::Abandoned {
        return Err(Unusual);
    }
    let (start, end) = (events.start.root(), events.end.as_ref().map(Tree::root));
    let kind = start.get("kind").and_then(Value::nonempty).ok_or(Unusual)?.raw();
    let operation = match kind {
        "chat" => "chat",
        "llm" => "text_completion",
        _ => return Err(Unusual),
    };
    let metadata = object_at(start, "metadata")?;
    let params = object_at(start, "params")?;
    let options = object_at(start, "options")?;
    let generations = generations(end)?;
    let path = names::class_path(start)?;
    let class = path.last().copied();
    let failed = stored.ended == CallEnd::Error;
    let error = end.and_then(|end| end.get("error")).filter(|error| error.kind() == Kind::Object && error.is_truthy());
    let used = end.map_or(Ok(usage::Usage::default()), |end| usage::usage(&generations, end))?;
    let times = Times::of(start, end)?;
    let ids = Ids::of(stored, start)?;

    let mut sent_json = String::with_capacity(stored.start.map_or(0, <[u8]>::len));
    let sent = messages::input(start, &mut sent_json)?;
    let mut received_json = String::with_capacity(stored.end.map_or(0, <[u8]>::len));
    let received = messages::output(&generations, failed, &mut received_json)?;
    let mut params_json = String::new();
    settings::write_params(params, options, metadata, &mut params_json)?;
    let mut tools_json = String::new();
    let has_tools = settings::write_tools(params, &mut tools_json)?;

    let either = |key: &str| -> Known<Cell<'t>> {
        let found = start.get(key).filter(|value| value.is_truthy());
        let found = found.or_else(|| end.and_then(|end| end.get(key)).filter(|value| value.is_truthy()));
        Ok(text(found.and_then(Value::nonempty)))
    };
    let json = |json: String| Cell::Text(content.then_some(Cow::Owned(json)));
    let model = names::model(kind == "chat", metadata, params, &generations, end)?.or(class);
    let message = error.map(|error| names::text_at(Some(error), "message").map_or(Cow::Borrowed(""), Value::text));
    Ok(vec![
        owned(ids.record),
        Cell::Text(Some(Cow::Borrowed(journal_id))),
        Cell::Number(i64::try_from(stored.seq).ok()),
        owned(ids.trace),
        owned(ids.span),
        Cell::Text(ids.parent_span.map(Cow::Owned)),
        either("run_id")?,
        either("parent_run_id")?,
        Cell::Text(Some(Cow::Borrowed(operation))),
        text(start.get("name").and_then(Value::nonempty).or(class)),
        Cell::Text(names::provider(metadata, &path)?),
        text(model),
        Cell::Text(Some(Cow::Borrowed(status(stored.ended)))),
        Cell::Text(
            error.map(|error| names::text_at(Some(error), "type").map_or(Cow::Borrowed("Exception"), Value::text)),
        ),
        Cell::Text(message.filter(|_| content)),
        Cell::Number(Some(times.started)),
        Cell::Number(times.first_token),
        Cell::Number(times.ended),
        Cell::Number(times.duration),
        Cell::Number(used.input),
        Cell::Number(used.output),
        Cell::Number(used.cached),
        Cell::Number(used.reasoning),
        json(sent_json),
        json(received_json),
        Cell::Text((has_tools && content).then_some(Cow::Owned(tools_json))),
        owned(params_json),
        Cell::Texts(tools::called_tools(&received)),
        Cell::Texts(tools::failed_tools(&sent)),
        Cell::Texts(tags(start)?),
        Cell::Map(map(metadata)?),
        Cell::Text(conversation(metadata)?),
        text(names::text_at(metadata, "user_id")),
        Cell::Text(Some(Cow::Borrowed(stored.state))),
        Cell::Number(stored.request_id.and_then(|id| i64::try_from(id).ok())),
        Cell::Number(stored.acked_at_ns.map(us)),
        Cell::Texts(marks(stored.flags)),
        Cell::Text(Some(Cow::Borrowed(kind))),
        text(names::text_at(metadata, "rerun_of")),
        // Only runs that are not calls have a tool call, an input and an output.
        Cell::Text(None),
        Cell::Text(None),
        Cell::Text(None),
    ])
}

fn owned<'t>(text: String) -> Cell<'t> {
    Cell::Text(Some(Cow::Owned(text)))
}

fn text(value: Option<Value<'_>>) -> Cell<'_> {
    Cell::Text(value.map(Value::text))
}

fn object_at<'t>(event: Value<'t>, key: &str) -> Known<Option<Value<'t>>> {
    let found = event.given(key);
    let known = found.is_none_or(|value| value.kind() == Kind::Object);
    known.then_some(found).ok_or(Unusual)
}

/// The candidates of the answer.
fn generations(end: Option<Value<'_>>) -> Known<Vec<Value<'_>>> {
    let Some(end) = end else { return Ok(Vec::new()) };
    if end.given("outputs").is_some() {
        return Err(Unusual);
    }
    let items = end.get("generations").into_iter().flat_map(Value::items);
    Ok(items.filter(|item| item.kind() == Kind::Object).collect())
}

fn status(ended: CallEnd) -> &'static str {
    match ended {
        CallEnd::No => "pending",
        CallEnd::Ok => "ok",
        CallEnd::Error | CallEnd::Abandoned => "error",
        CallEnd::Cancelled => "cancelled",
        CallEnd::Partial => "partial",
        CallEnd::Interrupted => "interrupted",
    }
}

/// The names of the marks. Runs and records without content have others, and Python's mapping.
fn marks<'t>(flags: u8) -> Vec<Cow<'t, str>> {
    use plsync_journal::{FLAG_CACHED, FLAG_LOSSY, FLAG_REDACTED};
    let names = [(FLAG_CACHED, "cached"), (FLAG_LOSSY, "lossy"), (FLAG_REDACTED, "redacted")];
    names.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| Cow::Borrowed(name)).collect()
}

/// `LangChain`'s tags, then the handler's, each once.
fn tags(start: Value<'_>) -> Known<Vec<Cow<'_, str>>> {
    let mut found: Vec<&str> = Vec::new();
    for key in ["tags", "pl_tags"] {
        for tag in start.get(key).into_iter().flat_map(Value::items) {
            if tag.kind() != Kind::Text {
                return Err(Unusual);
            }
            if !found.contains(&tag.raw()) {
                found.push(tag.raw());
            }
        }
    }
    Ok(found.into_iter().map(super::json::unescaped).collect())
}

/// The metadata, with each value as text.
fn map(metadata: Option<Value<'_>>) -> Known<Vec<Entry<'_>>> {
    let entries = metadata.into_iter().flat_map(Value::entries);
    entries
        .map(|(key, value)| {
            let value = match value.kind() {
                Kind::Null => None,
                Kind::Text => Some(value.text()),
                _ => {
                    let mut json = String::new();
                    value.write(&mut json)?;
                    Some(Cow::Owned(json))
                }
            };
            Ok((key.text(), value))
        })
        .collect()
}

/// The id of the conversation.
fn conversation(metadata: Option<Value<'_>>) -> Known<Option<Cow<'_, str>>> {
    let keys = ["thread_id", "session_id", "conversation_id"];
    let found = metadata.and_then(|metadata| keys.iter().find_map(|key| metadata.given(key)));
    match found {
        None => Ok(None),
        Some(id) if id.kind() == Kind::Text => Ok(Some(id.text())),
        // Python writes other values in its own way.
        Some(id) => id.integer().map(|_| Some(Cow::Borrowed(id.raw()))),
    }
}

/// The ids of the record and of its span.
struct Ids {
    record: String,
    trace: String,
    span: String,
    parent_span: Option<String>,
}

impl Ids {
    fn of(stored: &Stored<'_>, start: Value<'_>) -> Known<Self> {
        let renewed = stored.flags & FLAG_RENEWED != 0;
        let mut sent = stored.id;
        if renewed {
            sent[8..].iter_mut().for_each(|byte| *byte ^= 0xff);
        }
        let root = id_at(start, "root")?.filter(|_| !renewed);
        let parent = id_at(start, "parent")?.filter(|_| !renewed).or(root);
        let own = hex(&stored.id);
        Ok(Self {
            record: format!("{}-{}-{}-{}-{}", &own[..8], &own[8..12], &own[12..16], &own[16..20], &own[20..]),
            trace: root.map_or_else(|| hex(&sent), str::to_owned),
            span: hex(&sent[8..]),
            parent_span: parent.map(|parent| parent[16..].to_owned()),
        })
    }
}

/// The id of another record in a field of an event.
fn id_at<'t>(start: Value<'t>, key: &str) -> Known<Option<&'t str>> {
    let Some(found) = start.given(key) else { return Ok(None) };
    let id = found.raw();
    let is_id = found.kind() == Kind::Text
        && id.len() == 32
        && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(Some(id)).ok_or(Unusual)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Times in µs since the epoch, and the duration in ns.
struct Times {
    started: i64,
    first_token: Option<i64>,
    ended: Option<i64>,
    duration: Option<i64>,
}

impl Times {
    fn of(start: Value<'_>, end: Option<Value<'_>>) -> Known<Self> {
        let at =
            |event: Option<Value<'_>>, key| event.and_then(|event| event.get(key)).map_or(Ok(None), Value::integer);
        let started = at(Some(start), "t")?.filter(|at| *at >= 0).ok_or(Unusual)?;
        let duration = match at(end, "elapsed")? {
            Some(elapsed) => Some(elapsed),
            None => at(end, "t")?.map(|ended| ended.saturating_sub(started).max(0)),
        };
        let after = |wait: i64| {
            started.checked_add(wait).filter(|at| *at >= 0).map(|at| (at / 1000).min(LAST_US)).ok_or(Unusual)
        };
        Ok(Self {
            started: (started / 1000).min(LAST_US),
            first_token: at(end, "first_token")?.map(after).transpose()?,
            ended: duration.map(after).transpose()?,
            duration,
        })
    }
}

#[allow(clippy::cast_possible_wrap)] // the store's times are ms
fn us(ns: u64) -> i64 {
    ((ns / 1000) as i64).min(LAST_US)
}
