//! The tokens of an answer, as `python/plsync/journal/events/usage.py` reads them.
//!
//! Counts in `LangChain`'s own names are read here. Python reads the names of providers.

use super::json::{Kind, Known, Unusual, Value};

#[derive(Default)]
pub(super) struct Usage {
    pub(super) input: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) cached: Option<i64>,
    pub(super) reasoning: Option<i64>,
}

/// The names, without underscores, that providers have for a detail.
const OTHER_DETAILS: &[&str] = &[
    "cachedtokens",
    "cachereadinputtokens",
    "cachereadinputtokencount",
    "cachedcontenttokencount",
    "promptcachehittokens",
    "cachecreationinputtokens",
    "cachewriteinputtokens",
    "cachewriteinputtokencount",
    "cachewritetokens",
    "reasoningtokens",
    "thoughtstokencount",
    "audiotokens",
    "imagetokens",
];
/// Parts of the names under which a provider counts tokens, and of the names of dicts with counts.
const COUNTS: &[&str] =
    &["token", "count", "usage", "billed", "meta", "metric", "timing", "xgroq", "promptn", "predictedn"];

/// The tokens that a call used.
pub(super) fn usage(generations: &[Value<'_>], end: Value<'_>) -> Known<Usage> {
    let Some(first) = generations.first() else {
        return check_no_counts(end.get("llm_output")).map(|()| Usage::default());
    };
    let message = first.get("message");
    if let Some(counts) = message.and_then(|message| message.given("usage_metadata")) {
        return counted(counts);
    }
    if generations.len() > 1 {
        return Err(Unusual);
    }
    check_no_counts(message.and_then(|message| message.get("response_metadata")))?;
    check_no_counts(message.and_then(|message| message.get("additional_kwargs")))?;
    check_no_counts(first.get("generation_info"))?;
    check_no_counts(end.get("llm_output"))?;
    Ok(Usage::default())
}

/// The counts in `LangChain`'s form. [`Unusual`] for zeros, beside which there may be other counts.
fn counted(counts: Value<'_>) -> Known<Usage> {
    let mut usage = Usage::default();
    for (key, value) in counts.entries() {
        match key.raw() {
            "input_tokens" => usage.input = value.integer()?,
            "output_tokens" => usage.output = value.integer()?,
            "total_tokens" => {}
            "input_token_details" => usage.cached = detail(value, "cache_read")?,
            "output_token_details" => usage.reasoning = detail(value, "reasoning")?,
            _ => return Err(Unusual),
        }
    }
    let is_whole = usage.input.is_some_and(|count| count > 0) && usage.output.is_some_and(|count| count > 0);
    is_whole.then_some(usage).ok_or(Unusual)
}

/// The count of a detail.
fn detail(details: Value<'_>, name: &str) -> Known<Option<i64>> {
    if details.kind() == Kind::Null {
        return Ok(None);
    }
    if details.kind() != Kind::Object
        || details.entries().any(|(key, _)| OTHER_DETAILS.contains(&bare(key.raw()).as_str()))
    {
        return Err(Unusual);
    }
    details.given(name).map_or(Ok(None), Value::integer)
}

/// Refuses a place that may have counts.
fn check_no_counts(place: Option<Value<'_>>) -> Known<()> {
    for (key, value) in place.into_iter().flat_map(Value::entries) {
        let name = bare(key.raw());
        // The logarithms of probabilities have tokens, and no counts.
        if value.is_truthy() && name != "logprobs" && COUNTS.iter().any(|part| name.contains(part)) {
            return Err(Unusual);
        }
    }
    Ok(())
}

fn bare(name: &str) -> String {
    name.replace(['_', '-'], "").to_ascii_lowercase()
}
