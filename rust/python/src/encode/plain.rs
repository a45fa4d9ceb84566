//! Writes the JSON of plain objects in one pass.
//!
//! The pass calls no code of the objects. But an allocation may start the garbage collector, whose finalizers are Python code and may
//! change any container. So the writer holds a reference to each container that it walks.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString, PyTuple};

use super::classes::{Kind, Recent};
use super::key_cache::{Hint, KeyCache, hint_of, key_cache};
use super::limits::{MAX_DEPTH, MAX_NODES};
use super::secrets::{self, Part};
use super::{pydantic, text};
use crate::attached::AttachedRef;
use crate::redact::REDACTED;

/// The object has a part that is not plain. [`super::tagged`] encodes such an object.
pub(super) struct NotPlain;

type WriteResult = Result<(), NotPlain>;

/// Appends the JSON of a plain object. After an error the appended bytes are incomplete.
///
/// An object is plain when it consists of the built-in JSON types and of `langchain_core` objects with plain fields. Subclasses of
/// these types are not plain, nor are infinite floats, integers beyond 64 bits, lone surrogates, and keys that are tags.
pub(super) fn write(out: &mut Vec<u8>, object: &Bound<'_, PyAny>, part: Part) -> WriteResult {
    let (part, metadata) = part.at_top();
    Writer { out, nodes: 0, key_cache: key_cache(object.py()), classes: Recent::default(), part, searched: 0, metadata }
        .value(object, 0)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    nodes: usize,
    key_cache: Option<AttachedRef<'static, KeyCache>>,
    classes: Recent,
    part: Part,
    /// The bytes that were searched for credentials.
    searched: usize,
    /// The next dict is the metadata of an answer, of which only headers are searched.
    metadata: bool,
}

impl Writer<'_> {
    fn value(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> WriteResult {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(NotPlain);
        }
        let class = object.get_type_ptr();
        let is = |exact: *mut ffi::PyTypeObject| std::ptr::eq(class, exact);
        // SAFETY: the compared addresses belong to the interpreter's static type objects. Each unchecked cast follows the
        // comparison that proves it. The class of an exact built-in object does not change.
        unsafe {
            if is(&raw mut ffi::PyUnicode_Type) {
                return self.text(object.cast_unchecked());
            } else if object.is_none() {
                self.out.extend_from_slice(b"null");
            } else if is(&raw mut ffi::PyDict_Type) {
                let held = object.clone();
                return self.dict(held.cast_unchecked(), depth);
            } else if is(&raw mut ffi::PyList_Type) {
                let held = object.clone();
                return self.list(held.cast_unchecked(), depth);
            } else if is(&raw mut ffi::PyTuple_Type) {
                let held = object.clone();
                return self.tuple(held.cast_unchecked(), depth);
            } else if is(&raw mut ffi::PyBool_Type) {
                self.out.extend_from_slice(if object.is(&*PyBool::new(object.py(), true)) {
                    b"true"
                } else {
                    b"false"
                });
            } else if is(&raw mut ffi::PyLong_Type) {
                return self.integer(object);
            } else if is(&raw mut ffi::PyFloat_Type) {
                return self.float(ffi::PyFloat_AsDouble(object.as_ptr()));
            } else {
                let held = object.clone();
                return self.model(&held, depth);
            }
        }
        Ok(())
    }

    fn text(&mut self, value: &Bound<'_, PyString>) -> WriteResult {
        let content = value.to_str().map_err(|_| NotPlain)?;
        if content.len() > text::LARGE {
            text::try_reserve(self.out, content.len() + 3).map_err(|_| NotPlain)?;
        }
        match secrets::redact_in(self.part, Some(value), content, &mut self.searched) {
            Some(redacted) => text::write(self.out, &redacted),
            None => text::write(self.out, content),
        }
        Ok(())
    }

    fn integer(&mut self, value: &Bound<'_, PyAny>) -> WriteResult {
        let mut overflow = 0;
        // SAFETY: the object is an int, so only an overflow can occur, which sets no error.
        let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
        if overflow != 0 {
            return Err(NotPlain);
        }
        text::write_integer(self.out, number);
        Ok(())
    }

    fn float(&mut self, value: f64) -> WriteResult {
        if !value.is_finite() {
            return Err(NotPlain);
        }
        text::write_debug(self.out, value);
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> WriteResult {
        let metadata = std::mem::take(&mut self.metadata);
        if dict.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        let py = dict.py();
        let start = self.out.len();
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the caller holds the dict, and the GIL is held. PyDict_Next checks the position against the dict at each call. If
        // a finalizer has changed the dict, entries are skipped or repeated.
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0 {
            // SAFETY: PyDict_Next has set both to objects that the dict holds. Nothing runs Python code until `write_under`. The key is
            // not used after it, and `value` holds each object that it walks. `is_named_by` may compare a key of the program's
            // class, and so run Python code: `held` keeps the value.
            let (key, value) = unsafe { (Borrowed::from_ptr(py, key), Borrowed::from_ptr(py, value)) };
            let key = key.cast_exact::<PyString>().map_err(|_| NotPlain)?;
            let hint = if let Some(cached) = self.key_cache.as_mut().and_then(|cache| cache.find(&key)) {
                cached.append(self.out);
                cached.hint()
            } else {
                let key = key.to_str().map_err(|_| NotPlain)?;
                if key == "$" {
                    return Err(NotPlain);
                }
                self.out.push(b',');
                match secrets::redact_key_in(self.part, key, &mut self.searched) {
                    Some(redacted) => text::write(self.out, &redacted),
                    None => text::write(self.out, key),
                }
                self.out.push(b':');
                hint_of(key)
            };
            let held = (hint == Hint::Value).then(|| value.to_owned());
            if held.is_some() && secrets::is_named_by(dict, self.part) {
                text::write(self.out, REDACTED);
                continue;
            }
            self.write_under(hint, metadata, &value, depth + 1)?;
        }
        // Replaces the first comma.
        self.out[start] = b'{';
        self.out.push(b'}');
        Ok(())
    }

    /// Writes the value under a key with this hint.
    fn write_under(&mut self, hint: Hint, in_metadata: bool, value: &Bound<'_, PyAny>, depth: usize) -> WriteResult {
        if hint == Hint::Plain && self.part != Part::Params {
            return self.value(value, depth);
        }
        let around = self.part;
        if around != Part::Content && secrets::is_credential(hint, value) {
            text::write(self.out, REDACTED);
            return Ok(());
        }
        self.part = around.under(hint, in_metadata);
        self.metadata = hint == Hint::Metadata && around == Part::Content;
        self.value(value, depth)?;
        self.metadata = false;
        self.part = around;
        Ok(())
    }

    fn list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> WriteResult {
        if list.is_empty() {
            self.out.extend_from_slice(b"[]");
            return Ok(());
        }
        self.items(list.iter(), depth + 1)
    }

    /// `LangGraph` has tuples in the metadata of each node.
    fn tuple(&mut self, tuple: &Bound<'_, PyTuple>, depth: usize) -> WriteResult {
        self.out.extend_from_slice(b"{\"$\":\"tuple\",\"v\":");
        if tuple.is_empty() {
            self.out.extend_from_slice(b"[]");
        } else {
            self.items(tuple.iter(), depth + 2)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Writes items, of which there is one at least.
    fn items<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> WriteResult {
        let mut separator = b'[';
        let mut before: Option<Bound<'_, PyAny>> = None;
        for item in items {
            self.out.push(separator);
            separator = b',';
            if secrets::is_value_behind(self.part, before.as_ref(), &item) {
                text::write(self.out, REDACTED);
                continue;
            }
            let header = if self.part == Part::Content { None } else { secrets::redacted_header(&item) };
            self.value(header.as_ref().unwrap_or(&item), depth)?;
            before = Some(item);
        }
        self.out.push(b']');
        Ok(())
    }

    fn model(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> WriteResult {
        // The copier inspects new types, because an inspection may run Python code.
        let name = match self.classes.known_kind(object) {
            Some(Kind::Model(name)) => name,
            Some(Kind::Text) => return self.text(object.cast().map_err(|_| NotPlain)?),
            Some(Kind::Foreign) | None => return Err(NotPlain),
        };
        let (fields, extras) = pydantic::fields(object).ok_or(NotPlain)?;
        for part in ["{\"$\":\"", name, "\",\"v\":"] {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.dict(&fields, depth + 1)?;
        if let Some(extras) = extras {
            self.out.extend_from_slice(b",\"x\":");
            self.dict(&extras, depth + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}
