//! `Row`: a record as stored.

use plsync_journal::{Row as StoredRow, State};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Row {
    stored: StoredRow,
    /// Bytes of its bodies, also after they were dropped.
    size: usize,
}

impl From<StoredRow> for Row {
    fn from(stored: StoredRow) -> Self {
        Self { size: stored.size(), stored }
    }
}

impl Row {
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
    fn start<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.stored.start.as_deref().map(|body| PyBytes::new(py, body))
    }

    #[getter]
    fn end<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.stored.end.as_deref().map(|body| PyBytes::new(py, body))
    }

    #[getter]
    fn size(&self) -> usize {
        self.size
    }

    fn without_bodies(&self) -> Self {
        let (start, end) = (None, None);
        let stored = StoredRow {
            last_error: self.stored.last_error.clone(),
            sink: self.stored.sink.clone(),
            damage: self.stored.damage.clone(),
            server: self.stored.server.clone(),
            start,
            end,
            ..self.stored
        };
        Self { stored, size: self.size }
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
