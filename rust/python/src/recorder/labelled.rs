//! The fields of an event that its labels, its lane and its facts come from.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::field::{Field, Value};
use super::key::LabelledKey;

/// The fields that labels and lanes come from.
#[derive(Default)]
pub(super) struct Labelled<'a, 'py> {
    pub(super) metadata: Option<&'a Bound<'py, PyDict>>,
    pub(super) params: Option<&'a Bound<'py, PyDict>>,
    pub(super) tags: [Option<&'a Bound<'py, PyList>>; 2],
    pub(super) class: Option<&'a Bound<'py, PyList>>,
    /// Whether a field has an object of another class. The body may have its content nevertheless.
    pub(super) is_doubtful: bool,
    /// The event's own text under `kind`.
    pub(super) kind: Option<&'a str>,
}

impl<'a, 'py> Labelled<'a, 'py> {
    pub(super) fn of(fields: &'a [Field<'a, 'py>]) -> Self {
        let mut found = Self::default();
        let mut is_doubtful = false;
        for (key, value) in fields {
            let object = || value.object().filter(|object| !object.is_none());
            let mut dict = || {
                let object = object()?;
                is_doubtful |= !object.is_exact_instance_of::<PyDict>();
                object.cast_exact().ok()
            };
            let list = || value.object()?.cast_exact().ok();
            let Some(key) = key.labelled() else { continue };
            match key {
                LabelledKey::Metadata => found.metadata = dict(),
                LabelledKey::Params => found.params = dict(),
                LabelledKey::Tags => found.tags[0] = list(),
                LabelledKey::PlTags => found.tags[1] = list(),
                LabelledKey::Class => found.class = list(),
                LabelledKey::Kind => {
                    if let Value::Text(kind) = value {
                        found.kind = Some(kind);
                    }
                }
            }
        }
        Self { is_doubtful, ..found }
    }
}
