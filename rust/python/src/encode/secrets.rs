//! Credentials in the objects of an event, and which parts of an event are searched for them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::key_cache::{Hint, hint_of};
use crate::redact::{self, MAX_TEXT, Name, REDACTED};

/// The part of an event that is encoded. It decides which credentials are replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Content: only the headers in the metadata of an answer are searched.
    Content,
    /// The metadata of an answer. An encoder takes it for content, and searches the headers in it.
    Metadata,
    /// Settings of a call. The request among them (its tools, stop words and format) is [`Part::Request`].
    Params,
    /// Metadata, settings, headers, names and errors: credentials by name, and in every text.
    Searched,
    /// Content that stands among settings: credentials by name, and in URLs.
    Request,
}

impl Part {
    /// The part of the first object, and whether it is the metadata of an answer.
    pub(super) fn at_top(self) -> (Self, bool) {
        if self == Self::Metadata { (Self::Content, true) } else { (self, false) }
    }

    /// The part that the value under a key with this hint belongs to. `in_metadata`: the key stands in the metadata of an answer.
    pub(super) fn under(self, hint: Hint, in_metadata: bool) -> Self {
        match (self, hint) {
            (Self::Params, Hint::Request) => Self::Request,
            (Self::Params | Self::Searched | Self::Request, Hint::Schema) => Self::Content,
            (Self::Params, _) | (Self::Request, Hint::Headers) => Self::Searched,
            (Self::Content, Hint::Headers) if in_metadata => Self::Searched,
            _ => self,
        }
    }
}

/// A text of this part with its credentials replaced; None when it contains none. `object` is the string that holds the text.
///
/// `searched` counts the bytes of the event that were searched. The search holds the interpreter's lock, so a text beyond the
/// limit is replaced unread.
pub(super) fn redact_in(
    part: Part,
    object: Option<&Bound<'_, PyString>>,
    text: &str,
    searched: &mut usize,
) -> Option<String> {
    if part == Part::Content {
        return None;
    }
    *searched = searched.saturating_add(text.len());
    match part {
        _ if *searched > MAX_TEXT => Some(REDACTED.to_owned()),
        Part::Request => redact::redact_urls(text),
        _ => object.map_or_else(|| redact::redact_text(text), |object| redact::redact_object(object, text)),
    }
}

/// A key of this part with its credentials replaced; None when it contains none. The number of short keys is limited already.
pub(super) fn redact_key_in(part: Part, key: &str, searched: &mut usize) -> Option<String> {
    const SHORT: usize = 64;
    if key.len() > SHORT { redact_in(part, None, key, searched) } else { redact_in(part, None, key, &mut 0) }
}

/// Whether the value under a key with this hint is a credential.
pub(super) fn is_credential(hint: Hint, value: &Bound<'_, PyAny>) -> bool {
    let name = match hint {
        Hint::Credential => Name::Credential,
        Hint::CredentialText => Name::Text,
        Hint::CredentialRandom => Name::Random,
        _ => return false,
    };
    redact::is_credential(name, value)
}

/// Whether the value under `value` is a credential, because its dict names one: `{"name": "x-api-key", "value": "..."}`.
pub(super) fn is_named_by(dict: &Bound<'_, PyDict>, part: Part) -> bool {
    part != Part::Content && redact::names_credential(dict)
}

/// Whether an item of a list is the value of the credential that the item before it names.
pub(super) fn is_value_behind(part: Part, before: Option<&Bound<'_, PyAny>>, item: &Bound<'_, PyAny>) -> bool {
    part != Part::Content && before.is_some_and(|before| redact::is_value_behind(before, item))
}

/// The text that replaces a credential.
pub(super) fn replacement(py: Python<'_>) -> Bound<'_, PyAny> {
    PyString::new(py, REDACTED).into_any()
}

/// The hint of a key. Names of headers may be bytes.
pub(super) fn hint_of_key(key: &Bound<'_, PyAny>) -> Hint {
    match key.cast::<PyBytes>() {
        Ok(bytes) => hint_of(&String::from_utf8_lossy(bytes.as_bytes())),
        Err(_) => key.cast::<PyString>().map_or(Hint::Plain, |name| hint_of(&name.to_string_lossy())),
    }
}

/// A named tuple as a plain tuple with its credentials replaced. None for any other object.
pub(super) fn redacted_named_tuple<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
    let py = object.py();
    let values = object.cast::<PyTuple>().ok()?;
    let names = object.get_type().getattr(intern!(py, "_fields")).ok()?.cast_into::<PyTuple>().ok()?;
    let under = |(name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>)| {
        if is_credential(hint_of_key(&name), &value) { replacement(py) } else { value }
    };
    let redacted: Vec<_> = names.iter().zip(values.iter()).map(under).collect();
    if redacted.len() == values.len() { PyTuple::new(py, redacted).ok() } else { None }
}

/// A header as a pair of name and value, with a credential replaced. Some clients list headers in this form. None for any other item.
pub(super) fn redacted_header<'py>(item: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = item.py();
    let is_tuple = item.is_exact_instance_of::<PyTuple>();
    if !(is_tuple || item.is_exact_instance_of::<PyList>()) || item.len().ok()? != 2 {
        return None;
    }
    let (name, value) = (item.get_item(0).ok()?, item.get_item(1).ok()?);
    if !is_credential(hint_of_key(&name), &value) {
        return None;
    }
    let pair = [name, replacement(py)];
    Some(if is_tuple { PyTuple::new(py, pair).ok()?.into_any() } else { PyList::new(py, pair).ok()?.into_any() })
}

/// A `repr` without credentials. A `repr` may show any text: one with a word from names of credentials is replaced as a whole.
pub(super) fn redacted_repr(repr: String) -> String {
    const WORDS: [&str; 10] =
        ["authorization", "cookie", "credential", "key", "passphrase", "passwd", "password", "pwd", "secret", "token"];
    let lower = repr.to_ascii_lowercase();
    if WORDS.iter().any(|word| lower.contains(word)) { REDACTED.to_owned() } else { redact::redact_repr(repr) }
}
