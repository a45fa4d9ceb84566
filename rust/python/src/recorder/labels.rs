//! The labels and the lane of an event: the store searches and orders records by them without reading a body.
//!
//! Both are taken from the written fields, after the redact hook: a label never shows content that the hook removed.

use plsync_journal::{Draft, FrameKind, Lane, RecordId, labels};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};
use pyo3::{ffi, intern};

use super::facts;
use super::field::{Envelope, Field, Value};
use super::run_id::RunId;
use crate::redact::redact_object;

/// The number of lanes for calls that keep an order. Lane 0 is for calls that stand alone.
const LANES: u32 = 255;

/// The fields that labels and lanes come from.
#[derive(Default)]
pub(super) struct Labelled<'a, 'py> {
    pub(super) metadata: Option<&'a Bound<'py, PyDict>>,
    pub(super) params: Option<&'a Bound<'py, PyDict>>,
    tags: [Option<&'a Bound<'py, PyList>>; 2],
    pub(super) class: Option<&'a Bound<'py, PyList>>,
    /// Whether a field has an object of another class. The body may have its content nevertheless.
    pub(super) is_doubtful: bool,
    /// The event's own text under `kind`.
    pub(super) kind: Option<&'a str>,
}

impl<'a, 'py> Labelled<'a, 'py> {
    fn of(fields: &'a [Field<'a, 'py>]) -> Self {
        let mut found = Self::default();
        let mut is_doubtful = false;
        for (key, value) in fields {
            let object = || value.object().filter(|object| !object.is_none());
            let mut dict = || {
                let object = object()?;
                is_doubtful |= !object.is_exact_instance_of::<PyDict>();
                object.cast_exact().ok()
            };
            let list = || value.object()?.cast_exact().ok();
            match key.name() {
                "metadata" => found.metadata = dict(),
                "params" => found.params = dict(),
                "tags" => found.tags[0] = list(),
                "pl_tags" => found.tags[1] = list(),
                "class" => found.class = list(),
                "kind" => {
                    if let Value::Text(kind) = value {
                        found.kind = Some(kind);
                    }
                }
                _ => {}
            }
        }
        Self { is_doubtful, ..found }
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

/// The names of the model in a request.
#[derive(Default)]
pub(super) struct Models<'py> {
    /// In the metadata.
    pub(super) noted: Option<Name<'py>>,
    /// The first among the parameters.
    pub(super) passed: Option<Name<'py>>,
    /// Whether the parameters have further names.
    pub(super) has_more: bool,
}

/// A name of the model.
pub(super) struct Name<'py> {
    text: Bound<'py, PyString>,
    /// The name without credentials, if it has some.
    redacted: Option<String>,
    /// Whether an index finds the record under this name.
    is_indexed: bool,
}

impl<'py> Models<'py> {
    fn of(labelled: &Labelled<'_, 'py>) -> Self {
        let mut found = Self::default();
        if let Some(metadata) = labelled.metadata {
            found.noted = text_at(metadata, intern!(metadata.py(), "ls_model_name")).map(|text| Name::new(text, true));
        }
        let Some(params) = labelled.params else { return found };
        let py = params.py();
        let keys = [
            intern!(py, "model"),
            intern!(py, "model_name"),
            intern!(py, "model_id"),
            intern!(py, "model_path"),
            intern!(py, "modelId"),
            intern!(py, "azure_deployment"),
            intern!(py, "deployment_name"),
            intern!(py, "repo_id"),
        ];
        for (key, at) in keys.into_iter().zip(0..) {
            let Some(text) = text_at(params, key) else { continue };
            match &found.passed {
                None => found.passed = Some(Name::like(found.noted.as_ref(), text, at < INDEXED)),
                Some(passed) => found.has_more = found.has_more || !is_same(&passed.text, &text),
            }
        }
        found
    }

    /// Whether a call that overrides its model has another name in each of the two places.
    pub(super) fn has_two(&self) -> bool {
        self.noted.as_ref().zip(self.passed.as_ref()).is_some_and(|(noted, passed)| !is_same(&noted.text, &passed.text))
    }

    fn push(&self, draft: &mut Draft) {
        let passed =
            self.passed.as_ref().filter(|passed| passed.is_indexed && (self.noted.is_none() || self.has_two()));
        for name in [self.noted.as_ref(), passed].into_iter().flatten() {
            draft.label(labels::MODEL, short_model(name.written()).as_bytes());
        }
    }
}

/// How many of the keys of names in the parameters have a label.
const INDEXED: usize = 4;

impl<'py> Name<'py> {
    fn new(text: Bound<'py, PyString>, is_indexed: bool) -> Self {
        let redacted = redact_object(&text, text.to_str().unwrap_or_default());
        Self { text, redacted, is_indexed }
    }

    /// A name that may be the same as another.
    fn like(other: Option<&Self>, text: Bound<'py, PyString>, is_indexed: bool) -> Self {
        match other.filter(|other| other.text.is(&text)) {
            Some(other) => Self { text, redacted: other.redacted.clone(), is_indexed },
            None => Self::new(text, is_indexed),
        }
    }

    fn written(&self) -> &str {
        self.redacted.as_deref().unwrap_or_else(|| self.text.to_str().unwrap_or_default())
    }

    /// The name, if the body certainly has the same.
    pub(super) fn certain(&self) -> Option<&str> {
        let is_plain = self.redacted.is_none() && self.text.is_exact_instance_of::<PyString>();
        if is_plain { self.text.to_str().ok() } else { None }
    }
}

/// The text under a key.
fn text_at<'py>(values: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> Option<Bound<'py, PyString>> {
    let text = values.get_item(key).ok()??.cast_into::<PyString>().ok()?;
    text.to_str().is_ok().then_some(text)
}

fn is_same(one: &Bound<'_, PyString>, other: &Bound<'_, PyString>) -> bool {
    one.is(other) || one.to_str().ok() == other.to_str().ok()
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
