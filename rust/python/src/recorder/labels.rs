//! The labels and the lane of an event: the store searches and orders records by them without reading a body.
//!
//! Both are taken from the written fields, after the redact hook: a label never shows content that the hook removed.

use plsync_journal::{Draft, FrameKind, Lane, RecordId, labels};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};
use pyo3::{ffi, intern};

use super::field::{Envelope, Field};
use super::run_id::RunId;
use crate::redact::redact_object;

/// The number of lanes for calls that keep an order. Lane 0 is for calls that stand alone.
const LANES: u32 = 255;

/// The fields that labels and lanes come from.
#[derive(Default)]
struct Labelled<'a, 'py> {
    metadata: Option<&'a Bound<'py, PyDict>>,
    params: Option<&'a Bound<'py, PyDict>>,
    tags: [Option<&'a Bound<'py, PyList>>; 2],
}

impl<'a, 'py> Labelled<'a, 'py> {
    fn of(fields: &'a [Field<'_, 'py>]) -> Self {
        let mut found = Self::default();
        for (key, value) in fields {
            let dict = || value.object()?.cast_exact().ok();
            let list = || value.object()?.cast_exact().ok();
            match key.name() {
                "metadata" => found.metadata = dict(),
                "params" => found.params = dict(),
                "tags" => found.tags[0] = list(),
                "pl_tags" => found.tags[1] = list(),
                _ => {}
            }
        }
        found
    }
}

/// Adds an event's labels to its draft, and returns its lane.
pub(super) fn push_labels(draft: &mut Draft, envelope: &Envelope<'_>, fields: &[Field<'_, '_>]) -> Lane {
    // The ingester reads the root from the first label. The labels of an end are the first labels of its start.
    if let Some(root) = envelope.root {
        draft.label(labels::ROOT, &root.0);
    }
    if let Some(run_id) = envelope.run_id {
        draft.label(labels::RUN, &run_id.bytes());
    }
    // The tree finds the children of a step.
    if let Some(parent) = envelope.parent_run_id.filter(|_| !envelope.kind.is_run()) {
        draft.label(labels::PARENT, &parent.bytes());
    }
    if envelope.kind.is_end() {
        return Lane::UNORDERED;
    }
    // A step has the tags of its root, with few exceptions.
    if envelope.kind == FrameKind::RunStart && envelope.root != Some(envelope.id) {
        return envelope.lane.unwrap_or_default();
    }
    let fields = Labelled::of(fields);
    if let Some(sink) = envelope.sink {
        draft.label(labels::SINK, sink.as_bytes());
    }
    push_model(draft, &fields);
    for tags in fields.tags.into_iter().flatten() {
        for tag in tags {
            // Subclasses of str count: programs use members of an enum as tags.
            if let Ok(object) = tag.cast::<PyString>()
                && let Ok(tag) = object.to_str()
            {
                draft.label(labels::TAG, redact_object(object, tag).as_deref().unwrap_or(tag).as_bytes());
            }
        }
    }
    if let Some(lane) = envelope.lane {
        return lane;
    }
    // Calls of one conversation, else of one run, are sent in order.
    let of_conversation = fields.metadata.and_then(conversation_lane);
    of_conversation.or_else(|| envelope.parent_run_id.map(lane_of_run)).unwrap_or_default()
}

/// The lane of a tree: of its root's conversation, else of its root.
pub(super) fn tree_lane(metadata: Option<&Bound<'_, PyAny>>, root: RecordId) -> Lane {
    let metadata = metadata.and_then(|metadata| metadata.cast_exact::<PyDict>().ok());
    metadata.and_then(conversation_lane).unwrap_or_else(|| hashed_lane(&root.0))
}

/// `LangSmith` and `LangGraph` name a conversation by one of these keys.
fn conversation_lane(metadata: &Bound<'_, PyDict>) -> Option<Lane> {
    let py = metadata.py();
    [intern!(py, "thread_id"), intern!(py, "session_id"), intern!(py, "conversation_id")].into_iter().find_map(|name| {
        let id = metadata.get_item(name).ok()??;
        match id.cast::<PyString>() {
            Ok(text) => text.to_str().ok().map(|id| hashed_lane(id.as_bytes())),
            Err(_) => lane_of_object(&id),
        }
    })
}

/// The lane of a conversation whose id is not a text. The id's text decides, so 17 and "17" are one conversation.
#[cold]
fn lane_of_object(id: &Bound<'_, PyAny>) -> Option<Lane> {
    if id.is_none() {
        return None;
    }
    // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set.
    let number = unsafe { Bound::from_owned_ptr_or_err(id.py(), ffi::PyNumber_Index(id.as_ptr())) };
    // The number in an integer of numpy or another library has the text of the same number in Python.
    let text = if id.is_instance_of::<PyBool>() { id.str() } else { number.as_ref().unwrap_or(id).str() };
    text.ok()?.to_str().ok().map(|text| hashed_lane(text.as_bytes()))
}

fn lane_of_run(run_id: RunId) -> Lane {
    hashed_lane(&run_id.bytes())
}

/// FNV-1a, which spreads short texts evenly enough over 255 lanes.
fn hashed_lane(bytes: &[u8]) -> Lane {
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    u8::try_from(hash % LANES).map_or(Lane::UNORDERED, |lane| Lane(lane + 1))
}

fn push_model(draft: &mut Draft, fields: &Labelled<'_, '_>) {
    // A call that overrides its model has another name in each of the two.
    let noted = fields.metadata.and_then(|metadata| first_name(metadata, [intern!(metadata.py(), "ls_model_name")]));
    let passed = fields.params.and_then(|params| {
        let py = params.py();
        first_name(
            params,
            [intern!(py, "model"), intern!(py, "model_name"), intern!(py, "model_id"), intern!(py, "model_path")],
        )
    });
    let noted = noted.as_ref().and_then(|name| Some((name, name.to_str().ok()?)));
    let passed = passed.as_ref().and_then(|name| Some((name, name.to_str().ok()?)));
    let passed = passed.filter(|(_, passed)| noted.is_none_or(|(_, noted)| noted != *passed));
    for (name, text) in [noted, passed].into_iter().flatten() {
        let redacted = redact_object(name, text);
        draft.label(labels::MODEL, short_model(redacted.as_deref().unwrap_or(text)).as_bytes());
    }
}

/// The model under the first of these keys that holds a text.
fn first_name<'py, const N: usize>(
    values: &Bound<'py, PyDict>,
    keys: [&Bound<'py, PyString>; N],
) -> Option<Bound<'py, PyString>> {
    keys.into_iter().find_map(|key| {
        let model = values.get_item(key).ok()??.cast_into::<PyString>().ok()?;
        model.to_str().is_ok().then_some(model)
    })
}

/// The file name of a local model. `organisation/model` is a name and not a path.
pub(crate) fn short_model(model: &str) -> &str {
    let is_gguf = model.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("gguf"));
    let is_path = model.starts_with(['/', '.', '~']) || model.contains('\\') || is_gguf;
    if is_path { model.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(model) } else { model }
}

#[cfg(test)]
mod tests {
    use super::short_model;

    #[test]
    fn a_path_is_shortened_to_its_file_name() {
        assert_eq!(short_model("/models/tiny.gguf"), "tiny.gguf");
        assert_eq!(short_model("C:\\models\\tiny.bin"), "tiny.bin");
        assert_eq!(short_model("models/Tiny.GGUF"), "Tiny.GGUF");
        assert_eq!(short_model("/models/llama/"), "llama");
        assert_eq!(short_model("meta-llama/Llama-3"), "meta-llama/Llama-3");
    }
}
