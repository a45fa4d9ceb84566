//! `Row`: a record as stored.

use plsync_journal::Row as StoredRow;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Row(pub(super) StoredRow);

#[pymethods]
impl Row {
    #[getter]
    fn id(&self) -> [u8; 16] {
        self.0.id.0
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq.0
    }

    #[getter]
    fn state(&self) -> u8 {
        self.0.state as u8
    }

    #[getter]
    fn ended(&self) -> u8 {
        self.0.ended as u8
    }

    #[getter]
    fn flags(&self) -> u8 {
        self.0.flags
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.0.attempts
    }

    #[getter]
    fn last_error(&self) -> Option<&str> {
        Some(self.0.last_error.as_str()).filter(|text| !text.is_empty())
    }

    #[getter]
    fn sink(&self) -> Option<&str> {
        self.0.sink.as_deref()
    }

    #[getter]
    fn writer(&self) -> [u8; 16] {
        self.0.writer.0
    }

    #[getter]
    fn start<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.start.as_deref().map(|body| PyBytes::new(py, body))
    }

    #[getter]
    fn end<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.end.as_deref().map(|body| PyBytes::new(py, body))
    }

    #[getter]
    fn size(&self) -> usize {
        [&self.0.start, &self.0.end].into_iter().flatten().map(Vec::len).sum()
    }

    #[getter]
    fn damage(&self) -> Option<&str> {
        self.0.damage.as_deref()
    }

    #[getter]
    fn request_id(&self) -> Option<u64> {
        self.0.ack.map(|ack| ack.request_id.0)
    }

    #[getter]
    fn server_id(&self) -> Option<u32> {
        self.0.ack.map(|ack| ack.server.0).filter(|id| *id > 0)
    }

    #[getter]
    fn server(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    #[getter]
    fn acked_at_ns(&self) -> Option<u64> {
        self.0.ack.map(|ack| ack.at.0 * 1_000_000)
    }

    #[getter]
    fn lane(&self) -> u8 {
        self.0.lane.0
    }

    #[getter]
    fn changed_at_ms(&self) -> u64 {
        self.0.changed_at.0
    }

    #[getter]
    fn not_before(&self) -> Option<u64> {
        Some(self.0.not_before.0).filter(|at| *at > 0)
    }
}

pub(super) fn rows(rows: Vec<StoredRow>) -> Vec<Row> {
    rows.into_iter().map(Row).collect()
}
