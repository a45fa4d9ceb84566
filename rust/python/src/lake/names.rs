//! The names of a model and of its provider, as `python/plsync/journal/events/facts.py` reads them.

use std::borrow::Cow;

use super::json::{Kind, Known, Unusual, Value};

const MODEL_KEYS: &[&str] =
    &["model", "model_name", "model_id", "model_path", "modelId", "azure_deployment", "deployment_name", "repo_id"];
const ANSWERED_KEYS: &[&str] = &["model_name", "model", "model_id", "modelId", "model_version", "modelVersion"];
const UMBRELLAS: &[&str] = &["langchain", "langchain_community", "langchain_classic"];

/// The path of the class of the model. Empty without one.
pub(super) fn class_path(start: Value<'_>) -> Known<Vec<Value<'_>>> {
    let Some(path) = start.given("class") else { return Ok(Vec::new()) };
    let parts: Vec<_> = path.items().collect();
    let known = path.kind() == Kind::List && parts.iter().all(|part| part.nonempty().is_some());
    known.then_some(parts).ok_or(Unusual)
}

/// The provider that the metadata or the class names.
pub(super) fn provider<'t>(metadata: Option<Value<'t>>, path: &[Value<'t>]) -> Known<Option<Cow<'t, str>>> {
    if let Some(named) = text_at(metadata, "ls_provider") {
        return Ok(Some(named.text()));
    }
    let Some(first) = path.first().map(|part| part.raw()) else { return Ok(None) };
    if path.len() > 3 && UMBRELLAS.contains(&first) {
        return Ok(Some(path[2].text()));
    }
    if let Some(package) = first.strip_prefix("langchain_")
        && !UMBRELLAS.contains(&first)
        && first != "langchain_core"
    {
        return Ok(Some(super::json::unescaped(package)));
    }
    let class = path.last().map_or("", |part| part.raw());
    // Python and Rust have different rules for other letters.
    if class.is_ascii() && !class.contains('\\') {
        Ok(Some(Cow::Owned(class.to_ascii_lowercase())))
    } else {
        Err(Unusual)
    }
}

/// The name of the model in the request, else in the answer, else of its class.
pub(super) fn model<'t>(
    is_chat: bool,
    metadata: Option<Value<'t>>,
    params: Option<Value<'t>>,
    generations: &[Value<'t>],
    end: Option<Value<'t>>,
) -> Known<Option<Value<'t>>> {
    let own = text_at(metadata, "ls_model_name");
    let passed = MODEL_KEYS.iter().filter_map(|key| text_at(params, key));
    let mut requested: Vec<Value<'t>> = passed.collect();
    if let Some(own) = own {
        let at = usize::from(is_chat && !requested.is_empty());
        requested.insert(at, own);
    }
    let Some(first) = requested.first() else {
        let message = generations.first().and_then(|first| first.get("message"));
        let metadata = message.and_then(|message| message.get("response_metadata"));
        let info = generations.first().and_then(|first| first.get("generation_info"));
        let outputs = end.and_then(|end| end.get("llm_output"));
        return Ok([metadata, info, outputs].into_iter().find_map(answered));
    };
    // The answer decides between several names.
    if requested.iter().all(|name| name.raw() == first.raw()) { Ok(Some(*first)) } else { Err(Unusual) }
}

fn answered(place: Option<Value<'_>>) -> Option<Value<'_>> {
    ANSWERED_KEYS.iter().find_map(|key| text_at(place, key))
}

/// The text under a key, if there is one and it is not empty.
pub(super) fn text_at<'t>(place: Option<Value<'t>>, key: &str) -> Option<Value<'t>> {
    place.and_then(|place| place.get(key)).and_then(Value::nonempty)
}
