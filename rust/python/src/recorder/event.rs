//! Events on their way to the spool: the redact hook, the labels, the bytes, the write.

use plsync_journal::{Ended, Error, Event, FLAG_LOSSY, FLAG_REDACTED, Kind, RecordId, Spool, labels};
use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use pyo3::{ffi, intern};

use super::run_id::RunId;
use crate::encode::{class_path, encode_event};
use crate::errors::OrRaise;

/// What is left of an event when its content can't be kept: ids and times, all of them made here.
const BARE: [&str; 7] = ["v", "kind", "t", "run_id", "parent_run_id", "elapsed", "first_token"];

/// The parts of an event that stand outside its body.
pub(super) struct Envelope<'a> {
    pub(super) kind: Kind,
    pub(super) ended: Ended,
    pub(super) flags: u8,
    pub(super) id: RecordId,
    pub(super) run_id: RunId,
    pub(super) parent_run_id: Option<RunId>,
    pub(super) sink: Option<&'a str>,
}

/// Writes an event. Whatever is wrong with its content, its ids and times are written; an error says that they were not,
/// or that the redact hook failed and the content was left out.
pub(super) fn write(
    spool: &Spool,
    redact: Option<&Bound<'_, PyAny>>,
    mut envelope: Envelope<'_>,
    event: Bound<'_, PyDict>,
) -> PyResult<()> {
    let py = event.py();
    let (event, hook_failed) = match redact {
        None => (event, None),
        Some(hook) => {
            let before = event.copy()?;
            let (after, failed) = match redacted(hook, event, &before) {
                Ok(after) => (after, None),
                Err(error) => {
                    let reason = format!("the redact hook raised {}", class_path(&error.get_type(py)));
                    (bare(&before, Some(&reason))?, Some(error))
                }
            };
            if changed(&before, &after) {
                envelope.flags |= FLAG_REDACTED;
            }
            (after, failed)
        }
    };
    let labels = labels_of(&envelope, &event);
    let reason = match encode_event(&event) {
        Ok(encoded) => {
            envelope.flags |= if encoded.lossy { FLAG_LOSSY } else { 0 };
            match append(py, spool, &envelope, &labels, encoded.json.as_bytes()) {
                Err(error @ Error::TooLarge { .. }) => error.to_string(),
                written => return written.or_raise(py).and_then(|()| hook_failed.map_or(Ok(()), Err)),
            }
        }
        Err(error) => error.to_string(),
    };
    envelope.flags |= FLAG_LOSSY;
    let stub = encode_event(&bare(&event, Some(&reason))?)?;
    append(py, spool, &envelope, &labels, stub.json.as_bytes()).or_raise(py)
}

fn append(
    py: Python<'_>,
    spool: &Spool,
    envelope: &Envelope<'_>,
    labels: &[u8],
    body: &[u8],
) -> plsync_journal::Result<()> {
    let &Envelope { kind, ended, flags, id, .. } = envelope;
    py.detach(|| spool.append(&Event { kind, ended, flags, lane: 0, id, labels, body }))
}

/// What the hook makes of an event. Ids and times stay ours; `None` from the hook keeps nothing else.
fn redacted<'py>(
    hook: &Bound<'py, PyAny>,
    event: Bound<'py, PyDict>,
    before: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = hook.py();
    let answer = hook.call1((event,)).inspect_err(|error| {
        if error.is_instance_of::<PyKeyboardInterrupt>(py) {
            // The user's Ctrl-C happened to arrive in the hook: it belongs to the program, after the event is written.
            // SAFETY: needs nothing but an initialised interpreter.
            unsafe { ffi::PyErr_SetInterrupt() };
        }
    })?;
    if answer.is_none() {
        return bare(before, None);
    }
    let after = answer
        .cast_into::<PyDict>()
        .map_err(|_| PyTypeError::new_err("a redact hook returns a dict or None"))?
        .copy()?;
    for name in BARE {
        if let Some(value) = before.get_item(name)? {
            after.set_item(name, value)?;
        }
    }
    Ok(after)
}

fn changed(before: &Bound<'_, PyDict>, after: &Bound<'_, PyDict>) -> bool {
    before.len() != after.len()
        || before
            .iter()
            .any(|(key, value)| !after.get_item(key).is_ok_and(|found| found.is_some_and(|found| found.is(&value))))
}

fn bare<'py>(event: &Bound<'py, PyDict>, reason: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
    let bare = PyDict::new(event.py());
    for name in BARE {
        if let Some(value) = event.get_item(name)? {
            bare.set_item(name, value)?;
        }
    }
    if let Some(reason) = reason {
        bare.set_item("encode_error", reason)?;
    }
    Ok(bare)
}

/// Labels are taken from the event as it is written, so that they say nothing a redact hook removed.
fn labels_of(envelope: &Envelope<'_>, event: &Bound<'_, PyDict>) -> Vec<u8> {
    let py = event.py();
    let mut section = Vec::with_capacity(128);
    labels::push(&mut section, labels::RUN, &envelope.run_id.bytes());
    if let Some(parent) = envelope.parent_run_id {
        labels::push(&mut section, labels::PARENT, &parent.bytes());
    }
    if envelope.kind != Kind::Start {
        return section;
    }
    if let Some(sink) = envelope.sink {
        labels::push(&mut section, labels::SINK, sink.as_bytes());
    }
    if let Some(model) = model_of(event) {
        labels::push(&mut section, labels::MODEL, model.as_bytes());
    }
    for name in [intern!(py, "tags"), intern!(py, "pl_tags")] {
        let Ok(Some(tags)) = event.get_item(name) else { continue };
        let Ok(tags) = tags.cast_into_exact::<PyList>() else { continue };
        for tag in &tags {
            if let Some(tag) = text(&tag) {
                labels::push(&mut section, labels::TAG, tag.as_bytes());
            }
        }
    }
    section
}

fn model_of(event: &Bound<'_, PyDict>) -> Option<String> {
    const PLACES: [(&str, &[&str]); 2] =
        [("metadata", &["ls_model_name"]), ("params", &["model", "model_name", "model_id", "model_path"])];
    let model = PLACES.iter().find_map(|(place, names)| {
        let values = event.get_item(place).ok()??.cast_into_exact::<PyDict>().ok()?;
        names.iter().find_map(|name| text(&values.get_item(name).ok()??))
    })?;
    Some(file_name(&model).to_owned())
}

/// A local model goes by its file, without the directory; `organisation/model` is a name.
fn file_name(model: &str) -> &str {
    let is_path = model.starts_with(['/', '.', '~']) || model.contains('\\') || model.ends_with(".gguf");
    if is_path { model.rsplit(['/', '\\']).next().unwrap_or(model) } else { model }
}

fn text(value: &Bound<'_, PyAny>) -> Option<String> {
    value.cast_exact::<PyString>().ok()?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_model_goes_by_its_file_only_when_it_is_a_path() {
        assert_eq!(file_name("/models/tiny.gguf"), "tiny.gguf");
        assert_eq!(file_name("C:\\models\\tiny.bin"), "tiny.bin");
        assert_eq!(file_name("meta-llama/Llama-3"), "meta-llama/Llama-3");
    }
}
