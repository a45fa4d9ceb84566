//! The texts that were searched last and contain no credential: names of models, tags and settings are the same objects in each call.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::text::redact_text;
use crate::attached::AttachedCell;

/// The longest remembered text, in bytes.
const MAX_LEN: usize = 128;
/// The number of slots. The address of a text decides its slot.
const SLOTS: usize = 256;

/// The texts by address. They are owned, so that no other text gets the same address.
static CLEAN: AttachedCell<[Option<Py<PyString>>; SLOTS]> = AttachedCell::new([const { None }; SLOTS]);

/// As [`redact_text`], for the text `value` of a Python string.
pub(crate) fn redact_object(object: &Bound<'_, PyString>, value: &str) -> Option<String> {
    // An object of a subclass of str may run code when it is dropped.
    if value.len() > MAX_LEN || !object.is_exact_instance_of::<PyString>() {
        return redact_text(value);
    }
    let address = object.as_ptr() as usize;
    let slot = (address >> 4 ^ address >> 12) % SLOTS;
    let Some(mut clean) = CLEAN.try_borrow(object.py()) else { return redact_text(value) };
    if clean[slot].as_ref().is_some_and(|known| known.as_ptr() == object.as_ptr()) {
        return None;
    }
    let redacted = redact_text(value);
    if redacted.is_none() {
        clean[slot] = Some(object.clone().unbind());
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_searched_anew_unless_this_object_is_clean() {
        Python::initialize();
        Python::attach(|py| {
            let (clean, secret) = ("gpt-4o-mini", "Bearer abcdef0123456789");
            let (one, other) = (PyString::new(py, clean), PyString::new(py, secret));
            for _ in 0..4 {
                assert!(redact_object(&one, clean).is_none());
                assert!(redact_object(&other, secret).is_some());
            }
        });
    }
}
