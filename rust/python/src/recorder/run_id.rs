//! `LangChain`'s run ids.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyInt;
use pyo3::{ffi, intern};

/// The 128 bits of a run id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RunId(pub(super) u128);

static HALF: PyOnceLock<Py<PyInt>> = PyOnceLock::new();

impl RunId {
    /// Reads the `int` of a `uuid.UUID`. The class's own hash, text and bytes would run Python code.
    pub(super) fn read(run_id: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = run_id.py();
        let number = run_id.getattr(intern!(py, "int"))?.cast_into::<PyInt>()?;
        let half = HALF.get_or_try_init(py, || Ok::<_, PyErr>(64_u8.into_pyobject(py)?.unbind()))?;
        let high = number.rshift(half)?;
        // SAFETY: both are integers, so the mask functions set no error.
        let (high, low) = unsafe {
            (ffi::PyLong_AsUnsignedLongLongMask(high.as_ptr()), ffi::PyLong_AsUnsignedLongLongMask(number.as_ptr()))
        };
        Ok(Self(u128::from(high) << 64 | u128::from(low)))
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
