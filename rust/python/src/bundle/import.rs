//! `SignedBundle`: a bundle whose signature was checked, read from a private copy.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;

use plsync_bundle::lines::{self, Entry};
use plsync_bundle::manifest::MemberKind;
use plsync_bundle::{Checked, Claim, Content, Error, Id, Identity, KeyId, Peer, PublicKey, Role, Verified};
use plsync_journal::{
    Access, Arrival, CarriedFollowUp, Error as JournalError, Hearing, HubNumber, Millis, Op, Place, RecordId,
    RequestId, Store as Journal, Word,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::new_file;
use super::records::import;
use crate::errors::{OrRaise, bundle_to_python};
use crate::handover;
use crate::store::Store;

/// Entries of one transaction.
const BATCH: usize = 1000;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct SignedBundle {
    verified: Mutex<Verified<File>>,
    identity: Option<Identity>,
    checked: Checked,
}

/// Checks a signature, copies the file into the new file `copy`, and reads it whole. `peers` are name, role and key.
/// `own` has the ids of this machine's keys, each with its identity if the bundle may need it. `free` are the free bytes for the copy.
#[pyfunction]
pub(crate) fn open_bundle(
    py: Python<'_>,
    path: PathBuf,
    signature: &str,
    copy: PathBuf,
    peers: Vec<(String, String, String)>,
    own: Vec<(String, Option<String>)>,
    free: u64,
) -> PyResult<SignedBundle> {
    handover::require(py)?;
    let invalid = || PyValueError::new_err("a role, a key or an id is malformed");
    let peers = peers.into_iter().map(|(name, role, key)| {
        let role = match role.as_str() {
            "origin" => Role::Origin,
            "hub" => Role::Hub,
            _ => return Err(invalid()),
        };
        Ok(Peer { name, role, key: PublicKey::parse(&key).ok_or_else(invalid)? })
    });
    let peers: Vec<_> = peers.collect::<PyResult<_>>()?;
    let own: Vec<_> = own
        .into_iter()
        .map(|(id, identity)| Ok((KeyId::parse(&id).ok_or_else(invalid)?, identity)))
        .collect::<PyResult<_>>()?;
    let open = || {
        let ids: Vec<_> = own.iter().map(|(id, _)| *id).collect();
        let claim = Claim::read(signature, &peers, &ids)?;
        claim.fits(free)?;
        let file = own.iter().find(|(id, _)| *id == claim.comment.to).and_then(|(_, file)| file.as_ref());
        let identity = file.map(|file| Identity::parse(file)).transpose()?;
        let mut medium = plsync_journal::open(&path, Access::ReadAny).map_err(into_io)?;
        let copy = new_file(&copy)?;
        let mut verified = claim.admit(&mut medium, copy)?;
        let checked = verified.check(identity.as_ref())?;
        Ok(SignedBundle { identity, checked, verified: Mutex::new(verified) })
    };
    py.detach(open).map_err(|error: Error| bundle_to_python(py, &error))
}

fn into_io(error: plsync_journal::Error) -> Error {
    Error::Io(match error.io_cause().and_then(std::io::Error::raw_os_error) {
        Some(number) => std::io::Error::from_raw_os_error(number),
        None => std::io::Error::other(error.to_string()),
    })
}

#[pymethods]
impl SignedBundle {
    /// The fields of the bundle, which its signature covers.
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let verified = self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (peer, comment, fields) = (&verified.peer, &verified.comment, PyDict::new(py));
        fields.set_item("id", self.checked.id.to_string())?;
        fields.set_item("kind", comment.kind.name())?;
        fields.set_item("from", &peer.name)?;
        fields.set_item("key_id", peer.key.id.to_string())?;
        fields.set_item("to", comment.to.to_string())?;
        fields.set_item("journal_id", comment.journal.to_string())?;
        fields.set_item("serial", comment.serial)?;
        fields.set_item("part", comment.part[0])?;
        fields.set_item("parts", comment.part[1])?;
        fields.set_item("bytes", comment.size)?;
        fields.set_item("encrypted", self.checked.is_encrypted)?;
        fields.set_item("created_at_ms", self.checked.manifest.created_at)?;
        for (name, kind) in [
            ("records", MemberKind::Records),
            ("followups", MemberKind::Followups),
            ("entries", MemberKind::Log),
            ("templates", MemberKind::Prompt),
        ] {
            fields.set_item(name, self.items(kind))?;
        }
        Ok(fields)
    }

    /// The ids of the records that may have been sent.
    fn doubtful(&self) -> Vec<[u8; 16]> {
        self.checked.marked.iter().filter(|marked| marked.doubt).map(|marked| marked.id.0).collect()
    }

    /// Adds the records to the journal in `path`. Returns the number of records, and how many of them were new. `on_progress` is called
    /// with the number of records that are done and the number of all.
    #[pyo3(signature = (path, *, on_progress = None))]
    fn import_records(&self, py: Python<'_>, path: PathBuf, on_progress: Option<Py<PyAny>>) -> PyResult<(u64, u64)> {
        let mut verified = self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        import(py, &path, &mut verified, self.identity.as_ref(), on_progress.as_ref())
    }

    /// The records that may have been sent, or that a person sent again: id, doubt and round.
    fn marked(&self) -> Vec<([u8; 16], bool, u32)> {
        self.checked.marked.iter().map(|marked| (marked.id.0, marked.doubt, marked.round)).collect()
    }

    /// Queues the follow-ups in the journal of a hub. Returns how many are new.
    fn take_followups(&self, py: Python<'_>, store: &Store) -> PyResult<u64> {
        let (mut failed, mut new) = (None, 0);
        let take = || {
            self.each_member(MemberKind::Followups, |member| {
                let followups = lines::follow_ups(&member.content)?;
                for batch in followups.chunks(BATCH) {
                    let batch: Vec<_> = batch.iter().map(carried_followup).collect();
                    new += keep(store.journal().take_followups(&batch), &mut failed)?;
                }
                Ok(())
            })
        };
        let taken = py.detach(take);
        raise(py, failed, taken)?;
        Ok(new)
    }

    /// Notes in the journal of a hub that the bundle is there. Returns whether the journal was put back from a copy.
    fn arrive(&self, py: Python<'_>, store: &Store) -> PyResult<bool> {
        let manifest = &self.checked.manifest;
        let serials = manifest.recent_serials.iter().copied().chain(std::iter::repeat(0));
        let arrival = Arrival {
            id: self.checked.id.0,
            serial: manifest.serial,
            part: manifest.part,
            place: manifest.place.as_ref().map(|place| Place {
                epoch: place.epoch.0,
                number: place.number,
                chain: place.chain.0,
                ended: place.ended.iter().map(|epoch| epoch.0).collect(),
                ..Place::default()
            }),
            recent: manifest.recent.iter().map(|id| id.0).zip(serials).collect(),
            repeats: manifest.repeats.iter().map(|id| id.0).collect(),
        };
        py.detach(|| store.journal().arrive(&arrival)).or_raise(py)
    }

    /// Applies the log to the journal of its origin. `hub` is the number of the signer there.
    fn apply_log<'py>(&self, py: Python<'py>, store: &Store, hub: u32) -> PyResult<Bound<'py, PyDict>> {
        let mut failed = None;
        let applied = py.detach(|| self.read_log(store.journal(), HubNumber(hub), &mut failed));
        let hearing = raise(py, failed, applied)?;
        let fields = PyDict::new(py);
        let refused: Vec<_> = hearing.refused.iter().map(|(id, reason)| (id.0, reason.as_str())).collect();
        fields.set_item("entries", hearing.entries)?;
        fields.set_item("joins", hearing.joins)?;
        fields.set_item("acked", hearing.acked)?;
        fields.set_item("refused", refused)?;
        fields.set_item("received", hearing.received)?;
        fields.set_item("unknown", hearing.unknown)?;
        fields.set_item("unknown_bundles", hearing.unknown_bundles)?;
        fields.set_item("conflicts", hearing.conflicts)?;
        fields.set_item("early", hearing.early)?;
        fields.set_item("done", hearing.done)?;
        fields.set_item("followups_refused", hearing.followups_refused)?;
        Ok(fields)
    }

    /// The set of prompt templates that the bundle has, or that its origin keeps.
    fn template_set(&self) -> Option<[u8; 32]> {
        self.checked.manifest.templates.map(|digest| digest.0)
    }

    /// The epoch of the log, and the number of its last entry; None in a bundle to a hub.
    fn log_end(&self) -> Option<([u8; 16], u64)> {
        let log = self.checked.manifest.log?;
        Some((log.epoch.0, log.after + self.items(MemberKind::Log)))
    }

    /// Calls `each` with each prompt template, as JSON.
    fn each_template(&self, py: Python<'_>, each: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut failed = None;
        let read = self.each_member(MemberKind::Prompt, |member| {
            each.call1((PyBytes::new(py, &member.content),)).map(drop).map_err(|error| {
                failed = Some(error);
                Error::Unfit("the caller failed")
            })
        });
        match failed {
            Some(error) => Err(error),
            None => read.map_err(|error| bundle_to_python(py, &error)),
        }
    }
}

impl SignedBundle {
    fn items(&self, kind: MemberKind) -> u64 {
        let members = self.checked.manifest.members.iter().filter(|member| MemberKind::of(&member.name) == Some(kind));
        members.map(|member| member.items).sum()
    }

    fn each_member(&self, kind: MemberKind, mut work: impl FnMut(&Content) -> Result<(), Error>) -> Result<(), Error> {
        if !self.checked.manifest.members.iter().any(|member| MemberKind::of(&member.name) == Some(kind)) {
            return Ok(());
        }
        let mut verified = self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut bundle = verified.open(self.identity.as_ref())?;
        while let Some(member) = bundle.next_of(kind)? {
            work(&member)?;
        }
        Ok(())
    }

    fn read_log(&self, journal: &Journal, hub: HubNumber, failed: &mut Option<JournalError>) -> Result<Hearing, Error> {
        let span = self.checked.manifest.log.ok_or_else(|| Error::Malformed("the bundle has no log".into()))?;
        let place = keep(journal.enter_epoch(hub, span.epoch.0), failed)?;
        // A log joins where its hash is the one that was read before.
        let (mut number, mut chain, mut joins) = (span.after, span.chain, false);
        let is_at = |number: u64, chain: Id| {
            place.as_ref().is_some_and(|place| (place.number, place.chain) == (number, chain.0))
        };
        joins |= is_at(number, chain);
        self.each_member(MemberKind::Log, |member| {
            for line in lines::log(&member.content)? {
                (number, chain) = (number + 1, lines::chain(chain, line));
                joins |= is_at(number, chain);
            }
            Ok(())
        })?;
        let mut hearing = Hearing::new(hub, joins);
        let (mut at, mut end) = ((span.after, span.chain), (span.after, span.chain));
        self.each_member(MemberKind::Log, |member| {
            for lines in lines::log(&member.content)?.chunks(BATCH) {
                let words: Vec<Word> = lines.iter().map(|line| word(line)).collect::<Result<_, _>>()?;
                keep(journal.apply_log(&mut hearing, &words), failed)?;
                for line in lines {
                    at = (at.0 + 1, lines::chain(at.1, line));
                    let held_at = hearing.held_at.map_or(u64::MAX, |entries| span.after + entries);
                    if at.0 <= held_at {
                        end = at;
                    }
                }
            }
            Ok(())
        })?;
        let known = keep(journal.place(hub), failed)?.unwrap_or_default();
        let mut place = Place { serial: known.serial.max(self.checked.manifest.serial), at: Millis::now(), ..known };
        // Another process may have begun a new epoch meanwhile.
        if joins && place.epoch == span.epoch.0 && end.0 > place.number {
            (place.number, place.chain) = (end.0, end.1.0);
        }
        keep(journal.set_place(hub, &place), failed)?;
        Ok(hearing)
    }
}

/// Keeps an error of the journal, which keeps its class, and ends the reading of the bundle.
fn keep<T>(done: plsync_journal::Result<T>, failed: &mut Option<JournalError>) -> Result<T, Error> {
    done.map_err(|error| {
        *failed = Some(error);
        Error::Unfit("the journal failed")
    })
}

fn raise<T>(py: Python<'_>, failed: Option<JournalError>, done: Result<T, Error>) -> PyResult<T> {
    match failed {
        Some(error) => Err(error).or_raise(py),
        None => done.map_err(|error| bundle_to_python(py, &error)),
    }
}

fn word(line: &[u8]) -> Result<Word, Error> {
    Ok(match Entry::parse(line)?.1 {
        Entry::Received(id) => Word::Received(id.0),
        Entry::Ack { record, request, .. } => Word::Ack { record: RecordId(record.0), request: request.map(RequestId) },
        Entry::Parked { record, held, reason, round } => {
            Word::Parked { record: RecordId(record.0), is_held: held, reason, round }
        }
        Entry::Done(id) => Word::Done(id.0),
        Entry::Refused { id, reason } => Word::Refused { id: id.0, reason },
    })
}

fn carried_followup(followup: &lines::FollowUp) -> CarriedFollowUp {
    let header = &followup.header;
    CarriedFollowUp {
        id: header.id.0,
        record: RecordId(header.record.0),
        request: header.request.map(RequestId),
        op: match header.op {
            lines::Op::Score => Op::Score,
            lines::Op::Metadata => Op::Metadata,
            lines::Op::Prompt => Op::Prompt,
            lines::Op::Group => Op::Group,
        },
        queued_at: Millis(header.queued_at),
        payload: followup.payload.to_vec(),
    }
}
