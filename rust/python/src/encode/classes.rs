//! What objects are: `langchain_core`'s own messages and outputs, decided once a type, and what is inside of others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};
use pyo3::{ffi, intern};

/// The class of `message.text`.
const TEXT: &str = "TextAccessor";

/// The classes that are kept exactly; `codec.py` rebuilds the same ones. Sorted.
const EXACT: [&str; 23] = [
    "AIMessage",
    "AIMessageChunk",
    "BaseMessage",
    "BaseMessageChunk",
    "ChatGeneration",
    "ChatGenerationChunk",
    "ChatMessage",
    "ChatMessageChunk",
    "ChatResult",
    "FunctionMessage",
    "FunctionMessageChunk",
    "Generation",
    "GenerationChunk",
    "HumanMessage",
    "HumanMessageChunk",
    "LLMResult",
    "RemoveMessage",
    "RunInfo",
    "SystemMessage",
    "SystemMessageChunk",
    TEXT,
    "ToolMessage",
    "ToolMessageChunk",
];

/// Types that are remembered; a program that makes classes without end starts the memory anew.
const MAX_KNOWN: usize = 4096;

/// By the address of a type, what it is. The type is kept, so that its address stays its own.
type Types = HashMap<usize, (Py<PyType>, Kind)>;
static KNOWN: Mutex<Option<Types>> = Mutex::new(None);

/// What the objects of a type are.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A message or an output of `langchain_core`, with its tag.
    Model(&'static str),
    /// `TextAccessor`, the string class of `message.text`, which every chat generation holds: written as the string it is.
    Text,
    /// None of `langchain_core`'s.
    Foreign,
}

/// What an object is, if its type was met before. Runs no Python code.
pub(super) fn met(object: &Bound<'_, PyAny>) -> Option<Kind> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.as_ref()?.get(&(object.get_type_ptr() as usize)).map(|(_, kind)| *kind)
}

/// The types of the objects before this one, of which most are the same. Only as long as no Python code runs.
#[derive(Default)]
pub(super) struct Recent {
    types: [Option<(usize, Kind)>; 4],
    next: usize,
}

impl Recent {
    /// As [`met`].
    pub(super) fn met(&mut self, object: &Bound<'_, PyAny>) -> Option<Kind> {
        let address = object.get_type_ptr() as usize;
        if let Some((_, kind)) = self.types.iter().flatten().find(|(known, _)| *known == address) {
            return Some(*kind);
        }
        let kind = met(object)?;
        self.types[self.next % self.types.len()] = Some((address, kind));
        self.next += 1;
        Some(kind)
    }
}

/// What an object is. A type met for the first time is inspected, which may run Python code of its metaclass.
pub(super) fn kind(object: &Bound<'_, PyAny>) -> Kind {
    if let Some(kind) = met(object) {
        return kind;
    }
    let class = object.get_type();
    let kind = match inspect(&class) {
        None => Kind::Foreign,
        Some(_) if object.is_instance_of::<PyString>() => Kind::Text,
        Some(tag) => Kind::Model(tag),
    };
    let forgotten = {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        let forgotten = (known.len() >= MAX_KNOWN).then(|| std::mem::take(known));
        known.insert(class.as_ptr() as usize, (class.unbind(), kind));
        forgotten
    };
    // Outside the lock: a type that goes may run Python code, which may come back here.
    drop(forgotten);
    kind
}

/// Whether a tag is that of a message or an output, which are kept as the object of their fields.
pub(crate) fn is_model_tag(tag: &str) -> bool {
    tag != TEXT && EXACT.binary_search(&tag).is_ok()
}

/// The plain string inside an object of a class that derives from `str`.
pub(super) fn exact_str<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), ffi::PyUnicode_FromObject(object.as_ptr())) }
}

/// The plain value inside an object whose class derives from a built-in one, past whatever that class overrides.
pub(super) fn exact_builtin<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let unbound = |class: &Bound<'py, PyType>, method: &str| class.getattr(method)?.call1((object,)).map(Some);
    if object.is_instance_of::<PyString>() {
        exact_str(object).map(Some)
    } else if object.is_instance_of::<PyInt>() {
        unbound(&py.get_type::<PyInt>(), "__int__")
    } else if object.is_instance_of::<PyFloat>() {
        unbound(&py.get_type::<PyFloat>(), "__float__")
    } else if object.is_instance_of::<PyDict>() {
        unbound(&py.get_type::<PyDict>(), "copy")
    } else if object.is_instance_of::<PyList>() {
        unbound(&py.get_type::<PyList>(), "copy")
    } else if let Ok(tuple) = object.cast::<PyTuple>() {
        Ok(Some(tuple.get_slice(0, tuple.len()).into_any()))
    } else if let Ok(bytes) = object.cast::<PyBytes>() {
        Ok(Some(PyBytes::new(py, bytes.as_bytes()).into_any()))
    } else if let Ok(bytes) = object.cast::<PyByteArray>() {
        Ok(Some(PyByteArray::new(py, &bytes.to_vec()).into_any()))
    } else if object.is_instance_of::<PySet>() {
        PySet::new(py, members(object)?).map(|set| Some(set.into_any()))
    } else if object.is_instance_of::<PyFrozenSet>() {
        PyFrozenSet::new(py, members(object)?).map(|set| Some(set.into_any()))
    } else {
        Ok(None)
    }
}

/// What is in a set.
pub(super) fn members<'py>(set: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    set.try_iter()?.collect()
}

fn inspect(class: &Bound<'_, PyType>) -> Option<&'static str> {
    let module = class.module().ok()?;
    let module = module.to_str().ok()?;
    if !module.starts_with("langchain_core.messages") && !module.starts_with("langchain_core.outputs") {
        return None;
    }
    let name = class.name().ok()?;
    let place = EXACT.binary_search(&name.to_str().ok()?).ok()?;
    Some(EXACT[place])
}

/// The nearest class of `langchain_core` among those that an object of another class derives from.
pub(super) fn nearest_tag(bases: &Bound<'_, PyTuple>) -> Option<&'static str> {
    bases.iter().find_map(|base| inspect(base.cast::<PyType>().ok()?))
}

/// An object's class and those it derives from, nearest first. Asks the metaclass, which may refuse.
pub(super) fn bases<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    Ok(object.get_type().getattr(intern!(object.py(), "__mro__"))?.cast_into()?)
}

/// The field dict and the extras of a pydantic object. Runs no Python code.
pub(super) fn fields<'py>(object: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyDict>, Option<Bound<'py, PyDict>>)> {
    let py = object.py();
    // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set. The class's
    // own __getattribute__ and __getattr__ are passed by, which is why no Python code can run here.
    let fields = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()))
    };
    let name = intern!(py, "__pydantic_extra__");
    // SAFETY: as above.
    let extras =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetAttr(object.as_ptr(), name.as_ptr())) };
    let extras = extras.ok().and_then(|extras| extras.cast_into::<PyDict>().ok()).filter(|extras| !extras.is_empty());
    Some((fields.ok()?.cast_into::<PyDict>().ok()?, extras))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_of_exact_classes_is_sorted() {
        assert!(super::EXACT.is_sorted());
    }
}
