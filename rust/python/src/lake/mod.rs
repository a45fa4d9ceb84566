//! The rows of a lake. A record of a usual form becomes cells of Arrow's columns here, and Python makes the other rows.
//!
//! The mapping in `python/plsync/genai` is the definition, and a property test compares the two. Python takes 70 µs for a call of 3 KB.

mod call;
mod calls;
mod columns;
mod json;
mod messages;
mod names;
mod node;
mod parser;
mod settings;
mod tools;
mod usage;

use plsync_journal::{CallEnd, State};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyBytesMethods, PyTuple};

use crate::store::Row;

use call::{Cell, Events, Stored};
use columns::Column;

/// Rows of a lake, as columns.
#[pyclass(module = "plsync._native")]
pub(crate) struct LakeColumns {
    columns: Vec<Column>,
    kinds: Vec<String>,
    journal_id: String,
    content: bool,
    rows: usize,
}

#[pymethods]
impl LakeColumns {
    #[new]
    fn new(kinds: Vec<String>, journal_id: String, content: bool) -> PyResult<Self> {
        let columns = empty(&kinds)?;
        Ok(Self { columns, kinds, journal_id, content, rows: 0 })
    }

    fn __len__(&self) -> usize {
        self.rows
    }

    /// Appends the row of a record. Returns false, and appends nothing, for a record that Python must map.
    fn add_record(&mut self, row: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(row) = row.cast::<Row>() {
            let stored = row.get().stored();
            let (start, end) = (row.get().start(row.py())?, row.get().end(row.py())?);
            return self.add_without_gil(
                row.py(),
                &Stored {
                    id: stored.id.0,
                    seq: stored.seq.0,
                    state: stored.state.name(),
                    ended: stored.ended,
                    flags: stored.flags,
                    request_id: stored.ack.filter(|ack| ack.is_of_call()).map(|ack| ack.request_id.0),
                    acked_at_ns: stored.ack.map(|ack| ack.at.0 * 1_000_000),
                    start: start.as_ref().map(PyBytesMethods::as_bytes),
                    end: end.as_ref().map(PyBytesMethods::as_bytes),
                },
            );
        }
        // Another object with the attributes of a row, as for `Record.from_row`.
        let (start, end) = (row.getattr("start")?, row.getattr("end")?);
        let (state, ended): (usize, usize) = (row.getattr("state")?.extract()?, row.getattr("ended")?.extract()?);
        let unknown = || PyValueError::new_err("a row of an unknown state");
        self.add_without_gil(
            row.py(),
            &Stored {
                id: row.getattr("id")?.extract::<Vec<u8>>()?.try_into().map_err(|_| unknown())?,
                seq: row.getattr("seq")?.extract()?,
                state: State::ALL.get(state).ok_or_else(unknown)?.name(),
                ended: *CallEnd::ALL.get(ended).ok_or_else(unknown)?,
                flags: row.getattr("flags")?.extract()?,
                request_id: row.getattr("request_id")?.extract()?,
                acked_at_ns: row.getattr("acked_at_ns")?.extract()?,
                start: start.cast::<PyBytes>().ok().map(PyBytesMethods::as_bytes),
                end: end.cast::<PyBytes>().ok().map(PyBytesMethods::as_bytes),
            },
        )
    }

    /// Appends a row that Python made: a value for each column.
    fn add_row(&mut self, values: &Bound<'_, PyTuple>) -> PyResult<()> {
        if values.len() != self.columns.len() {
            return Err(PyValueError::new_err("a row has one value for each column"));
        }
        for (column, value) in self.columns.iter_mut().zip(values.iter_borrowed()) {
            column.push_object(&value)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Returns the buffers of each column, and starts anew.
    fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let columns = std::mem::replace(&mut self.columns, empty(&self.kinds)?);
        self.rows = 0;
        columns.iter().map(|column| column.buffers(py)).collect()
    }
}

impl LakeColumns {
    /// The thread that reads the next records needs the GIL now and then.
    fn add_without_gil(&mut self, py: Python<'_>, stored: &Stored<'_>) -> PyResult<bool> {
        py.detach(|| self.add(stored))
    }

    fn add(&mut self, stored: &Stored<'_>) -> PyResult<bool> {
        let Ok(events) = Events::parse(stored) else { return Ok(false) };
        let Ok(cells) = call::row(stored, &events, &self.journal_id, self.content) else { return Ok(false) };
        if cells.len() != self.columns.len() {
            return Err(PyValueError::new_err("other columns than the native mapping makes"));
        }
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            match (column, cell) {
                (Column::Text(texts), Cell::Text(text)) => texts.push(text.as_deref())?,
                (Column::Number(numbers), Cell::Number(number)) => numbers.push(*number),
                (Column::List(lists), Cell::Texts(texts)) => lists.push(texts)?,
                (Column::Map(maps), Cell::Map(entries)) => {
                    for (key, value) in entries {
                        maps.entry(key, value.as_deref())?;
                    }
                    maps.end(true)?;
                }
                _ => return Err(PyValueError::new_err("other types of columns than the native mapping makes")),
            }
        }
        self.rows += 1;
        Ok(true)
    }
}

fn empty(kinds: &[String]) -> PyResult<Vec<Column>> {
    kinds.iter().map(|kind| Column::of_kind(kind)).collect()
}
