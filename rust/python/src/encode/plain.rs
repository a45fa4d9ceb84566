//! JSON of plain objects, in one pass over them. No Python code runs meanwhile, so nothing can change what is read.

use std::sync::MutexGuard;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};

use super::classes::{self, Kind, Recent};
use super::{MAX_DEPTH, MAX_NODES, secrets, text};
use crate::names::{Look, Names, look_of, names, place_of};

/// An object has a part that takes more than this: see [`super::tagged`].
pub(super) struct NotPlain;

type Written = Result<(), NotPlain>;

/// Appends the JSON of `object` if it is made of exact JSON types, finite floats, integers of 64 bits, valid text, keys
/// that can't be taken for a tag, and `langchain_core` objects of the same. Otherwise what was appended means nothing.
/// Where it is `guarded`, nothing in it may go by a suspicious name.
pub(super) fn write(out: &mut Vec<u8>, object: &Bound<'_, PyAny>, guarded: bool) -> Written {
    Writer { out, nodes: 0, names: names(), classes: Recent::default(), guarded, metadata: false }.value(object, 0)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    nodes: usize,
    names: Option<MutexGuard<'static, Names>>,
    classes: Recent,
    guarded: bool,
    /// The next dict is what a model says of its answer; `guarded` is what is said there of headers.
    metadata: bool,
}

impl Writer<'_> {
    fn value(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Written {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(NotPlain);
        }
        let class = object.get_type_ptr();
        let is = |exact: *mut ffi::PyTypeObject| std::ptr::eq(class, exact);
        // SAFETY: the addresses are those of the interpreter's static type objects, and each unchecked cast follows the
        // comparison that makes it right.
        unsafe {
            if is(&raw mut ffi::PyUnicode_Type) {
                return self.text(object.cast_unchecked());
            } else if object.is_none() {
                self.out.extend_from_slice(b"null");
            } else if is(&raw mut ffi::PyDict_Type) {
                return self.dict(object.cast_unchecked(), depth);
            } else if is(&raw mut ffi::PyList_Type) {
                return self.list(object.cast_unchecked(), depth);
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
                return self.model(object, depth);
            }
        }
        Ok(())
    }

    fn text(&mut self, value: &Bound<'_, PyString>) -> Written {
        let value = value.to_str().map_err(|_| NotPlain)?;
        if self.guarded && secrets::may_be_in(value) {
            return Err(NotPlain);
        }
        text::write(self.out, value);
        Ok(())
    }

    fn integer(&mut self, value: &Bound<'_, PyAny>) -> Written {
        let mut overflow = 0;
        // SAFETY: the object is an int, so nothing but an overflow can go wrong, and that sets no error.
        let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
        if overflow != 0 {
            return Err(NotPlain);
        }
        text::write_integer(self.out, number);
        Ok(())
    }

    fn float(&mut self, value: f64) -> Written {
        if !value.is_finite() {
            return Err(NotPlain);
        }
        text::write_debug(self.out, value);
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Written {
        let metadata = std::mem::take(&mut self.metadata);
        if dict.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        let py = dict.py();
        let start = self.out.len();
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: nothing in the loop runs Python code or gives the GIL away, so the dict stays as it is and keeps alive what
        // is borrowed from it.
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0 {
            // SAFETY: as above; PyDict_Next has set both to objects.
            let (key, value) = unsafe { (Borrowed::from_ptr(py, key), Borrowed::from_ptr(py, value)) };
            let key = key.cast_exact::<PyString>().map_err(|_| NotPlain)?;
            let look = if let Some(name) = self.names.as_mut().and_then(|names| names.find(&key)) {
                name.append(self.out);
                name.look()
            } else {
                let key = key.to_str().map_err(|_| NotPlain)?;
                if key == "$" {
                    return Err(NotPlain);
                }
                self.out.push(b',');
                text::write(self.out, key);
                self.out.push(b':');
                if self.guarded { look_of(key) } else { place_of(key) }
            };
            self.under(look, metadata, &value, depth + 1)?;
        }
        // In the place of the first comma.
        self.out[start] = b'{';
        self.out.push(b'}');
        Ok(())
    }

    /// A value whose key looks like this, and may be in what a model says of its answer.
    fn under(&mut self, look: Look, in_metadata: bool, value: &Bound<'_, PyAny>, depth: usize) -> Written {
        match look {
            Look::Suspect if self.guarded && !value.is_none() => Err(NotPlain),
            Look::Schema if self.guarded => {
                self.guarded = false;
                self.value(value, depth)?;
                self.guarded = true;
                Ok(())
            }
            Look::Metadata if !self.guarded => {
                self.metadata = true;
                self.value(value, depth)?;
                self.metadata = false;
                Ok(())
            }
            Look::Headers if in_metadata => {
                self.guarded = true;
                self.value(value, depth)?;
                self.guarded = false;
                Ok(())
            }
            _ => self.value(value, depth),
        }
    }

    fn list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> Written {
        if list.is_empty() {
            self.out.extend_from_slice(b"[]");
            return Ok(());
        }
        let mut before = b'[';
        for item in list {
            if self.guarded && is_suspect_header(&item) {
                return Err(NotPlain);
            }
            self.out.push(before);
            before = b',';
            self.value(&item, depth + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn model(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Written {
        // A type that was not met before is left to the copier, which may run the Python code that inspecting it takes.
        let name = match self.classes.met(object) {
            Some(Kind::Model(name)) => name,
            // SAFETY: the object is a str; what is read of it does not depend on its class.
            Some(Kind::Text) => return self.text(unsafe { object.cast_unchecked() }),
            Some(Kind::Foreign) | None => return Err(NotPlain),
        };
        let (fields, extras) = classes::fields(object).ok_or(NotPlain)?;
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

/// Whether an item of a list is a pair of name and value, and credentials may go by that name.
fn is_suspect_header(item: &Bound<'_, PyAny>) -> bool {
    let Ok(pair) = item.cast_exact::<PyList>() else { return false };
    let Ok(name) = pair.get_item(0) else { return false };
    let name = name.cast_exact::<PyString>().ok().and_then(|name| name.to_str().ok());
    pair.len() == 2 && name.is_some_and(|name| look_of(name) == Look::Suspect)
}
