//! The labels and the lane of an event: the store searches and orders records by them without reading a body.
//!
//! Both are taken from the written fields, after the redact hook: a label never shows content that the hook removed.

use plsync_journal::{Draft, FrameKind, Lane, RecordId, labels};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};
use pyo3::{ffi, intern};

use super::facts;
use super::field::{Envelope, Field};
use super::labelled::Labelled;
use super::models::Models;
use super::run_id::RunId;
use crate::redact::redact_object;

/// The number of lanes for calls that keep an order. Lane 0 is for calls that stand alone.
const LANES: u32 = 255;

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
        if let Some(facts) = envelope.facts {
            facts.push(draft);
        }
        return Lane::UNORDERED;
    }
    let labelled = Labelled::of(fields);
    // A step has the tags of its root, with few exceptions.
    if envelope.kind == FrameKind::RunStart && envelope.root != Some(envelope.id) {
        let conversation = labelled.metadata.map_or(Conversation::None, Conversation::of);
        conversation.push(draft);
        if !matches!(conversation, Conversation::Doubtful(_)) {
            facts::push_step(draft, labelled.kind);
        }
        return envelope.lane.unwrap_or_default();
    }
    if let Some(sink) = envelope.sink {
        draft.label(labels::SINK, sink.as_bytes());
    }
    let models = Models::of(&labelled);
    models.push(draft);
    for tags in labelled.tags.into_iter().flatten() {
        for tag in tags {
            // Subclasses of str count: programs use members of an enum as tags.
            if let Ok(object) = tag.cast::<PyString>()
                && let Ok(tag) = object.to_str()
            {
                draft.label(labels::TAG, redact_object(object, tag).as_deref().unwrap_or(tag).as_bytes());
            }
        }
    }
    let conversation = labelled.metadata.map_or(Conversation::None, Conversation::of);
    conversation.push(draft);
    if !matches!(conversation, Conversation::Doubtful(_)) {
        facts::push_start(draft, envelope.kind, &labelled, &models);
    }
    if let Some(lane) = envelope.lane {
        return lane;
    }
    // Calls of one conversation, else of one run, are sent in order.
    conversation.lane().or_else(|| envelope.parent_run_id.map(lane_of_run)).unwrap_or_default()
}

/// The lane of a tree: of its root's conversation, else of its root.
pub(super) fn tree_lane(metadata: Option<&Bound<'_, PyAny>>, root: RecordId) -> Lane {
    let metadata = metadata.and_then(|metadata| metadata.cast_exact::<PyDict>().ok());
    metadata.and_then(|metadata| Conversation::of(metadata).lane()).unwrap_or_else(|| hashed_lane(&root.0))
}

/// The conversation in a call's metadata.
enum Conversation<'py> {
    None,
    Text(Bound<'py, PyString>),
    /// The text of an id that is a number.
    Number(String),
    /// The text of another object. The body may have a different text.
    Doubtful(Option<String>),
}

impl<'py> Conversation<'py> {
    /// `LangSmith` and `LangGraph` name a conversation by one of these keys.
    fn of(metadata: &Bound<'py, PyDict>) -> Self {
        let py = metadata.py();
        let keys = [intern!(py, "thread_id"), intern!(py, "session_id"), intern!(py, "conversation_id")];
        let mut doubtful = false;
        for name in keys {
            let Ok(Some(id)) = metadata.get_item(name) else { continue };
            if id.is_none() {
                continue;
            }
            match id.cast_into::<PyString>() {
                Ok(text) if text.to_str().is_err() => doubtful = true,
                Ok(text) if doubtful || !text.is_exact_instance_of::<PyString>() => {
                    return Self::Doubtful(text.to_str().ok().map(str::to_owned));
                }
                Ok(text) => return Self::Text(text),
                Err(other) => {
                    let id = other.into_inner();
                    let is_number = id.is_exact_instance_of::<PyInt>() || id.is_exact_instance_of::<PyBool>();
                    match text_of_object(&id) {
                        Some(text) if is_number && !doubtful => return Self::Number(text),
                        Some(text) => return Self::Doubtful(Some(text)),
                        None => doubtful = true,
                    }
                }
            }
        }
        if doubtful { Self::Doubtful(None) } else { Self::None }
    }

    /// Adds the label of the conversation. The journal adds a doubtful one later, from the body.
    fn push(&self, draft: &mut Draft) {
        match self {
            Self::Text(object) => {
                let text = object.to_str().unwrap_or_default();
                draft.label(labels::THREAD, redact_object(object, text).as_deref().unwrap_or(text).as_bytes());
            }
            Self::Number(text) => draft.label(labels::THREAD, text.as_bytes()),
            Self::None | Self::Doubtful(_) => {}
        }
    }

    fn lane(&self) -> Option<Lane> {
        match self {
            Self::Text(text) => text.to_str().ok().map(|id| hashed_lane(id.as_bytes())),
            Self::Number(text) | Self::Doubtful(Some(text)) => Some(hashed_lane(text.as_bytes())),
            Self::None | Self::Doubtful(None) => None,
        }
    }
}

/// The text of an id that is not a text: 17 and "17" are one conversation.
#[cold]
fn text_of_object(id: &Bound<'_, PyAny>) -> Option<String> {
    // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set.
    let number = unsafe { Bound::from_owned_ptr_or_err(id.py(), ffi::PyNumber_Index(id.as_ptr())) };
    // The number in an integer of numpy or another library has the text of the same number in Python.
    let text = if id.is_instance_of::<PyBool>() { id.str() } else { number.as_ref().unwrap_or(id).str() };
    text.ok()?.to_str().ok().map(str::to_owned)
}

fn lane_of_run(run_id: RunId) -> Lane {
    hashed_lane(&run_id.bytes())
}

/// FNV-1a, which spreads short texts evenly enough over 255 lanes.
fn hashed_lane(bytes: &[u8]) -> Lane {
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    u8::try_from(hash % LANES).map_or(Lane::UNORDERED, |lane| Lane(lane + 1))
}
