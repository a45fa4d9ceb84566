//! Copies objects that can't be restored exactly: by their nearest form, by the plain form that Python code finds, or by their
//! `repr`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString, PyType};

use super::classes::{self, exact_builtin};
use super::pydantic;
use super::secrets::{self, Part};
use super::stdlib;
use super::tagged::{Copier, Nearest};
use super::tags::{CopyResult, class_path, tag};
use crate::handover;

/// The longest `repr` that is kept, in characters.
const MAX_REPR: usize = 2000;

impl Copier {
    /// The approximate copy of an object that can't be restored exactly.
    pub(super) fn approximate<'py>(&mut self, object: &Bound<'py, PyAny>, depth: usize) -> CopyResult<'py> {
        let py = object.py();
        let nearest = self.nearest_form(object, depth + 1);
        match nearest {
            Ok(Some(nearest)) => {
                self.lossy |= self.nearest == Nearest::Part && !equals_its_value(object);
                tag(py, "as", Some(&class_path(&object.get_type())), &nearest)
            }
            Ok(None) => match self.plain_form(object, depth + 1) {
                Ok(Some(tagged)) => Ok(tagged),
                Ok(None) | Err(_) => self.by_repr(object, || object.repr()),
            },
            Err(_) => self.by_repr(object, || object.repr()),
        }
    }

    /// The tagged plain form of a class or of a library's value. None for any other object. Runs Python code.
    fn plain_form<'py>(&mut self, object: &Bound<'py, PyAny>, depth: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        let Some(plain_form) = handover::plain_form(py) else { return Ok(None) };
        let form = plain_form.bind(py).call1((object,))?;
        if form.is_none() {
            return Ok(None);
        }
        let (kind, form): (PyBackedStr, Bound<'py, PyAny>) = form.extract()?;
        if &*kind == "class" {
            let class = object.cast::<PyType>().map_or_else(|_| class_path(&object.get_type()), class_path);
            // A fragment is JSON that orjson copies unchanged.
            let schema = if form.is_instance_of::<PyDict>() { self.copy(&form, depth)? } else { form };
            return tag(py, "class", Some(&class), &schema).map(Some);
        }
        self.lossy |= &*kind == "nearest";
        let copied = if &*kind == "hidden" { secrets::replacement(py) } else { self.copy(&form, depth)? };
        tag(py, "as", Some(&class_path(&object.get_type())), &copied).map(Some)
    }

    /// The nearest form of an object with known parts. None for any other object.
    fn nearest_form<'py>(&mut self, object: &Bound<'py, PyAny>, depth: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        let stdlib = stdlib::get(py)?;
        let class = object.get_type();
        let bases = classes::bases(object)?;
        if bases.contains(&stdlib.enumeration)? {
            return self.copy(&object.getattr(intern!(py, "value"))?, depth).map(Some);
        }
        let is_model = class.hasattr(intern!(py, "__pydantic_fields__"))?;
        if is_model && class.hasattr(intern!(py, "tool_call_schema"))? {
            return Ok(None);
        }
        if self.part != Part::Content
            && let Some(redacted) = secrets::redacted_named_tuple(object)
        {
            return self.copy(&redacted, depth).map(Some);
        }
        if let Some(exact) = exact_builtin(object)? {
            return self.copy(&exact, depth).map(Some);
        }
        if let Some(name) = classes::nearest_tag(&bases) {
            let Some((fields, extras)) = pydantic::fields(object) else { return Ok(None) };
            return self.copy_model(name, &fields, extras.as_ref(), depth).map(Some);
        }
        if bases.iter().any(|base| stdlib.kind_of_base(&base).is_some()) {
            return Ok(Some(object.str()?.into_any()));
        }
        if is_model && let Some((fields, extras)) = pydantic::fields(object) {
            let all = fields.copy()?;
            if let Some(extras) = extras {
                all.update(extras.as_mapping())?;
            }
            return self.copy_dict(&all, depth).map(Some);
        }
        if let Ok(fields) = class.getattr(intern!(py, "__dataclass_fields__")) {
            let values = PyDict::new(py);
            for name in fields.cast::<PyDict>()?.keys() {
                let name = name.cast_into::<PyString>()?;
                if let Ok(value) = object.getattr(&name) {
                    values.set_item(name, value)?;
                }
            }
            return self.copy_dict(&values, depth).map(Some);
        }
        Ok(None)
    }

    pub(super) fn by_repr<'py>(
        &mut self,
        object: &Bound<'py, PyAny>,
        text: impl FnOnce() -> PyResult<Bound<'py, PyString>>,
    ) -> CopyResult<'py> {
        let py = object.py();
        self.lossy = true;
        let text = text().map_or_else(
            |error| format!("<repr failed: {}>", class_path(&error.get_type(py))),
            |text| text.to_string_lossy().chars().take(MAX_REPR).collect(),
        );
        let text = if self.part == Part::Content { text } else { secrets::redacted_repr(text) };
        tag(py, "repr", Some(&class_path(&object.get_type())), PyString::new(py, &text).as_any())
    }
}

/// Whether an object equals its plain value: a member of an enumeration of texts or integers, and a text or float of numpy.
fn equals_its_value(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    let class = object.get_type();
    let is_member = || classes::bases(object)?.contains(&stdlib::get(py)?.enumeration);
    let is_scalar = || PyResult::Ok(class.hasattr(intern!(py, "dtype"))? && class.hasattr(intern!(py, "shape"))?);
    let is_text_or_number =
        object.is_instance_of::<PyString>() || object.is_instance_of::<PyInt>() || object.is_instance_of::<PyFloat>();
    is_text_or_number && (is_member().unwrap_or(false) || is_scalar().unwrap_or(false))
}
