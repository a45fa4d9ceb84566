//! Classifies objects by their type, and reads the plain value or the fields inside an object.

use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};
use pyo3::{ffi, intern};

use super::pydantic;
use crate::attached::AttachedCell;
use crate::id_map::Map;

/// The class of `message.text`.
const TEXT: &str = "TextAccessor";

/// The classes that are kept exactly, sorted. `journal/events/tagged.py` rebuilds the same classes.
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

/// The most cached types. A program that keeps making classes empties the cache.
const MAX_KNOWN: usize = 4096;

/// Kinds by the address of a type. The map owns the type, so that no other type gets the same address.
type Types = Map<usize, (Py<PyType>, Kind)>;
static KNOWN: AttachedCell<Option<Types>> = AttachedCell::new(None);

/// The kind of a type's objects.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A message or an output of `langchain_core`, and its tag.
    Model(&'static str),
    /// `TextAccessor`, the string class of `message.text`. It is written as a plain string.
    Text,
    /// Any other class.
    Foreign,
}

/// The kind of an object whose type is cached. Runs no Python code.
pub(super) fn known_kind(object: &Bound<'_, PyAny>) -> Option<Kind> {
    KNOWN.try_borrow(object.py())?.as_ref()?.get(&(object.get_type_ptr() as usize)).map(|(_, kind)| *kind)
}

/// The last few types, because most objects of an event share theirs. An address may belong to another type by now, if a finalizer
/// emptied the cache. So a kind found here is a hint: readers check the object again.
#[derive(Default)]
pub(super) struct Recent {
    types: [Option<(usize, Kind)>; 4],
    next: usize,
}

impl Recent {
    /// As [`known_kind`].
    pub(super) fn known_kind(&mut self, object: &Bound<'_, PyAny>) -> Option<Kind> {
        let address = object.get_type_ptr() as usize;
        if let Some((_, kind)) = self.types.iter().flatten().find(|(known, _)| *known == address) {
            return Some(*kind);
        }
        let kind = known_kind(object)?;
        self.types[self.next % self.types.len()] = Some((address, kind));
        self.next += 1;
        Some(kind)
    }
}

/// The kind of an object. A new type is inspected, which may run Python code of its metaclass.
pub(super) fn kind(object: &Bound<'_, PyAny>) -> Kind {
    if let Some(kind) = known_kind(object) {
        return kind;
    }
    let class = object.get_type();
    let kind = match inspect(&class) {
        Some(_) if object.is_instance_of::<PyString>() => Kind::Text,
        // A class with a name of LangChain's that is no pydantic model may run code when its attributes are read.
        Some(tag) if pydantic::is_model(&class) => Kind::Model(tag),
        _ => Kind::Foreign,
    };
    let evicted = KNOWN.try_borrow(object.py()).and_then(|mut known| {
        let known = known.get_or_insert_default();
        let evicted = (known.len() >= MAX_KNOWN).then(|| std::mem::take(known));
        known.insert(class.as_ptr() as usize, (class.unbind(), kind));
        evicted
    });
    // After the borrow: dropping a type may run Python code that encodes an object.
    drop(evicted);
    kind
}

/// Whether a tag names a message or an output. Both are kept as the object of their fields.
pub(crate) fn is_model_tag(tag: &str) -> bool {
    tag != TEXT && EXACT.binary_search(&tag).is_ok()
}

/// The plain string inside an object of a subclass of `str`.
pub(super) fn exact_str<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), ffi::PyUnicode_FromObject(object.as_ptr())) }
}

/// The plain value inside an object of a subclass of a built-in class. Overridden methods are not called.
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

/// The members of a set.
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

/// The tag of the nearest `langchain_core` class among an object's bases.
pub(super) fn nearest_tag(bases: &Bound<'_, PyTuple>) -> Option<&'static str> {
    bases.iter().find_map(|base| inspect(base.cast::<PyType>().ok()?))
}

/// An object's class and its bases, nearest first. Calls the metaclass, which may raise.
pub(super) fn bases<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    Ok(object.get_type().getattr(intern!(object.py(), "__mro__"))?.cast_into()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_of_exact_classes_is_sorted() {
        assert!(super::EXACT.is_sorted());
    }
}
