//! Reads the fields of pydantic objects without running Python code.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use pyo3::{ffi, intern};

use crate::once::get_or_load;

/// The slot of `pydantic.BaseModel` that holds the extras of an object.
struct ExtrasSlot {
    descriptor: Py<PyAny>,
    get: ffi::descrgetfunc,
}

static EXTRAS: PyOnceLock<ExtrasSlot> = PyOnceLock::new();

fn extras_slot(py: Python<'_>) -> PyResult<&'static ExtrasSlot> {
    get_or_load(&EXTRAS, py, || {
        let model = py.import("pydantic.main")?.getattr("BaseModel")?;
        let descriptor = model.getattr(intern!(py, "__pydantic_extra__"))?;
        let class = descriptor.get_type();
        if !class.is(&py.import("types")?.getattr("MemberDescriptorType")?) {
            return Err(PyTypeError::new_err("pydantic keeps extras elsewhere"));
        }
        // SAFETY: the class is a type object that lives as long as the interpreter.
        let get = unsafe { ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_tp_descr_get) };
        if get.is_null() {
            return Err(PyTypeError::new_err("a member descriptor cannot be read"));
        }
        // SAFETY: the slot Py_tp_descr_get holds a function of this type, and it is not null.
        let get = unsafe { std::mem::transmute::<*mut std::ffi::c_void, ffi::descrgetfunc>(get) };
        Ok(ExtrasSlot { descriptor: descriptor.unbind(), get })
    })
}

/// Whether the extras of the class's objects are in pydantic's slot: not in a property, which would run code. May run Python code of
/// the class's metaclass.
pub(super) fn is_model(class: &Bound<'_, PyType>) -> bool {
    let py = class.py();
    let found = class.getattr(intern!(py, "__pydantic_extra__"));
    extras_slot(py).is_ok_and(|slot| found.is_ok_and(|found| found.is(&slot.descriptor)))
}

/// The field dict of a pydantic object. Runs no code of the object's class.
pub(super) fn dict_of<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    // SAFETY: the object is alive and the GIL is held; the result is a new reference or null with an error set. The generic function
    // reads the dict of the object's layout, and calls no descriptor of the class.
    let fields = unsafe {
        Bound::from_owned_ptr_or_err(object.py(), ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()))
    };
    fields.ok()?.cast_into::<PyDict>().ok()
}

/// The field dict and the extras of a pydantic object. Runs no code of the object's class, but a new dict or exception may start the
/// garbage collector, and that may run finalizers.
pub(super) fn fields<'py>(object: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyDict>, Option<Bound<'py, PyDict>>)> {
    let py = object.py();
    let fields = dict_of(object)?;
    let slot = extras_slot(py).ok()?;
    // SAFETY: all three objects are alive and the GIL is held. A member descriptor checks the object's type, and returns a new reference
    // to a field of its layout, or null with an error set.
    let extras = unsafe {
        let class = object.get_type_ptr().cast();
        Bound::from_owned_ptr_or_err(py, (slot.get)(slot.descriptor.as_ptr(), object.as_ptr(), class))
    };
    let extras = extras.ok().and_then(|extras| extras.cast_into::<PyDict>().ok()).filter(|extras| !extras.is_empty());
    Some((fields, extras))
}
