//! The columns of a lake in Arrow's layout, as buffers from which pyarrow makes arrays without a copy of the values.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

/// The longest text of a column. Arrow's offsets have 31 bits.
const MAX_BYTES: usize = i32::MAX as usize;

/// A bitmap of the values that are not null.
#[derive(Default)]
struct Validity {
    bits: Vec<u8>,
    length: usize,
    nulls: usize,
}

impl Validity {
    fn push(&mut self, valid: bool) {
        if self.length.is_multiple_of(8) {
            self.bits.push(0);
        }
        if valid {
            self.bits[self.length / 8] |= 1 << (self.length % 8);
        } else {
            self.nulls += 1;
        }
        self.length += 1;
    }

    /// The buffer; None if no value is null.
    fn buffer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        (self.nulls > 0).then(|| PyBytes::new(py, &self.bits))
    }
}

/// The ends of values that have a length.
struct Offsets(Vec<i32>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    fn push(&mut self, end: usize) -> PyResult<()> {
        let end = i32::try_from(end).map_err(|_| PyOverflowError::new_err("a column of more than 2 GB"))?;
        self.0.push(end);
        Ok(())
    }

    fn buffer<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.iter().flat_map(|end| end.to_le_bytes()).collect::<Vec<u8>>())
    }
}

#[derive(Default)]
pub(super) struct Texts {
    valid: Validity,
    ends: Offsets,
    data: Vec<u8>,
}

impl Texts {
    pub(super) fn push(&mut self, text: Option<&str>) -> PyResult<()> {
        self.push_bytes(text.map(str::as_bytes))
    }

    fn push_bytes(&mut self, text: Option<&[u8]>) -> PyResult<()> {
        let text_bytes = text.unwrap_or_default();
        if self.data.len() + text_bytes.len() > MAX_BYTES {
            return Err(PyOverflowError::new_err("a column of more than 2 GB"));
        }
        self.data.extend_from_slice(text_bytes);
        self.valid.push(text.is_some());
        self.ends.push(self.data.len())
    }

    fn push_object(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.is_none() {
            self.push(None)
        } else if let Ok(bytes) = value.cast::<PyBytes>() {
            self.push_bytes(Some(bytes.as_bytes()))
        } else {
            self.push(Some(&value.cast::<PyString>()?.to_cow()?))
        }
    }

    fn length(&self) -> usize {
        self.valid.length
    }

    fn buffers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (self.valid.buffer(py), self.ends.buffer(py), PyBytes::new(py, &self.data)).into_pyobject(py)
    }
}

#[derive(Default)]
pub(super) struct Numbers {
    valid: Validity,
    data: Vec<u8>,
}

impl Numbers {
    pub(super) fn push(&mut self, number: Option<i64>) {
        self.data.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
        self.valid.push(number.is_some());
    }
}

#[derive(Default)]
pub(super) struct Lists {
    valid: Validity,
    ends: Offsets,
    items: Texts,
}

impl Lists {
    pub(super) fn push<T: AsRef<str>>(&mut self, texts: &[T]) -> PyResult<()> {
        for text in texts {
            self.items.push(Some(text.as_ref()))?;
        }
        self.end(true)
    }

    fn end(&mut self, valid: bool) -> PyResult<()> {
        self.valid.push(valid);
        self.ends.push(self.items.length())
    }
}

#[derive(Default)]
pub(super) struct Maps {
    valid: Validity,
    ends: Offsets,
    keys: Texts,
    values: Texts,
}

impl Maps {
    pub(super) fn entry(&mut self, key: &str, value: Option<&str>) -> PyResult<()> {
        self.keys.push(Some(key))?;
        self.values.push(value)
    }

    /// Ends the map of a row, which has the entries since the last end.
    pub(super) fn end(&mut self, valid: bool) -> PyResult<()> {
        self.valid.push(valid);
        self.ends.push(self.keys.length())
    }
}

/// One column.
pub(super) enum Column {
    Text(Texts),
    Number(Numbers),
    List(Lists),
    Map(Maps),
}

impl Column {
    /// An empty column of a type of `plsync.genai.columns.COLUMNS`.
    pub(super) fn of_kind(kind: &str) -> PyResult<Self> {
        Ok(match kind {
            "text" => Self::Text(Texts::default()),
            "int" | "time" => Self::Number(Numbers::default()),
            "texts" => Self::List(Lists::default()),
            "map" => Self::Map(Maps::default()),
            _ => return Err(PyTypeError::new_err(format!("no type of a column: {kind}"))),
        })
    }

    pub(super) fn push_object(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Text(texts) => texts.push_object(value),
            Self::Number(numbers) => {
                numbers.push(value.extract()?);
                Ok(())
            }
            Self::List(lists) => {
                if !value.is_none() {
                    for item in value.cast::<PyList>()? {
                        lists.items.push_object(&item)?;
                    }
                }
                lists.end(!value.is_none())
            }
            Self::Map(maps) => {
                if !value.is_none() {
                    for (key, item) in value.cast::<PyDict>()? {
                        maps.keys.push_object(&key)?;
                        maps.values.push_object(&item)?;
                    }
                }
                maps.end(!value.is_none())
            }
        }
    }

    /// The buffers of the column, and of its children.
    pub(super) fn buffers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match self {
            Self::Text(texts) => texts.buffers(py),
            Self::Number(numbers) => (numbers.valid.buffer(py), PyBytes::new(py, &numbers.data)).into_pyobject(py),
            Self::List(lists) => {
                let items = (lists.items.length(), lists.items.buffers(py)?);
                (lists.valid.buffer(py), lists.ends.buffer(py), items).into_pyobject(py)
            }
            Self::Map(maps) => {
                let keys = (maps.keys.length(), maps.keys.buffers(py)?);
                let values = (maps.values.length(), maps.values.buffers(py)?);
                (maps.valid.buffer(py), maps.ends.buffer(py), keys, values).into_pyobject(py)
            }
        }
    }
}
