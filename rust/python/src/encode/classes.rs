//! Which objects are `langchain_core`'s own messages and outputs, decided once a type.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};
use pyo3::{ffi, intern};

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
    "TextAccessor",
    "ToolMessage",
    "ToolMessageChunk",
];

/// Types that are remembered; a program that makes classes without end starts the memory anew.
const MAX_KNOWN: usize = 4096;

static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// An object of `langchain_core`.
pub(super) enum Known<'py> {
    /// A message or an output, with its tag.
    Model(Bound<'py, PyString>),
    /// `TextAccessor`, the string class of `message.text`, which every chat generation holds: written as the string it is.
    Text,
}

/// What an object of an exact `langchain_core` class is. Runs no Python code for a type seen before.
pub(super) fn known<'py>(object: &Bound<'py, PyAny>) -> Option<Known<'py>> {
    let tag = tag_of(object)?;
    Some(if object.is_instance_of::<PyString>() { Known::Text } else { Known::Model(tag) })
}

/// The plain string inside an object of a class that derives from `str`.
pub(super) fn exact_str<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), ffi::PyUnicode_FromObject(object.as_ptr())) }
}

fn tag_of<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    let py = object.py();
    let class = object.get_type();
    let known = KNOWN.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    if let Ok(Some(found)) = known.get_item(&class) {
        return found.cast_into::<PyString>().ok();
    }
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    let tag = inspect(&class);
    // A type that can't be a key is inspected again next time.
    let _ = known.set_item(&class, &tag);
    tag
}

fn inspect<'py>(class: &Bound<'py, PyType>) -> Option<Bound<'py, PyString>> {
    let module = class.module().ok()?;
    let module = module.to_str().ok()?;
    if !module.starts_with("langchain_core.messages") && !module.starts_with("langchain_core.outputs") {
        return None;
    }
    let name = class.name().ok()?;
    EXACT.binary_search(&name.to_str().ok()?).ok()?;
    Some(name)
}

/// The nearest class of `langchain_core` that an object of another class derives from.
pub(super) fn nearest_tag<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    object.get_type().mro().iter().find_map(|base| inspect(base.cast::<PyType>().ok()?))
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
