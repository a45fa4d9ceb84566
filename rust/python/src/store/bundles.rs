//! `Store`: records that cross an air gap, at an origin and at a hub.

use plsync_bundle::ids::Hex;
use plsync_bundle::lines::{self, Entry};
use plsync_journal::{
    Arrived, BundleId, Choice, Fact, FollowUpId, FollowUpKey, Hole, HubNumber, LogHead, LogId, NewBundle, Orphan,
    RecordId, Seq, WrittenBundle,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;

use super::Store;
use super::report::{Report, dicts, moment};
use crate::errors::OrRaise;

/// Facts of one transaction.
const BATCH: usize = 1000;

/// A bundle that is about to be written: a dict with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Begun {
    id: BundleId,
    serial: u64,
    part: [u32; 2],
    hub: u32,
}

/// Places of records in the journal.
#[derive(FromPyObject)]
enum Places {
    /// As `BundleWriter.seqs` returns them.
    Packed(PyBackedBytes),
    Numbers(Vec<u64>),
}

#[pymethods]
impl Store {
    #[pyo3(signature = (key_id, replaced = None))]
    fn hub(&self, py: Python<'_>, key_id: [u8; 8], replaced: Option<[u8; 8]>) -> PyResult<u32> {
        Ok(py.detach(|| self.journal().hub(key_id, replaced)).or_raise(py)?.0)
    }

    fn hubs(&self, py: Python<'_>) -> PyResult<Vec<([u8; 8], u32)>> {
        let hubs = py.detach(|| self.journal().hubs()).or_raise(py)?;
        Ok(hubs.into_iter().map(|(key, hub)| (key, hub.0)).collect())
    }

    #[allow(clippy::type_complexity)] // as the stub has it
    fn carriable(&self, py: Python<'_>, hub: u32, choice: &str) -> PyResult<(Vec<(u64, bool, u32, bool)>, u64)> {
        let choice = choice_of(choice)?;
        let found = py.detach(|| self.journal().carriable(HubNumber(hub), choice, &[])).or_raise(py)?;
        let records = found.records.into_iter();
        Ok((
            records.map(|record| (record.seq.0, record.doubt, record.round, record.carried_at.is_some())).collect(),
            found.running,
        ))
    }

    fn begin_bundle(
        &self,
        py: Python<'_>,
        bundle: Begun,
        seqs: Places,
        followups: Vec<(FollowUpId, FollowUpKey)>,
    ) -> PyResult<()> {
        let Begun { id, serial, part, hub } = bundle;
        let bundle = NewBundle { id, serial, part, hub: HubNumber(hub) };
        let seqs = match seqs {
            Places::Packed(bytes) => bytes.as_chunks().0.iter().map(|seq| Seq(u64::from_le_bytes(*seq))).collect(),
            Places::Numbers(numbers) => super::seqs(numbers),
        };
        py.detach(|| {
            self.journal().note_followups(&followups)?;
            self.journal().begin_bundle(&bundle, &seqs)
        })
        .or_raise(py)
    }

    fn bundle_written(&self, py: Python<'_>, id: BundleId, followups: Vec<FollowUpId>) -> PyResult<()> {
        py.detach(|| {
            self.journal().bundle_written(&id)?;
            self.journal().count_followups(&followups)
        })
        .or_raise(py)
    }

    fn repeat(&self, py: Python<'_>) -> PyResult<Option<u8>> {
        py.detach(|| self.journal().repeat()).or_raise(py)
    }

    #[pyo3(signature = (repeat))]
    fn set_repeat(&self, py: Python<'_>, repeat: Option<u8>) -> PyResult<()> {
        py.detach(|| self.journal().set_repeat(repeat)).or_raise(py)
    }

    fn bundle_failed(&self, py: Python<'_>, id: BundleId) -> PyResult<()> {
        py.detach(|| self.journal().bundle_failed(&id)).or_raise(py)
    }

    fn bundles<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        dicts(py, py.detach(|| self.journal().bundles()).or_raise(py)?)
    }

    fn receive_bundles(&self, py: Python<'_>, ids: Vec<BundleId>) -> PyResult<u64> {
        py.detach(|| self.journal().receive_bundles(&ids)).or_raise(py)
    }

    fn place<'py>(&self, py: Python<'py>, hub: u32) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(place) = py.detach(|| self.journal().place(HubNumber(hub))).or_raise(py)? else { return Ok(None) };
        let fields = PyDict::new(py);
        fields.set_item("epoch", bytes(&place.epoch))?;
        fields.set_item("number", place.number)?;
        fields.set_item("chain", bytes(&place.chain))?;
        fields.set_item("ended", place.ended.iter().map(|epoch| bytes(epoch)).collect::<Vec<_>>())?;
        fields.set_item("serial", place.serial)?;
        fields.set_item("at", moment(place.at))?;
        Ok(Some(fields))
    }

    fn orphans<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        dicts(py, py.detach(|| self.journal().orphans()).or_raise(py)?)
    }

    fn take_back(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.journal().take_back()).or_raise(py)
    }

    fn arrived<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        dicts(py, py.detach(|| self.journal().arrived()).or_raise(py)?)
    }

    fn holes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        dicts(py, py.detach(|| self.journal().holes()).or_raise(py)?)
    }

    fn raise_rounds(&self, py: Python<'_>, rounds: Vec<([u8; 16], u32)>) -> PyResult<u64> {
        let rounds: Vec<_> = rounds.into_iter().map(|(record, round)| (RecordId(record), round)).collect();
        py.detach(|| self.journal().raise_rounds(&rounds)).or_raise(py)
    }

    fn log_chain(&self, py: Python<'_>, number: u64) -> PyResult<Option<LogId>> {
        py.detach(|| self.journal().log_chain(number)).or_raise(py)
    }

    /// Appends everything that the log has still to report. Returns its epoch, its last number, and how far the origin has read it.
    fn update_log(&self, py: Python<'_>) -> PyResult<Option<(LogId, u64, u64)>> {
        py.detach(|| update_log(self)).or_raise(py)
    }
}

fn update_log(store: &Store) -> plsync_journal::Result<Option<(LogId, u64, u64)>> {
    loop {
        let Some(head) = store.journal().log_head()? else { return Ok(None) };
        let facts = store.journal().unreported(BATCH)?;
        if facts.is_empty() {
            return Ok(Some((head.epoch, head.number, head.told)));
        }
        let LogHead { mut number, mut chain, .. } = head;
        let lines: Vec<_> = facts
            .iter()
            .map(|fact| {
                number += 1;
                let line = entry(fact).line(number);
                chain = lines::chain(Hex(chain), line.as_bytes()).0;
                (line, chain)
            })
            .collect();
        store.journal().report(&head, &facts, &lines)?;
    }
}

fn entry(fact: &Fact) -> Entry {
    match fact {
        Fact::Received(id) => Entry::Received(Hex(*id)),
        Fact::Ack { record, request, at, is_renewed, .. } => {
            Entry::Ack { record: Hex(record.0), request: Some(request.0), at: at.0, renewed: *is_renewed }
        }
        Fact::Run { record, at, .. } => Entry::Ack { record: Hex(record.0), request: None, at: at.0, renewed: false },
        Fact::Parked { record, is_held, reason, round, .. } => {
            Entry::Parked { record: Hex(record.0), held: *is_held, reason: reason.clone(), round: *round }
        }
        Fact::FollowUp(id, None) => Entry::Done(Hex(*id)),
        Fact::FollowUp(id, Some(reason)) => Entry::Refused { id: Hex(*id), reason: reason.clone() },
    }
}

pub(crate) fn choice_of(name: &str) -> PyResult<Choice> {
    match name {
        "unreceived" => Ok(Choice::Unreceived),
        "new" => Ok(Choice::New),
        "again" => Ok(Choice::Again),
        "exported" => Ok(Choice::Exported),
        _ => Err(PyValueError::new_err("a choice is unreceived, new, again or exported")),
    }
}

impl Report for WrittenBundle {
    fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let Self { id, number, serial, part, hub, at, records, is_whole, is_received } = self;
        let dict = PyDict::new(py);
        dict.set_item("id", bytes(&id))?;
        dict.set_item("number", number)?;
        dict.set_item("serial", serial)?;
        dict.set_item("part", part)?;
        dict.set_item("hub", hub.0)?;
        dict.set_item("at", at.0)?;
        dict.set_item("records", records)?;
        dict.set_item("is_whole", is_whole)?;
        dict.set_item("is_received", is_received)?;
        Ok(dict)
    }
}

impl Report for Orphan {
    fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let Self { record, request, hub, at, is_conflict } = self;
        let dict = PyDict::new(py);
        dict.set_item("record", bytes(&record.0))?;
        dict.set_item("request_id", request.0)?;
        dict.set_item("hub", hub.0)?;
        dict.set_item("at", at.0)?;
        dict.set_item("is_conflict", is_conflict)?;
        Ok(dict)
    }
}

impl Report for Arrived {
    fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let Self { id, serial, part, at, is_reported } = self;
        let dict = PyDict::new(py);
        dict.set_item("id", bytes(&id))?;
        dict.set_item("serial", serial)?;
        dict.set_item("part", part)?;
        dict.set_item("at", at.0)?;
        dict.set_item("is_reported", is_reported)?;
        Ok(dict)
    }
}

impl Report for Hole {
    fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let Self { serial, id, is_repeated } = self;
        let dict = PyDict::new(py);
        dict.set_item("serial", serial)?;
        dict.set_item("id", bytes(&id))?;
        dict.set_item("is_repeated", is_repeated)?;
        Ok(dict)
    }
}

fn bytes<const N: usize>(value: &[u8; N]) -> std::borrow::Cow<'_, [u8]> {
    value.as_slice().into()
}
