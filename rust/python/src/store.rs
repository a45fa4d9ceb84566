//! `Store` and `Row`: the journal's reading and sending side, one call to one call.

use std::path::PathBuf;

use plsync_journal::{Ended, Query, Quota, RecordId, Row as StoredRow, State, Store as Journal};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::errors::OrRaise;
use crate::space;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Row(pub(crate) StoredRow);

#[pymethods]
impl Row {
    #[getter]
    fn id(&self) -> [u8; 16] {
        self.0.id.0
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq
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
    fn damage(&self) -> Option<&str> {
        self.0.damage.as_deref()
    }

    #[getter]
    fn request_id(&self) -> Option<u64> {
        self.0.ack.map(|(request_id, _)| request_id)
    }

    #[getter]
    fn acked_at(&self) -> Option<u64> {
        self.0.ack.map(|(_, at_ms)| at_ms * 1_000_000)
    }

    #[getter]
    fn lane(&self) -> u8 {
        self.0.lane
    }

    #[getter]
    fn changed_at(&self) -> u64 {
        self.0.changed_at
    }

    #[getter]
    fn not_before(&self) -> Option<u64> {
        Some(self.0.not_before).filter(|at| *at > 0)
    }
}

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct Store(pub(crate) Journal);

impl Store {
    pub(crate) fn journal(&self) -> &Journal {
        &self.0
    }
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, *, create = true, force = false))]
    fn new(py: Python<'_>, path: PathBuf, create: bool, force: bool) -> PyResult<Self> {
        let open = if force { Journal::open_anyway } else { Journal::open };
        py.detach(|| open(&path, create)).or_raise(py).map(Self)
    }

    #[getter]
    fn path(&self) -> String {
        self.0.path().to_string_lossy().into_owned()
    }

    fn journal_id(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.0.journal_id()).or_raise(py)
    }

    #[pyo3(signature = (*, wait = false))]
    fn ingest<'py>(&self, py: Python<'py>, wait: bool) -> PyResult<Bound<'py, PyDict>> {
        let report = py.detach(|| self.0.ingest(wait)).or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item("ran", report.ran)?;
        dict.set_item("frames", report.frames)?;
        dict.set_item("records", report.records)?;
        dict.set_item("duplicates", report.duplicates)?;
        dict.set_item("abandoned", report.abandoned)?;
        dict.set_item("segments_removed", report.segments_removed)?;
        let damage = PyList::empty(py);
        for item in report.damage {
            let entry = PyDict::new(py);
            entry.set_item("segment", item.segment)?;
            entry.set_item("offset", item.offset)?;
            entry.set_item("len", item.len)?;
            entry.set_item("reason", item.reason)?;
            damage.append(entry)?;
        }
        dict.set_item("damage", damage)?;
        Ok(dict)
    }

    fn get(&self, py: Python<'_>, record_id: [u8; 16]) -> PyResult<Option<Row>> {
        Ok(py.detach(|| self.0.get(RecordId(record_id))).or_raise(py)?.map(Row))
    }

    #[pyo3(signature = (nibbles, limit = 2))]
    fn resolve(&self, py: Python<'_>, nibbles: &str, limit: usize) -> PyResult<Vec<[u8; 16]>> {
        let ids = py.detach(|| self.0.resolve(nibbles, limit)).or_raise(py)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    #[pyo3(signature = (kind, value, limit = 100))]
    fn by_label(&self, py: Python<'_>, kind: &str, value: &[u8], limit: usize) -> PyResult<Vec<[u8; 16]>> {
        let kind = label_kind(kind)?;
        let ids = py.detach(|| self.0.by_label(kind, value, limit)).or_raise(py)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    fn by_request(&self, py: Python<'_>, request_id: u64) -> PyResult<Option<[u8; 16]>> {
        Ok(py.detach(|| self.0.by_request(request_id)).or_raise(py)?.map(|id| id.0))
    }

    #[pyo3(signature = (*, labels = Vec::new(), states = None, ended = None, since = None, until = None, text = None,
                        before = None, after = None, oldest_first = false, limit = 100))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of one Python method
    fn query(
        &self,
        py: Python<'_>,
        labels: Vec<(String, Vec<u8>)>,
        states: Option<Vec<u8>>,
        ended: Option<Vec<u8>>,
        since: Option<u64>,
        until: Option<u64>,
        text: Option<String>,
        before: Option<[u8; 16]>,
        after: Option<[u8; 16]>,
        oldest_first: bool,
        limit: usize,
    ) -> PyResult<Vec<Row>> {
        let labels = labels.into_iter().map(|(kind, value)| Ok((label_kind(&kind)?, value)));
        let query = Query {
            labels: labels.collect::<PyResult<_>>()?,
            states: states.unwrap_or_default().into_iter().map(state).collect::<PyResult<_>>()?,
            ended: ended.unwrap_or_default().into_iter().map(end).collect::<PyResult<_>>()?,
            since,
            until,
            before: before.map(RecordId),
            after: after.map(RecordId),
            text,
            oldest_first,
            limit,
        };
        Ok(rows(py.detach(|| self.0.query(&query)).or_raise(py)?))
    }

    #[pyo3(signature = (seq, limit = 100))]
    fn follow(&self, py: Python<'_>, seq: u64, limit: usize) -> PyResult<Vec<Row>> {
        Ok(rows(py.detach(|| self.0.follow(seq, limit)).or_raise(py)?))
    }

    fn last_seq(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.0.last_seq()).or_raise(py)
    }

    fn short_id_length(&self, py: Python<'_>, record_id: [u8; 16]) -> PyResult<usize> {
        py.detach(|| self.0.short_id_length(RecordId(record_id))).or_raise(py)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.0.stats()).or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item("format", plsync_journal::FORMAT)?;
        dict.set_item("journal_id", stats.journal_id)?;
        dict.set_item("records", stats.records)?;
        dict.set_item("open", stats.open)?;
        let by_state = PyDict::new(py);
        for (state, count) in State::ALL.into_iter().zip(stats.states) {
            by_state.set_item(state.name(), count)?;
        }
        dict.set_item("states", by_state)?;
        dict.set_item("opaque", stats.opaque)?;
        dict.set_item("callbacks", stats.callbacks)?;
        dict.set_item("callbacks_dead", stats.callbacks_dead)?;
        dict.set_item("callback_error", stats.callback_error)?;
        dict.set_item("followups", stats.followups)?;
        dict.set_item("followups_stranded", stats.followups_stranded)?;
        dict.set_item("followups_dead", stats.followups_dead)?;
        dict.set_item("followup_error", stats.followup_error)?;
        let spool = PyDict::new(py);
        spool.set_item("segments", stats.segments)?;
        spool.set_item("bytes", stats.spool_bytes)?;
        dict.set_item("spool", spool)?;
        dict.set_item("lmdb_bytes", stats.lmdb_bytes)?;
        dict.set_item("used_bytes", stats.used_bytes)?;
        dict.set_item("raw_bytes", stats.raw_bytes)?;
        dict.set_item("stored_bytes", stats.stored_bytes)?;
        dict.set_item("failures", stats.failures)?;
        dict.set_item("last_failure", stats.last_failure)?;
        dict.set_item("pruned", stats.pruned)?;
        dict.set_item("dropped", stats.dropped)?;
        dict.set_item("quota", space::describe(py, &stats.quota)?)?;
        dict.set_item("damaged", stats.damaged)?;
        dict.set_item("damage", stats.damage)?;
        let writers = PyList::empty(py);
        for writer in stats.writers {
            let entry = PyDict::new(py);
            entry.set_item("writer", writer.id.hex())?;
            entry.set_item("pid", writer.pid)?;
            entry.set_item("started_ms", writer.started_ms)?;
            entry.set_item("alive", writer.alive)?;
            entry.set_item("failures", writer.failures)?;
            entry.set_item("events", writer.events)?;
            writers.append(entry)?;
        }
        dict.set_item("writers", writers)?;
        dict.set_item("oldest_unsent", stats.oldest_unsent)?;
        Ok(dict)
    }

    fn quota<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        space::describe(py, &py.detach(|| self.0.quota()).or_raise(py)?)
    }

    fn set_quota(&self, py: Python<'_>, max_bytes: Option<u64>, max_age_ms: Option<u64>, policy: &str) -> PyResult<()> {
        let quota = Quota { max_bytes, max_age_ms, policy: space::policy(policy)? };
        py.detach(|| self.0.set_quota(&quota)).or_raise(py)
    }

    fn compact<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        space::report(py, &py.detach(|| self.0.compact()).or_raise(py)?)
    }

    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = py.detach(|| self.0.check()).or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item("frames", report.frames)?;
        dict.set_item("records", report.records)?;
        dict.set_item("events", report.events)?;
        let problems = PyList::empty(py);
        for problem in report.problems {
            let entry = PyDict::new(py);
            entry.set_item("where", problem.place)?;
            entry.set_item("what", problem.what)?;
            entry.set_item("kept", problem.kept)?;
            problems.append(entry)?;
        }
        dict.set_item("problems", problems)?;
        Ok(dict)
    }

    #[pyo3(signature = (limit, lease_ms, now_ms, max_bytes = 4 << 20, of_lane = None))]
    fn lease(
        &self,
        py: Python<'_>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
        max_bytes: u64,
        of_lane: Option<usize>,
    ) -> PyResult<Vec<Row>> {
        let of_lane = of_lane.unwrap_or(limit);
        let leased = py.detach(|| self.0.lease_of_lanes(limit, of_lane, lease_ms, now_ms, max_bytes));
        Ok(rows(leased.or_raise(py)?))
    }

    fn orphan_leases(&self, py: Python<'_>, old_ms: u64, due_ms: u64) -> PyResult<u64> {
        py.detach(|| self.0.orphan_leases(old_ms, due_ms)).or_raise(py)
    }

    fn in_doubt(&self, py: Python<'_>, limit: usize, now_ms: u64) -> PyResult<Vec<Row>> {
        Ok(rows(py.detach(|| self.0.in_doubt(limit, now_ms)).or_raise(py)?))
    }

    fn ack(&self, py: Python<'_>, acks: Vec<(u64, u64)>) -> PyResult<u64> {
        py.detach(|| self.0.ack(&acks)).or_raise(py)
    }

    fn release(&self, py: Python<'_>, seqs: Vec<u64>, not_before: u64, error: &str) -> PyResult<()> {
        py.detach(|| self.0.release(&seqs, not_before, error)).or_raise(py)
    }

    #[pyo3(signature = (seqs, state, error, not_before = 0))]
    fn park(&self, py: Python<'_>, seqs: Vec<u64>, state: u8, error: &str, not_before: u64) -> PyResult<()> {
        let state = crate::store::state(state)?;
        if !matches!(state, State::InDoubt | State::Dead | State::Held) {
            return Err(PyValueError::new_err("a record is parked as in doubt, dead or held"));
        }
        py.detach(|| self.0.park(&seqs, state, error, not_before)).or_raise(py)
    }

    fn renew(&self, py: Python<'_>, seqs: Vec<u64>, error: &str) -> PyResult<()> {
        py.detach(|| self.0.renew(&seqs, error)).or_raise(py)
    }

    fn next_due(&self, py: Python<'_>, now_ms: u64) -> PyResult<Option<u64>> {
        py.detach(|| self.0.next_due(now_ms)).or_raise(py)
    }

    fn is_unsettled(&self, py: Python<'_>, seq: u64) -> PyResult<bool> {
        py.detach(|| self.0.is_unsettled(seq)).or_raise(py)
    }

    fn mend_waits(&self, py: Python<'_>, before_ms: u64, after_ms: u64, longest_ms: u64) -> PyResult<u64> {
        py.detach(|| self.0.mend_waits(before_ms, after_ms, longest_ms)).or_raise(py)
    }

    fn requeue(&self, py: Python<'_>, seqs: Vec<u64>) -> PyResult<u64> {
        py.detach(|| self.0.requeue(&seqs)).or_raise(py)
    }

    fn acks(&self, py: Python<'_>, after: u64, limit: usize) -> PyResult<Vec<(u64, Row)>> {
        let acked = py.detach(|| self.0.acks(after, limit)).or_raise(py)?;
        Ok(acked.into_iter().map(|(number, row)| (number, Row(row))).collect())
    }

    fn last_ack(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.0.last_ack()).or_raise(py)
    }
}

fn rows(rows: Vec<StoredRow>) -> Vec<Row> {
    rows.into_iter().map(Row).collect()
}

fn state(number: u8) -> PyResult<State> {
    State::from_u8(number).ok_or_else(|| PyValueError::new_err("no such state"))
}

fn end(number: u8) -> PyResult<Ended> {
    Ended::from_u8(number).ok_or_else(|| PyValueError::new_err("no such end"))
}

fn label_kind(kind: &str) -> PyResult<u8> {
    match kind.as_bytes() {
        [kind] => Ok(*kind),
        _ => Err(PyValueError::new_err("a label's kind is one character")),
    }
}
