//! Copies objects in the tagged form of `docs/reference/events.md`.
//!
//! Python code (a `repr`, an `isoformat`) may run during the copy, and may change any container. So the copier walks only copies of
//! containers.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
};

use super::classes::{self, Kind, members};
use super::key_cache::Hint;
use super::limits::{MAX_DEPTH, MAX_NODES};
use super::secrets::Part;
use super::tags::{CopyResult, base64, class_path, copy_float, copy_str, model, tag};
use super::{pydantic, secrets, stdlib};

/// How much of a value its nearest form holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nearest {
    Part,
    /// The value is a setting, or a client made it from the JSON of a response. Its JSON form holds all that matters.
    Whole,
}

/// One walk over an object.
pub(super) struct Copier {
    /// The copy only approximates a value.
    pub(super) lossy: bool,
    pub(super) part: Part,
    /// The bytes that were searched for credentials.
    searched: usize,
    /// The next dict is the metadata of an answer, of which only headers are searched.
    metadata: bool,
    pub(super) nearest: Nearest,
    nodes: usize,
    /// The addresses of the containers around the current object. A cycle leads back to one of them.
    open: Vec<usize>,
}

impl Copier {
    pub(super) fn new(part: Part) -> Self {
        let (part, metadata) = part.at_top();
        Self { lossy: false, part, searched: 0, metadata, nearest: Nearest::Part, nodes: 0, open: Vec::new() }
    }

    /// The tagged copy of `object`. `depth` is the number of JSON containers around it.
    pub(super) fn copy<'py>(&mut self, object: &Bound<'py, PyAny>, depth: usize) -> CopyResult<'py> {
        let py = object.py();
        self.nodes += 1;
        if object.is_none() || object.is_exact_instance_of::<PyBool>() {
            return Ok(object.clone());
        }
        if let Ok(text) = object.cast_exact::<PyString>() {
            let redacted = secrets::redact_in(self.part, Some(text), &text.to_string_lossy(), &mut self.searched);
            return redacted.map_or_else(|| copy_str(text), |redacted| Ok(PyString::new(py, &redacted).into_any()));
        }
        if object.is_exact_instance_of::<PyInt>() {
            return self.copy_int(object);
        }
        if let Ok(number) = object.cast_exact::<PyFloat>() {
            return copy_float(number);
        }
        let address = object.as_ptr().addr();
        // A tagged container is up to three JSON containers deep.
        if depth + 3 > MAX_DEPTH || self.nodes > MAX_NODES || self.open.contains(&address) {
            self.lossy = true;
            return tag(py, "repr", Some(&class_path(&object.get_type())), PyString::new(py, "...").as_any());
        }
        self.open.push(address);
        let copied = match self.container(object, depth) {
            Ok(Some(copied)) => Ok(copied),
            Ok(None) => self.approximate(object, depth),
            Err(_) => self.by_repr(object, || object.repr()),
        };
        self.open.pop();
        copied
    }

    fn container<'py>(&mut self, object: &Bound<'py, PyAny>, depth: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        let copied = if let Ok(dict) = object.cast_exact::<PyDict>() {
            self.copy_dict(dict, depth)?
        } else if let Ok(list) = object.cast_exact::<PyList>() {
            self.copy_items(&list.to_tuple(), depth + 1)?
        } else if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            tag(py, "tuple", None, &self.copy_items(tuple, depth + 2)?)?
        } else if let Kind::Text = classes::kind(object) {
            self.copy(&classes::exact_str(object)?, depth)?
        } else if let Kind::Model(name) = classes::kind(object) {
            let Some((fields, extras)) = pydantic::fields(object) else { return Ok(None) };
            self.copy_model(name, &fields, extras.as_ref(), depth)?
        } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            if let Some(redacted) = self.redacted_bytes(bytes) {
                return Ok(Some(redacted));
            }
            tag(py, "bytes", None, &base64(bytes.as_any())?)?
        } else if let Ok(bytes) = object.cast_exact::<PyByteArray>() {
            tag(py, "bytearray", None, &base64(bytes.as_any())?)?
        } else if object.is_exact_instance_of::<PySet>() {
            tag(py, "set", None, &self.copy_items(&PyTuple::new(py, members(object)?)?, depth + 2)?)?
        } else if object.is_exact_instance_of::<PyFrozenSet>() {
            tag(py, "frozenset", None, &self.copy_items(&PyTuple::new(py, members(object)?)?, depth + 2)?)?
        } else {
            return self.copy_stdlib(object);
        };
        Ok(Some(copied))
    }

    /// The text of bytes in which a credential was replaced. None for other bytes.
    fn redacted_bytes<'py>(&mut self, bytes: &Bound<'py, PyBytes>) -> Option<Bound<'py, PyAny>> {
        let text = str::from_utf8(bytes.as_bytes()).ok().filter(|_| self.part == Part::Searched)?;
        let redacted = secrets::redact_in(self.part, None, text, &mut self.searched)?;
        Some(PyString::new(bytes.py(), &redacted).into_any())
    }

    pub(super) fn copy_dict<'py>(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> CopyResult<'py> {
        let py = dict.py();
        let metadata = std::mem::take(&mut self.metadata);
        let dict = dict.copy()?;
        let is_object = |key: &Bound<'py, PyAny>| {
            key.cast_exact::<PyString>().is_ok_and(|key| key.to_str().is_ok_and(|key| key != "$"))
        };
        let is_named = secrets::is_named_by(&dict, self.part);
        let is_credential = |key: &Bound<'py, PyAny>| is_named && secrets::hint_of_key(key) == Hint::Value;
        if dict.keys().iter().all(|key| is_object(&key)) {
            let copy = PyDict::new(py);
            for (key, value) in &dict {
                let value = if is_credential(&key) {
                    secrets::replacement(py)
                } else {
                    self.copy_under(&key, metadata, &value, depth + 1)?
                };
                copy.set_item(self.copy_key(&key), value)?;
            }
            return Ok(copy.into_any());
        }
        let pairs = PyList::empty(py);
        for (key, value) in &dict {
            let value = if is_credential(&key) {
                secrets::replacement(py)
            } else {
                self.copy_under(&key, metadata, &value, depth + 3)?
            };
            pairs.append((self.copy(&key, depth + 3)?, value).into_pyobject(py)?.to_list())?;
        }
        tag(py, "dict", None, pairs.as_any())
    }

    fn copy_key<'py>(&mut self, key: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        let text = key.cast::<PyString>().ok().and_then(|key| key.to_str().ok());
        let redacted = text.and_then(|text| secrets::redact_key_in(self.part, text, &mut self.searched));
        redacted.map_or_else(|| key.clone(), |redacted| PyString::new(key.py(), &redacted).into_any())
    }

    /// The copy of the value under a key. `in_metadata`: the key stands in the metadata of an answer.
    fn copy_under<'py>(
        &mut self,
        key: &Bound<'py, PyAny>,
        in_metadata: bool,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> CopyResult<'py> {
        if self.nearest == Nearest::Part && (self.part == Part::Params || is_made_from_json(key)) {
            self.nearest = Nearest::Whole;
            let copied = self.copy_under(key, in_metadata, value, depth);
            self.nearest = Nearest::Part;
            return copied;
        }
        let (around, hint) = (self.part, secrets::hint_of_key(key));
        if around != Part::Content && secrets::is_credential(hint, value) {
            return Ok(secrets::replacement(key.py()));
        }
        self.part = around.under(hint, in_metadata);
        self.metadata = hint == Hint::Metadata && around == Part::Content;
        let copied = self.copy(value, depth);
        self.metadata = false;
        self.part = around;
        copied
    }

    fn copy_items<'py>(&mut self, items: &Bound<'py, PyTuple>, depth: usize) -> CopyResult<'py> {
        let copy = PyList::empty(items.py());
        let mut before: Option<Bound<'py, PyAny>> = None;
        for item in items {
            copy.append(self.copy_item(before.as_ref(), &item, depth)?)?;
            before = Some(item);
        }
        Ok(copy.into_any())
    }

    fn copy_item<'py>(
        &mut self,
        before: Option<&Bound<'py, PyAny>>,
        item: &Bound<'py, PyAny>,
        depth: usize,
    ) -> CopyResult<'py> {
        if secrets::is_value_behind(self.part, before, item) {
            return Ok(secrets::replacement(item.py()));
        }
        let header = if self.part == Part::Content { None } else { secrets::redacted_header(item) };
        self.copy(header.as_ref().unwrap_or(item), depth)
    }

    pub(super) fn copy_model<'py>(
        &mut self,
        name: &'static str,
        fields: &Bound<'py, PyDict>,
        extras: Option<&Bound<'py, PyDict>>,
        depth: usize,
    ) -> CopyResult<'py> {
        let fields = self.copy_dict(fields, depth + 1)?;
        let extras = extras.map(|extras| self.copy_dict(extras, depth + 1)).transpose()?;
        model(name, &fields, extras.as_ref())
    }

    fn copy_int<'py>(&mut self, number: &Bound<'py, PyAny>) -> CopyResult<'py> {
        let py = number.py();
        if number.extract::<i64>().is_ok() || number.extract::<u64>().is_ok() {
            return Ok(number.clone());
        }
        match number.str() {
            Ok(digits) => tag(py, "int", None, digits.as_any()),
            // The interpreter refuses to convert very long integers to decimal.
            Err(_) => self.by_repr(number, || number.call_method0(intern!(py, "bit_length"))?.str()),
        }
    }

    fn copy_stdlib<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        let stdlib = stdlib::get(py)?;
        let class = object.get_type();
        let Some(kind) = stdlib.kind(&class) else { return Ok(None) };
        Ok(Some(match kind {
            "timedelta" => {
                let parts = PyList::empty(py);
                for part in ["days", "seconds", "microseconds"] {
                    parts.append(object.getattr(part)?)?;
                }
                tag(py, kind, None, parts.as_any())?
            }
            "uuid" | "decimal" => tag(py, kind, None, object.str()?.as_any())?,
            _ => self.copy_moment(kind, object)?,
        }))
    }

    fn copy_moment<'py>(&mut self, kind: &str, object: &Bound<'py, PyAny>) -> CopyResult<'py> {
        let py = object.py();
        let tagged = tag(py, kind, None, &object.call_method0(intern!(py, "isoformat"))?)?;
        if kind != "date" {
            let zone = object.getattr(intern!(py, "tzinfo"))?;
            if !zone.is_none() && !zone.get_type().is(stdlib::get(py)?.timezone.bind(py)) {
                match zone.getattr(intern!(py, "key")).and_then(|key| Ok(key.cast_into_exact::<PyString>()?)) {
                    Ok(key) => tagged.set_item(intern!(py, "tz"), key)?,
                    Err(_) => self.lossy = true,
                }
            }
        }
        Ok(tagged)
    }
}

/// Whether a client makes the values under a key from the JSON of a response: facts of an answer, and the object in its text.
fn is_made_from_json(key: &Bound<'_, PyAny>) -> bool {
    let name = key.cast_exact::<PyString>().ok().and_then(|key| key.to_str().ok());
    matches!(
        name,
        Some(
            "parsed" | "additional_kwargs" | "response_metadata" | "generation_info" | "token_usage" | "usage_metadata"
        )
    )
}
