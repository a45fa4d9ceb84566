//! `Row`: a record as stored.

use std::sync::{Mutex, PoisonError};

use plsync_journal::{Row as StoredRow, State};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::bytes;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Row {
    /// Without its bodies.
    stored: StoredRow,
    start: Body,
    end: Body,
    /// Bytes of its bodies, also after they were dropped.
    size: usize,
}

impl From<StoredRow> for Row {
    fn from(mut stored: StoredRow) -> Self {
        let size = stored.size();
        let (start, end) = (Body::new(stored.start.take()), Body::new(stored.end.take()));
        Self { stored, start, end, size }
    }
}

/// A body, which has one copy in memory: of the store, and a bytes object once Python has read it.
struct Body(Mutex<Content>);

enum Content {
    Missing,
    Stored(Vec<u8>),
    Read(Py<PyBytes>),
}

impl Body {
    fn new(body: Option<Vec<u8>>) -> Self {
        Self(Mutex::new(body.map_or(Content::Missing, Content::Stored)))
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        // Making a bytes object runs no Python code, which could wait for this lock.
        let mut content = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Content::Stored(body) = &*content {
            *content = Content::Read(bytes(py, body)?.unbind());
        }
        Ok(if let Content::Read(read) = &*content { Some(read.bind(py).clone()) } else { None })
    }
}

impl Row {
    /// The row without its bodies.
    pub(crate) fn stored(&self) -> &StoredRow {
        &self.stored
    }
}

#[pymethods]
impl Row {
    #[getter]
    fn id(&self) -> [u8; 16] {
        self.stored.id.0
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.stored.seq.0
    }

    #[getter]
    fn state(&self) -> u8 {
        // Behind the stored states, as in STATES.
        self.stored.custody().map_or(self.stored.state as u8, |custody| State::Held as u8 + 1 + custody as u8)
    }

    #[getter]
    fn ended(&self) -> u8 {
        self.stored.ended as u8
    }

    #[getter]
    fn flags(&self) -> u8 {
        self.stored.flags
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.stored.attempts
    }

    #[getter]
    fn last_error(&self) -> Option<&str> {
        Some(self.stored.last_error.as_str()).filter(|text| !text.is_empty())
    }

    #[getter]
    fn sink(&self) -> Option<&str> {
        self.stored.sink.as_deref()
    }

    #[getter]
    fn writer(&self) -> [u8; 16] {
        self.stored.writer.0
    }

    #[getter]
    pub(crate) fn start<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.start.read(py)
    }

    #[getter]
    pub(crate) fn end<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.end.read(py)
    }

    #[getter]
    fn size(&self) -> usize {
        self.size
    }

    fn without_bodies(&self) -> Self {
        let stored = StoredRow {
            last_error: self.stored.last_error.clone(),
            sink: self.stored.sink.clone(),
            damage: self.stored.damage.clone(),
            server: self.stored.server.clone(),
            start: None,
            end: None,
            ..self.stored
        };
        Self { stored, start: Body::new(None), end: Body::new(None), size: self.size }
    }

    #[getter]
    fn damage(&self) -> Option<&str> {
        self.stored.damage.as_deref()
    }

    #[getter]
    fn request_id(&self) -> Option<u64> {
        self.stored.ack.filter(|ack| ack.is_of_call()).map(|ack| ack.request_id.0)
    }

    #[getter]
    fn server_id(&self) -> Option<u32> {
        self.stored.ack.map(|ack| ack.server.0).filter(|id| *id > 0)
    }

    #[getter]
    fn server(&self) -> Option<&str> {
        self.stored.server.as_deref()
    }

    #[getter]
    fn acked_at_ns(&self) -> Option<u64> {
        self.stored.ack.map(|ack| ack.at.0 * 1_000_000)
    }

    #[getter]
    fn lane(&self) -> u8 {
        self.stored.lane.0
    }

    #[getter]
    fn changed_at_ms(&self) -> u64 {
        self.stored.changed_at.0
    }

    #[getter]
    fn not_before(&self) -> Option<u64> {
        Some(self.stored.not_before.0).filter(|at| *at > 0 && self.stored.custody().is_none())
    }
}

pub(super) fn rows(rows: Vec<StoredRow>) -> Vec<Row> {
    rows.into_iter().map(Row::from).collect()
}
