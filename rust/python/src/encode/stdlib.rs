//! Types and functions of the standard library that have a tag, or are needed to make one.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::once::get_or_load;

pub(super) struct Stdlib {
    kinds: Vec<(Py<PyType>, &'static str)>,
    pub(super) timezone: Py<PyType>,
    pub(super) enumeration: Py<PyType>,
    pub(super) b2a_base64: Py<PyAny>,
}

static STDLIB: PyOnceLock<Stdlib> = PyOnceLock::new();

pub(super) fn get(py: Python<'_>) -> PyResult<&'static Stdlib> {
    get_or_load(&STDLIB, py, || {
        let class = |module: &str, name: &str| Ok::<_, PyErr>(py.import(module)?.getattr(name)?.cast_into()?.unbind());
        Ok(Stdlib {
            kinds: vec![
                (class("datetime", "datetime")?, "datetime"),
                (class("datetime", "date")?, "date"),
                (class("datetime", "time")?, "time"),
                (class("datetime", "timedelta")?, "timedelta"),
                (class("uuid", "UUID")?, "uuid"),
                (class("decimal", "Decimal")?, "decimal"),
            ],
            timezone: class("datetime", "timezone")?,
            enumeration: class("enum", "Enum")?,
            b2a_base64: py.import("binascii")?.getattr("b2a_base64")?.unbind(),
        })
    })
}

impl Stdlib {
    /// The tag of exactly this class.
    pub(super) fn kind(&self, class: &Bound<'_, PyType>) -> Option<&'static str> {
        self.kind_of_base(class.as_any())
    }

    pub(super) fn kind_of_base(&self, base: &Bound<'_, PyAny>) -> Option<&'static str> {
        self.kinds.iter().find(|(class, _)| base.is(class)).map(|(_, kind)| *kind)
    }
}
