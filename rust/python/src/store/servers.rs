//! `Store`: the servers that records were sent to, and the binding of the journal to one of them.

use plsync_journal::{Account, Bind, Millis, ServerId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::Store;
use super::report::{Report, dicts, server_dict};
use crate::errors::OrRaise;

#[pymethods]
impl Store {
    fn secret<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &py.detach(|| self.journal().secret()).or_raise(py)?))
    }

    #[pyo3(signature = (url, account, *, is_stand_in = false, how = "refuse"))]
    fn bind<'py>(
        &self,
        py: Python<'py>,
        url: String,
        account: [u8; 16],
        is_stand_in: bool,
        how: &str,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let how = match how {
            "refuse" => Bind::Refuse,
            "rotate" => Bind::Rotate,
            "leave" => Bind::Leave,
            _ => return Err(PyValueError::new_err("a journal refuses, rotates or leaves")),
        };
        let account = Account { url, account, is_stand_in };
        let bound = py.detach(|| self.journal().bind(&account, how)).or_raise(py)?;
        bound.map(|server| server_dict(py, server)).transpose()
    }

    fn servers<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        dicts(py, py.detach(|| self.journal().servers()).or_raise(py)?)
    }

    fn withdraw<'py>(
        &self,
        py: Python<'py>,
        server_ids: Vec<u32>,
        now_ms: u64,
        reason: &str,
    ) -> PyResult<Bound<'py, PyDict>> {
        let servers: Vec<_> = server_ids.into_iter().map(ServerId).collect();
        py.detach(|| self.journal().withdraw(&servers, Millis(now_ms), reason)).or_raise(py)?.to_dict(py)
    }

    fn set_last_run(&self, py: Python<'_>, report: &[u8]) -> PyResult<()> {
        py.detach(|| self.journal().set_last_run(report)).or_raise(py)
    }
}
