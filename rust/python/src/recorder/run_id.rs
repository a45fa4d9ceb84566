//! `LangChain`'s run ids.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyInt, PyString};
use pyo3::{ffi, intern};

use crate::encode::class_path;

/// The 128 bits of a run id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RunId(pub(super) u128);

/// The id of a run as a program passes it.
#[derive(Clone, Copy)]
pub(super) struct RunKey {
    /// Finds the run. Equal for two objects of the same id, also when the id can't be read.
    pub(super) bits: u128,
    /// The id, if it is one that a record can hold.
    pub(super) id: Option<RunId>,
}

static HALF: PyOnceLock<Py<PyInt>> = PyOnceLock::new();

impl RunKey {
    /// Reads the id of a run. The class and text of an object that is no id make its key.
    pub(super) fn read(run_id: &Bound<'_, PyAny>) -> Self {
        match RunId::read(run_id) {
            Some(id) => Self { bits: id.0, id: Some(id) },
            None => Self { bits: key_of(run_id), id: None },
        }
    }
}

impl RunId {
    /// Reads a `uuid.UUID`, or another form of the same id: its text, number or bytes.
    pub(super) fn read(run_id: &Bound<'_, PyAny>) -> Option<Self> {
        // The class's own hash, text and bytes would run Python code.
        if let Ok(number) = run_id.getattr(intern!(run_id.py(), "int"))
            && let Ok(number) = number.cast_into::<PyInt>()
        {
            return Self::of_number(&number).ok();
        }
        Self::of_other(run_id).ok().flatten()
    }

    fn of_number(number: &Bound<'_, PyInt>) -> PyResult<Self> {
        let py = number.py();
        let half = HALF.get_or_try_init(py, || Ok::<_, PyErr>(64_u8.into_pyobject(py)?.unbind()))?;
        // SAFETY: both objects are alive and the GIL is held; the result is a new reference or null with an error set.
        let high = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyNumber_Rshift(number.as_ptr(), half.as_ptr())) }?;
        // A subclass of int may have its own shift, which returns anything.
        let high = high.cast_into::<PyInt>()?;
        // SAFETY: both are integers or of subclasses of int, so the mask functions read their digits, and set no error.
        let (high, low) = unsafe {
            (ffi::PyLong_AsUnsignedLongLongMask(high.as_ptr()), ffi::PyLong_AsUnsignedLongLongMask(number.as_ptr()))
        };
        Ok(Self(u128::from(high) << 64 | u128::from(low)))
    }

    #[cold]
    fn of_other(run_id: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if let Ok(bytes) = run_id.cast::<PyBytes>() {
            return Ok(bytes.as_bytes().try_into().ok().map(|bytes| Self(u128::from_be_bytes(bytes))));
        }
        if let Ok(number) = run_id.cast::<PyInt>() {
            let is_id = number.ge(0_u8)? && number.rshift(128_u8)?.eq(0_u8)?;
            return if is_id { Self::of_number(number).map(Some) } else { Ok(None) };
        }
        if run_id.is_none() {
            return Ok(None);
        }
        // A str, or an object of another UUID class.
        let text = run_id.str()?;
        Ok(Self::of_text(text.to_str()?))
    }

    /// Reads a text as `uuid.UUID` does: with or without dashes, braces and the prefix of a URN.
    fn of_text(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix("urn:").unwrap_or(text.trim());
        let text = text.strip_prefix("uuid:").unwrap_or(text).trim_matches(['{', '}']);
        let digits: String = text.chars().filter(|digit| *digit != '-').collect();
        let is_id = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_id.then(|| u128::from_str_radix(&digits, 16).ok().map(Self)).flatten()
    }

    /// The text form, equal to `str(uuid)`.
    pub(super) fn text(self) -> [u8; 36] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.bytes().into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 0xf)];
            at += 2;
        }
        text
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// The key of an object that is no id. Its events find each other by its class and text.
#[cold]
fn key_of(run_id: &Bound<'_, PyAny>) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        class_path(&run_id.get_type()).hash(&mut hasher);
        match run_id.repr() {
            Ok(text) => text.to_string_lossy().hash(&mut hasher),
            Err(_) => (run_id.as_ptr() as usize).hash(&mut hasher),
        }
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// The error of an argument that is no id, with the change that mends it.
pub(super) fn unreadable(argument: &str, value: &Bound<'_, PyAny>) -> PyErr {
    let class = class_path(&value.get_type());
    let kind = if value.is_instance_of::<PyString>() { "a text that is no UUID" } else { class.as_str() };
    PyValueError::new_err(format!("{argument} is {kind}, and the record is kept without it: pass a uuid.UUID"))
}

#[cfg(test)]
mod tests {
    use super::RunId;

    #[test]
    fn an_id_is_read_in_each_form_of_its_text() {
        let id = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
        for text in [
            "01234567-89ab-cdef-0123-456789abcdef",
            "0123456789ABCDEF0123456789abcdef",
            "{01234567-89ab-cdef-0123-456789abcdef}",
            "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
        ] {
            assert!(RunId::of_text(text).is_some_and(|read| read.0 == id), "{text}");
        }
        for text in ["", "run-1", "+1234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcde"] {
            assert!(RunId::of_text(text).is_none(), "{text}");
        }
    }
}
