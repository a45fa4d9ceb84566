//! Writes an event to the spool: the redact hook, the labels, the JSON, the frame.

use std::cell::Cell;

use plsync_journal::{Draft, Error, FLAG_LOSSY, FLAG_REDACTED, Head, Lane, MAX_PAYLOAD, Spool};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::field::{Envelope, Field, Value};
use super::key::{Key, key};
use super::labels::push_labels;
use crate::encode::{class_path, text};
use crate::errors::OrRaise;

/// The keys of a bare event: ids and times, all made by the recorder. A bare event replaces one whose content can't be kept.
const BARE: [&str; 11] =
    ["v", "kind", "t", "run_id", "parent_run_id", "root", "parent", "after", "inherits", "elapsed", "first_token"];

/// The keys under which programs and models may pass credentials: settings, then names and errors.
const SETTINGS: [&str; 2] = ["params", "options"];
const SEARCHED: [&str; 5] = ["metadata", "name", "tags", "pl_tags", "error"];

/// A thread keeps the draft of its last event for the next one. A draft above this many bytes is freed.
const KEEP_DRAFT: usize = 256 << 10;

thread_local! {
    static DRAFT: Cell<Draft> = const { Cell::new(Draft::new()) };
}

/// Writes an event. Its ids and times are written even when its content can't be.
///
/// An error means that the event was not written, or that the redact hook failed and the content was left out.
pub(super) fn write(
    py: Python<'_>,
    spool: &Spool,
    redact: Option<&Py<PyAny>>,
    mut envelope: Envelope<'_>,
    fields: &[Field<'_, '_>],
) -> PyResult<()> {
    let Some(hook) = redact else { return write_fields(py, spool, envelope, fields) };
    let before = to_dict(py, fields)?;
    let mut kept_fields = bare_fields(fields);
    let mut failure = None;
    match call_hook(hook.bind(py), &before) {
        Ok(Some(after)) => {
            if is_changed(&before, &after) {
                envelope.flags |= FLAG_REDACTED;
            }
            for (name, value) in &after {
                let name = name.to_string();
                if !BARE.contains(&name.as_str()) {
                    let value = match name.as_str() {
                        "llm_output" => Value::Metadata(Some(value)),
                        name if SETTINGS.contains(&name) => Value::Settings(Some(value)),
                        name if SEARCHED.contains(&name) => Value::Searched(Some(value)),
                        _ => Value::Object(Some(value)),
                    };
                    kept_fields.push((Key::Other(name), value));
                }
            }
        }
        Ok(None) => envelope.flags |= FLAG_REDACTED,
        Err(error) => {
            envelope.flags |= FLAG_REDACTED;
            // Only the class of the error is kept: its message may repeat the content.
            let class = class_path(&error.get_type(py));
            let reason = PyString::new(py, &format!("the redact hook raised {class}"));
            kept_fields.push((key!("encode_error").into(), Value::Object(Some(reason.into_any()))));
            failure =
                Some(PyRuntimeError::new_err(format!("the redact hook raised {class}, so the content was left out")));
        }
    }
    write_fields(py, spool, envelope, &kept_fields)?;
    failure.map_or(Ok(()), Err)
}

fn call_hook<'py>(hook: &Bound<'py, PyAny>, event: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let redacted = hook.call1((event.copy()?,)).inspect_err(|error| interrupt_again(hook.py(), error))?;
    if redacted.is_none() {
        return Ok(None);
    }
    let redacted = redacted.cast_into::<PyDict>();
    redacted.map(Some).map_err(|_| PyTypeError::new_err("a redact hook returns a dict or None"))
}

/// The user pressed Ctrl-C while the recorder ran Python code. The program receives the interrupt after the event is written.
pub(super) fn interrupt_again(py: Python<'_>, error: &PyErr) {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        // SAFETY: an initialised interpreter is all that the call needs.
        unsafe { ffi::PyErr_SetInterrupt() };
    }
}

fn to_dict<'py>(py: Python<'py>, fields: &[Field<'_, 'py>]) -> PyResult<Bound<'py, PyDict>> {
    let event = PyDict::new(py);
    for (name, value) in fields {
        event.set_item(name.name(), value.to_python(py)?)?;
    }
    Ok(event)
}

fn is_changed(before: &Bound<'_, PyDict>, after: &Bound<'_, PyDict>) -> bool {
    let is_same = |key, value: &Bound<'_, PyAny>| {
        after.get_item(key).is_ok_and(|found| found.is_some_and(|found| found.is(value)))
    };
    before.len() != after.len() || !before.iter().all(|(key, value)| is_same(key, &value))
}

fn bare_fields<'a, 'py>(fields: &[Field<'a, 'py>]) -> Vec<Field<'a, 'py>> {
    fields.iter().filter(|(name, _)| BARE.contains(&name.name())).cloned().collect()
}

fn write_fields(py: Python<'_>, spool: &Spool, mut envelope: Envelope<'_>, fields: &[Field<'_, '_>]) -> PyResult<()> {
    let mut draft = DRAFT.take();
    draft.clear();
    let lane = push_labels(&mut draft, &envelope, fields);
    let written = encode(draft.body(), fields).and_then(|lossy| {
        envelope.flags |= if lossy { FLAG_LOSSY } else { 0 };
        match append(py, spool, &envelope, lane, &mut draft) {
            Err(error @ Error::TooLarge { .. }) => Err(PyRuntimeError::new_err(error.to_string())),
            other => Ok(other),
        }
    });
    let (written, failure) = match written {
        Ok(written) => (written, None),
        Err(error) => {
            envelope.flags |= FLAG_LOSSY;
            interrupt_again(py, &error);
            draft.clear_body();
            let reason = encode_most(draft.body(), fields);
            (append(py, spool, &envelope, lane, &mut draft), Some(PyValueError::new_err(reason)))
        }
    };
    if draft.capacity() <= KEEP_DRAFT {
        DRAFT.set(draft);
    }
    written.or_raise(py)?;
    failure.map_or(Ok(()), Err)
}

/// The room for fields in the body of an event; the rest is for the labels and the names of omitted fields.
const ROOM: usize = MAX_PAYLOAD - (128 << 10);

/// Appends the fields that can be written. Leaves out each field that can't, and the largest fields when all are too large together.
/// Returns the reason.
#[cold]
fn encode_most(body: &mut Vec<u8>, fields: &[Field<'_, '_>]) -> String {
    let mut omitted: Vec<(&str, String)> = Vec::new();
    let mut written = Vec::new();
    for (name, value) in fields {
        let mut json = Vec::new();
        match value.write(&mut json) {
            Ok(_) if BARE.contains(&name.name()) || json.len() < ROOM => written.push((name.name(), json)),
            Ok(_) => omitted.push((name.name(), size(json.len()))),
            Err(error) => omitted.push((name.name(), error.to_string())),
        }
    }
    while written.iter().map(|(name, json)| name.len() + json.len() + 4).sum::<usize>() > ROOM {
        let (name, json) = written.iter_mut().max_by_key(|(_, json)| json.len()).expect("the limit is above 0");
        omitted.push((name, size(json.len())));
        *json = b"null".to_vec();
    }
    let names: Vec<_> = omitted.iter().map(|(name, reason)| format!("{name} ({reason})")).collect();
    let reason =
        format!("left out {}: an event holds {}; shorten it with a redact hook", names.join(", "), size(MAX_PAYLOAD));
    written.retain(|(name, _)| !omitted.iter().any(|(gone, _)| gone == name));
    let mut separator = b'{';
    for (name, json) in written {
        body.push(separator);
        separator = b',';
        text::write(body, name);
        body.push(b':');
        body.extend_from_slice(&json);
    }
    body.push(separator);
    text::write(body, "omitted");
    body.push(b':');
    let mut separator = b'[';
    for (name, _) in &omitted {
        body.push(separator);
        separator = b',';
        text::write(body, name);
    }
    body.extend_from_slice(b"],\"encode_error\":");
    text::write(body, &reason);
    body.push(b'}');
    reason
}

fn size(bytes: usize) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Appends the fields as a JSON object. Returns true when the JSON only approximates a value.
fn encode(body: &mut Vec<u8>, fields: &[Field<'_, '_>]) -> PyResult<bool> {
    let mut lossy = false;
    let start = body.len();
    for (key, value) in fields {
        key.append(body);
        lossy |= value.write(body)?;
    }
    // Replaces the first comma.
    body[start] = b'{';
    body.push(b'}');
    Ok(lossy)
}

fn append(
    py: Python<'_>,
    spool: &Spool,
    envelope: &Envelope<'_>,
    lane: Lane,
    draft: &mut Draft,
) -> plsync_journal::Result<()> {
    let &Envelope { kind, ended, flags, id, .. } = envelope;
    py.detach(|| spool.append_draft(&Head { kind, ended, flags, lane, id }, draft))
}
