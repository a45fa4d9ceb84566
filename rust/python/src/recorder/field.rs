//! The parts of an event: the envelope around its body, and the fields of the body.

use plsync_journal::facts::EndFacts;
use plsync_journal::{CallEnd, FrameKind, Lane, RecordId};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::key::Key;
use super::run_id::RunId;
use crate::encode::{Part, text, write_value};
use crate::redact::redact_settings;

/// The parts of an event that stand outside its body.
pub(super) struct Envelope<'a> {
    pub(super) kind: FrameKind,
    pub(super) ended: CallEnd,
    pub(super) flags: u8,
    pub(super) id: RecordId,
    pub(super) run_id: Option<RunId>,
    pub(super) parent_run_id: Option<RunId>,
    pub(super) sink: Option<&'a str>,
    /// The root of the record's tree.
    pub(super) root: Option<RecordId>,
    /// The lane of the record's tree.
    pub(super) lane: Option<Lane>,
    /// The facts of an end, for its digest.
    pub(super) facts: Option<EndFacts>,
}

/// A value of the body: one of the recorder's own, or an object of the program.
#[derive(Clone)]
pub(super) enum Value<'a, 'py> {
    Number(Option<u64>),
    Text(&'a str),
    Run(Option<RunId>),
    Record(Option<RecordId>),
    /// Times in nanoseconds, written in microseconds.
    Times(&'a [u64]),
    Object(Option<Bound<'py, PyAny>>),
    /// The metadata of an answer; the written form leaves the credentials of its headers out.
    Metadata(Option<Bound<'py, PyAny>>),
    /// An object in which programs and models may pass credentials; the written form leaves credentials out.
    Settings(Option<Bound<'py, PyAny>>),
    /// As `Settings`, for names and errors. They contain nothing of a request.
    Searched(Option<Bound<'py, PyAny>>),
}

/// A key of the body and its value. The body keeps the order of its fields.
pub(super) type Field<'a, 'py> = (Key, Value<'a, 'py>);

impl<'py> Value<'_, 'py> {
    /// Appends the value as JSON. Returns true when the JSON only approximates the value.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> PyResult<bool> {
        match self {
            Self::Number(Some(number)) => text::write_integer(out, *number),
            Self::Text(value) => text::write(out, value),
            Self::Run(Some(run_id)) => {
                out.push(b'"');
                out.extend_from_slice(&run_id.text());
                out.push(b'"');
            }
            Self::Record(Some(id)) => {
                out.push(b'"');
                out.extend_from_slice(&id.hex_digits());
                out.push(b'"');
            }
            Self::Times(times) if !times.is_empty() => {
                let mut separator = b'[';
                for time in *times {
                    out.push(separator);
                    separator = b',';
                    text::write_integer(out, time / 1000);
                }
                out.push(b']');
            }
            Self::Object(Some(object)) => return write_value(out, object, Part::Content),
            Self::Metadata(Some(values)) => return write_value(out, values, Part::Metadata),
            Self::Settings(Some(values)) => return write_value(out, values, Part::Params),
            Self::Searched(Some(values)) => return write_value(out, values, Part::Searched),
            Self::Number(None)
            | Self::Run(None)
            | Self::Record(None)
            | Self::Times(_)
            | Self::Object(None)
            | Self::Metadata(None)
            | Self::Settings(None)
            | Self::Searched(None) => {
                out.extend_from_slice(b"null");
            }
        }
        Ok(false)
    }

    /// The object of the program; None for the recorder's own values.
    pub(super) fn object(&self) -> Option<&Bound<'py, PyAny>> {
        match self {
            Self::Object(object) | Self::Metadata(object) | Self::Settings(object) | Self::Searched(object) => {
                object.as_ref()
            }
            _ => None,
        }
    }

    /// The value as a redact hook receives it.
    pub(super) fn to_python(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::Number(number) => number.into_pyobject(py)?.into_any(),
            Self::Text(value) => PyString::new(py, value).into_any(),
            Self::Run(Some(run_id)) => PyString::new(py, &String::from_utf8_lossy(&run_id.text())).into_any(),
            Self::Record(Some(id)) => PyString::new(py, &id.hex()).into_any(),
            Self::Run(None) | Self::Record(None) | Self::Times([]) => py.None().into_bound(py),
            Self::Times(times) => PyList::new(py, times.iter().map(|time| time / 1000))?.into_any(),
            Self::Object(object) | Self::Metadata(object) => object.into_pyobject(py)?.into_any(),
            Self::Settings(values) | Self::Searched(values) => {
                values.clone().map(redact_settings).into_pyobject(py)?.into_any()
            }
        })
    }
}
