//! The labels of a start event: what a record can be searched by without reading its body.

use plsync_journal::{Draft, Kind, labels};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::event::{Envelope, Field, Value};

/// Labels are taken from the event as it is written, so that they say nothing a redact hook removed.
pub(super) fn push_labels(draft: &mut Draft, envelope: &Envelope<'_>, fields: &[Field<'_, '_>]) {
    draft.label(labels::RUN, &envelope.run_id.bytes());
    if let Some(parent) = envelope.parent_run_id {
        draft.label(labels::PARENT, &parent.bytes());
    }
    if envelope.kind != Kind::Start {
        return;
    }
    if let Some(sink) = envelope.sink {
        draft.label(labels::SINK, sink.as_bytes());
    }
    push_model(draft, fields);
    for name in ["tags", "pl_tags"] {
        let Some(tags) = object(fields, name).and_then(|tags| tags.cast_exact::<PyList>().ok()) else { continue };
        for tag in tags {
            // Not only of the class str itself: members of an enum are tags too.
            if let Ok(Ok(tag)) = tag.cast::<PyString>().map(|tag| tag.to_str()) {
                draft.label(labels::TAG, tag.as_bytes());
            }
        }
    }
}

/// The object that a field holds.
pub(super) fn object<'a, 'py>(fields: &'a [Field<'_, 'py>], name: &str) -> Option<&'a Bound<'py, PyAny>> {
    fields.iter().find(|(field, _)| field == name).and_then(|(_, value)| match value {
        Value::Object(object) | Value::Settings(object) => object.as_ref(),
        _ => None,
    })
}

fn push_model(draft: &mut Draft, fields: &[Field<'_, '_>]) {
    let values = |place| object(fields, place).and_then(|values| values.cast_exact::<PyDict>().ok());
    if let Some(metadata) = values("metadata")
        && push_name(draft, metadata, [intern!(metadata.py(), "ls_model_name")])
    {
        return;
    }
    if let Some(params) = values("params") {
        let py = params.py();
        let names =
            [intern!(py, "model"), intern!(py, "model_name"), intern!(py, "model_id"), intern!(py, "model_path")];
        push_name(draft, params, names);
    }
}

/// Takes the first of these names that says a model; false when none does.
fn push_name<'py, const N: usize>(
    draft: &mut Draft,
    values: &Bound<'py, PyDict>,
    names: [&Bound<'py, PyString>; N],
) -> bool {
    for name in names {
        let Ok(Some(model)) = values.get_item(name) else { continue };
        if let Ok(Ok(model)) = model.cast::<PyString>().map(|model| model.to_str()) {
            draft.label(labels::MODEL, file_name(model).as_bytes());
            return true;
        }
    }
    false
}

/// A local model goes by its file, without the directory; `organisation/model` is a name.
fn file_name(model: &str) -> &str {
    let is_gguf = model.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("gguf"));
    let is_path = model.starts_with(['/', '.', '~']) || model.contains('\\') || is_gguf;
    if is_path { model.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(model) } else { model }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_model_goes_by_its_file_only_when_it_is_a_path() {
        assert_eq!(file_name("/models/tiny.gguf"), "tiny.gguf");
        assert_eq!(file_name("C:\\models\\tiny.bin"), "tiny.bin");
        assert_eq!(file_name("models/Tiny.GGUF"), "Tiny.GGUF");
        assert_eq!(file_name("/models/llama/"), "llama");
        assert_eq!(file_name("meta-llama/Llama-3"), "meta-llama/Llama-3");
    }
}
