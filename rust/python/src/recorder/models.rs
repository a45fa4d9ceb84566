//! The names of the model in a request, for its labels and its facts.

use plsync_journal::{Draft, labels};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3::{Borrowed, ffi, intern};

use super::labelled::Labelled;
use crate::redact::redact_object;

/// The names of the model in a request.
#[derive(Default)]
pub(super) struct Models<'py> {
    /// In the metadata.
    pub(super) noted: Option<Name<'py>>,
    /// The first among the parameters.
    pub(super) passed: Option<Name<'py>>,
    /// Whether the parameters have further names.
    pub(super) has_more: bool,
}

/// A name of the model.
pub(super) struct Name<'py> {
    text: Bound<'py, PyString>,
    /// The name without credentials, if it has some.
    redacted: Option<String>,
    /// Whether an index finds the record under this name.
    is_indexed: bool,
}

impl<'py> Models<'py> {
    pub(super) fn of(labelled: &Labelled<'_, 'py>) -> Self {
        let mut found = Self::default();
        if let Some(metadata) = labelled.metadata {
            found.noted = text_at(metadata, intern!(metadata.py(), "ls_model_name")).map(|text| Name::new(text, true));
        }
        let Some(params) = labelled.params else { return found };
        for (text, at) in names_in(params).into_iter().zip(0..) {
            let Some(text) = text else { continue };
            match &found.passed {
                None => found.passed = Some(Name::like(found.noted.as_ref(), text.to_owned(), at < INDEXED)),
                Some(passed) => found.has_more = found.has_more || !is_same(&passed.text, &text),
            }
        }
        found
    }

    /// Whether a call that overrides its model has another name in each of the two places.
    pub(super) fn has_two(&self) -> bool {
        self.noted.as_ref().zip(self.passed.as_ref()).is_some_and(|(noted, passed)| !is_same(&noted.text, &passed.text))
    }

    pub(super) fn push(&self, draft: &mut Draft) {
        let passed =
            self.passed.as_ref().filter(|passed| passed.is_indexed && (self.noted.is_none() || self.has_two()));
        for name in [self.noted.as_ref(), passed].into_iter().flatten() {
            draft.label(labels::MODEL, short_model(name.written()).as_bytes());
        }
    }
}

/// The keys of names in the parameters, the most reliable first.
const KEYS: [&str; 8] =
    ["model", "model_name", "model_id", "model_path", "modelId", "azure_deployment", "deployment_name", "repo_id"];
/// How many of the keys have a label.
const INDEXED: usize = 4;

fn place_of(key: &str) -> Option<usize> {
    KEYS.iter().position(|known| *known == key)
}

/// The text under each key of a name. One walk over the few parameters of a call takes less time than eight look-ups.
fn names_in<'a, 'py>(params: &'a Bound<'py, PyDict>) -> [Option<Borrowed<'a, 'py, PyString>>; KEYS.len()] {
    let py = params.py();
    let mut names = [None; KEYS.len()];
    let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the caller holds the dict, and the GIL is held. The walk runs no Python code, so nothing changes the dict meanwhile.
    while unsafe { ffi::PyDict_Next(params.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0 {
        // SAFETY: PyDict_Next has set both to objects that the dict holds.
        let (key, value) = unsafe { (Borrowed::from_ptr(py, key), Borrowed::from_ptr(py, value)) };
        if let Ok(key) = key.cast::<PyString>()
            && let Some(place) = key.to_str().ok().and_then(place_of)
        {
            names[place] = value.cast::<PyString>().ok().filter(|text| text.to_str().is_ok());
        }
    }
    names
}

impl<'py> Name<'py> {
    fn new(text: Bound<'py, PyString>, is_indexed: bool) -> Self {
        let redacted = redact_object(&text, text.to_str().unwrap_or_default());
        Self { text, redacted, is_indexed }
    }

    /// A name that may be the same as another.
    fn like(other: Option<&Self>, text: Bound<'py, PyString>, is_indexed: bool) -> Self {
        match other.filter(|other| other.text.is(&text)) {
            Some(other) => Self { text, redacted: other.redacted.clone(), is_indexed },
            None => Self::new(text, is_indexed),
        }
    }

    fn written(&self) -> &str {
        self.redacted.as_deref().unwrap_or_else(|| self.text.to_str().unwrap_or_default())
    }

    /// The name, if the body certainly has the same.
    pub(super) fn certain(&self) -> Option<&str> {
        let is_plain = self.redacted.is_none() && self.text.is_exact_instance_of::<PyString>();
        if is_plain { self.text.to_str().ok() } else { None }
    }
}

/// The text under a key.
fn text_at<'py>(values: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> Option<Bound<'py, PyString>> {
    let text = values.get_item(key).ok()??.cast_into::<PyString>().ok()?;
    text.to_str().is_ok().then_some(text)
}

fn is_same(one: &Bound<'_, PyString>, other: &Bound<'_, PyString>) -> bool {
    one.is(other) || one.to_str().ok() == other.to_str().ok()
}

/// The file name of a local model. `organisation/model` is a name and not a path.
pub(crate) fn short_model(model: &str) -> &str {
    let is_gguf = model.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("gguf"));
    let is_path = model.starts_with(['/', '.', '~']) || model.contains('\\') || is_gguf;
    if is_path { model.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(model) } else { model }
}

#[cfg(test)]
mod tests {
    use super::short_model;

    #[test]
    fn a_path_is_shortened_to_its_file_name() {
        assert_eq!(short_model("/models/tiny.gguf"), "tiny.gguf");
        assert_eq!(short_model("C:\\models\\tiny.bin"), "tiny.bin");
        assert_eq!(short_model("models/Tiny.GGUF"), "Tiny.GGUF");
        assert_eq!(short_model("/models/llama/"), "llama");
        assert_eq!(short_model("meta-llama/Llama-3"), "meta-llama/Llama-3");
    }
}
