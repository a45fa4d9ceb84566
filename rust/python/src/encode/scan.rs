//! Whether orjson may have an object as it is. No Python code runs while an object is scanned, so nothing can change it.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use pyo3::{ffi, intern};

use super::classes::{self, Known};
use super::{MAX_DEPTH, MAX_NODES};

/// True when orjson writes `object` without losing anything silently: exact JSON types, finite floats, no key that could
/// be taken for a tag, and `langchain_core` objects made of the same. What orjson refuses aloud (lone surrogates, large
/// integers, keys that aren't text) is not looked for.
pub(super) fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    Scan { nodes: 0 }.visit(object, 0)
}

struct Scan {
    nodes: usize,
}

impl Scan {
    fn visit(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> bool {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return false;
        }
        let class = object.get_type_ptr();
        let is = |exact: *mut ffi::PyTypeObject| std::ptr::eq(class, exact);
        // SAFETY: addresses of the interpreter's static type objects.
        unsafe {
            if is(&raw mut ffi::PyUnicode_Type)
                || is(&raw mut ffi::PyLong_Type)
                || is(&raw mut ffi::PyBool_Type)
                || object.is_none()
            {
                true
            } else if is(&raw mut ffi::PyFloat_Type) {
                ffi::PyFloat_AsDouble(object.as_ptr()).is_finite()
            } else if is(&raw mut ffi::PyDict_Type) {
                self.dict(object.cast_unchecked(), depth)
            } else if is(&raw mut ffi::PyList_Type) {
                self.list(object.cast_unchecked(), depth)
            } else {
                self.model(object, depth)
            }
        }
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> bool {
        !dict.contains(intern!(dict.py(), "$")).unwrap_or(true)
            && dict.iter().all(|(_, value)| self.visit(&value, depth + 1))
    }

    fn list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> bool {
        list.iter().all(|item| self.visit(&item, depth + 1))
    }

    fn model(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> bool {
        match classes::known(object) {
            Some(Known::Text) => true,
            Some(Known::Model(_)) => classes::fields(object).is_some_and(|(fields, extras)| {
                self.dict(&fields, depth + 1) && extras.is_none_or(|extras| self.dict(&extras, depth + 1))
            }),
            None => false,
        }
    }
}
