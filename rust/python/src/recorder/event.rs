//! An event on its way to the spool: its fields, the redact hook, the labels, the write.

use std::borrow::Cow;
use std::cell::Cell;

use plsync_journal::{Draft, Ended, Error, FLAG_LOSSY, FLAG_REDACTED, Head, Kind, RecordId, Spool};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::labels::push_labels;
use super::lane::lane_of;
use super::run_id::RunId;
use crate::encode::secrets::without_secrets;
use crate::encode::{class_path, text, write_value};
use crate::errors::OrRaise;

/// What is left of an event when its content can't be kept: ids and times, all of them made here.
const BARE: [&str; 7] = ["v", "kind", "t", "run_id", "parent_run_id", "elapsed", "first_token"];

/// Where programs and models pass what may hold credentials.
const SETTINGS: [&str; 2] = ["params", "metadata"];

/// A thread's draft of the next event; one that grew beyond this is given back.
const KEEP_DRAFT: usize = 256 << 10;

thread_local! {
    static DRAFT: Cell<Draft> = const { Cell::new(Draft::new()) };
}

/// The parts of an event that stand outside its body.
pub(super) struct Envelope<'a> {
    pub(super) kind: Kind,
    pub(super) ended: Ended,
    pub(super) flags: u8,
    /// Of a start; filled in as the event is written.
    pub(super) lane: u8,
    pub(super) id: RecordId,
    pub(super) run_id: RunId,
    pub(super) parent_run_id: Option<RunId>,
    pub(super) sink: Option<&'a str>,
}

/// A value of the body: ours, or an object of the program.
#[derive(Clone)]
pub(super) enum Value<'a, 'py> {
    Number(Option<u64>),
    Text(&'a str),
    Run(Option<RunId>),
    Micros(&'a [u64]),
    Object(Option<Bound<'py, PyAny>>),
    /// The same, of which credentials are left out: some programs and models pass them with a call.
    Settings(Option<Bound<'py, PyAny>>),
}

/// A part of the body under its key; parts are written in their order.
pub(super) type Field<'a, 'py> = (Cow<'static, str>, Value<'a, 'py>);

impl<'py> Value<'_, 'py> {
    fn write(&self, out: &mut Vec<u8>) -> PyResult<bool> {
        match self {
            Self::Number(Some(number)) => text::write_integer(out, *number),
            Self::Text(value) => text::write(out, value),
            Self::Run(Some(run_id)) => {
                out.push(b'"');
                out.extend_from_slice(&run_id.text());
                out.push(b'"');
            }
            Self::Micros(times) if !times.is_empty() => {
                let mut before = b'[';
                for time in *times {
                    out.push(before);
                    before = b',';
                    text::write_integer(out, time / 1000);
                }
                out.push(b']');
            }
            Self::Object(Some(object)) => return write_value(out, object, false),
            Self::Settings(Some(values)) => return write_value(out, values, true),
            Self::Number(None) | Self::Run(None) | Self::Micros(_) | Self::Object(None) | Self::Settings(None) => {
                out.extend_from_slice(b"null");
            }
        }
        Ok(false)
    }

    fn to_python(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::Number(number) => number.into_pyobject(py)?.into_any(),
            Self::Text(value) => PyString::new(py, value).into_any(),
            Self::Run(Some(run_id)) => PyString::new(py, &String::from_utf8_lossy(&run_id.text())).into_any(),
            Self::Run(None) | Self::Micros([]) => py.None().into_bound(py),
            Self::Micros(times) => PyList::new(py, times.iter().map(|time| time / 1000))?.into_any(),
            Self::Object(object) => object.into_pyobject(py)?.into_any(),
            Self::Settings(values) => values.clone().map(without_secrets).into_pyobject(py)?.into_any(),
        })
    }
}

/// Writes an event. Whatever is wrong with its content, its ids and times are written; an error says that they were not,
/// or that the redact hook failed and the content was left out.
pub(super) fn write(
    py: Python<'_>,
    spool: &Spool,
    redact: Option<&Py<PyAny>>,
    mut envelope: Envelope<'_>,
    fields: &[Field<'_, '_>],
) -> PyResult<()> {
    let Some(hook) = redact else { return write_fields(py, spool, envelope, fields) };
    let before = to_dict(py, fields)?;
    let mut kept = bare(fields);
    let mut failed = None;
    match call(hook.bind(py), &before) {
        Ok(Some(after)) => {
            if changed(&before, &after) {
                envelope.flags |= FLAG_REDACTED;
            }
            for (name, value) in &after {
                let name = name.to_string();
                if !BARE.contains(&name.as_str()) {
                    let is_settings = SETTINGS.contains(&name.as_str());
                    let value = if is_settings { Value::Settings(Some(value)) } else { Value::Object(Some(value)) };
                    kept.push((name.into(), value));
                }
            }
        }
        Ok(None) => envelope.flags |= FLAG_REDACTED,
        Err(error) => {
            envelope.flags |= FLAG_REDACTED;
            // The class only: the message may repeat the content.
            let class = class_path(&error.get_type(py));
            let reason = PyString::new(py, &format!("the redact hook raised {class}"));
            kept.push(("encode_error".into(), Value::Object(Some(reason.into_any()))));
            failed =
                Some(PyRuntimeError::new_err(format!("the redact hook raised {class}, so the content was left out")));
        }
    }
    write_fields(py, spool, envelope, &kept)?;
    failed.map_or(Ok(()), Err)
}

fn call<'py>(hook: &Bound<'py, PyAny>, event: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let answer = hook.call1((event.copy()?,)).inspect_err(|error| {
        if error.is_instance_of::<PyKeyboardInterrupt>(hook.py()) {
            // The user's Ctrl-C happened to arrive in the hook: it belongs to the program, once the event is written.
            // SAFETY: needs nothing but an initialised interpreter.
            unsafe { ffi::PyErr_SetInterrupt() };
        }
    })?;
    if answer.is_none() {
        return Ok(None);
    }
    let answer = answer.cast_into::<PyDict>();
    answer.map(Some).map_err(|_| PyTypeError::new_err("a redact hook returns a dict or None"))
}

fn to_dict<'py>(py: Python<'py>, fields: &[Field<'_, 'py>]) -> PyResult<Bound<'py, PyDict>> {
    let event = PyDict::new(py);
    for (name, value) in fields {
        event.set_item(name, value.to_python(py)?)?;
    }
    Ok(event)
}

fn changed(before: &Bound<'_, PyDict>, after: &Bound<'_, PyDict>) -> bool {
    let is_same = |key, value: &Bound<'_, PyAny>| {
        after.get_item(key).is_ok_and(|found| found.is_some_and(|found| found.is(value)))
    };
    before.len() != after.len() || !before.iter().all(|(key, value)| is_same(key, &value))
}

fn bare<'a, 'py>(fields: &[Field<'a, 'py>]) -> Vec<Field<'a, 'py>> {
    fields.iter().filter(|(name, _)| BARE.contains(&name.as_ref())).cloned().collect()
}

fn write_fields(py: Python<'_>, spool: &Spool, mut envelope: Envelope<'_>, fields: &[Field<'_, '_>]) -> PyResult<()> {
    let mut draft = DRAFT.take();
    draft.clear();
    push_labels(&mut draft, &envelope, fields);
    if envelope.kind == Kind::Start {
        envelope.lane = lane_of(fields, envelope.parent_run_id);
    }
    let written = encode(draft.body(), fields).and_then(|lossy| {
        envelope.flags |= if lossy { FLAG_LOSSY } else { 0 };
        match append(py, spool, &envelope, &mut draft) {
            Err(error @ Error::TooLarge { .. }) => Err(PyRuntimeError::new_err(error.to_string())),
            other => Ok(other),
        }
    });
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            envelope.flags |= FLAG_LOSSY;
            let mut stub = bare(fields);
            let reason = error.to_string();
            stub.push(("encode_error".into(), Value::Text(&reason)));
            draft.clear_body();
            encode(draft.body(), &stub)?;
            append(py, spool, &envelope, &mut draft)
        }
    };
    if draft.capacity() <= KEEP_DRAFT {
        DRAFT.set(draft);
    }
    written.or_raise(py)
}

fn encode(body: &mut Vec<u8>, fields: &[Field<'_, '_>]) -> PyResult<bool> {
    let mut lossy = false;
    let mut before = b'{';
    for (name, value) in fields {
        body.push(before);
        before = b',';
        match name {
            // Our own names need no escapes.
            Cow::Borrowed(name) => {
                body.push(b'"');
                body.extend_from_slice(name.as_bytes());
                body.push(b'"');
            }
            Cow::Owned(name) => text::write(body, name),
        }
        body.push(b':');
        lossy |= value.write(body)?;
    }
    body.push(b'}');
    Ok(lossy)
}

fn append(py: Python<'_>, spool: &Spool, envelope: &Envelope<'_>, draft: &mut Draft) -> plsync_journal::Result<()> {
    let &Envelope { kind, ended, flags, lane, id, .. } = envelope;
    py.detach(|| spool.append_draft(&Head { kind, ended, flags, lane, id }, draft))
}
