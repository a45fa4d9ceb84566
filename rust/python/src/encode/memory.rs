//! The memory that orjson takes for a value. orjson ends the process when an allocation fails, so the memory is tried first.

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::text;
use crate::errors::memory_error;

/// orjson makes room for a text as if each byte became this many, and doubles its memory until the text fits.
const ROOM: usize = 8;
/// The longest JSON of a number, a time or a UUID, in bytes, about.
const SCALAR: usize = 40;
/// orjson refuses a value that is nested deeper.
const DEEPEST: usize = 254;

/// Raises `MemoryError` if the process has no memory for the JSON of a value.
#[pyfunction]
pub(crate) fn check_json_memory(value: &Bound<'_, PyAny>) -> PyResult<()> {
    let mut need = Need::default();
    need.add(value, 0)?;
    if need.most > text::LARGE {
        // Nothing writes to this memory, so the process never has it in its resident memory.
        let most = need.most.next_power_of_two();
        text::try_reserve(&mut Vec::new(), most).map_err(|_| memory_error("the JSON of a value"))?;
    }
    Ok(())
}

/// The memory that orjson takes, in bytes.
#[derive(Default)]
struct Need {
    /// The length of the JSON up to here, or a little more.
    written: usize,
    /// The most that orjson has made room for.
    most: usize,
}

impl Need {
    fn add(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        if depth > DEEPEST {
            return Ok(());
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.add_text(text)?;
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            for (key, value) in dict {
                self.add(&key, depth + 1)?;
                self.add(&value, depth + 1)?;
            }
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            for value in list {
                self.add(&value, depth + 1)?;
            }
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            for value in tuple {
                self.add(&value, depth + 1)?;
            }
        } else {
            self.written += SCALAR;
        }
        self.written += 3;
        self.most = self.most.max(self.written);
        Ok(())
    }

    fn add_text(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        let text = match text.to_str() {
            Ok(text) => text,
            Err(error) if error.is_instance_of::<PyMemoryError>(text.py()) => return Err(error),
            // orjson refuses a text with a lone surrogate.
            Err(_) => return Ok(()),
        };
        self.most = self.most.max(self.written + ROOM * text.len() + SCALAR);
        self.written += text.len() + text::escaped(text);
        Ok(())
    }
}
