//! `SignedBundle`: a bundle whose signature was checked, read from a private copy.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;

use plsync_bundle::lines::{self, Entry};
use plsync_bundle::manifest::MemberKind;
use plsync_bundle::{Claim, Error, Identity, KeyId, Manifest, Peer, PublicKey, Role, Verified};
use plsync_journal::Access;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::new_file;
use super::records::import;
use crate::errors::bundle_to_python;
use crate::handover;

#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct SignedBundle {
    verified: Mutex<Verified<File>>,
    identity: Option<Identity>,
    manifest: Manifest,
    id: String,
    is_encrypted: bool,
}

/// Checks a signature, copies the file into the new file `copy`, and reads it whole. `peers` are name, role and key; `own` are the ids
/// of this machine's keys, each with its identity for decryption.
#[pyfunction]
pub(crate) fn open_bundle(
    py: Python<'_>,
    path: PathBuf,
    signature: &str,
    copy: PathBuf,
    peers: Vec<(String, String, String)>,
    own: Vec<(String, String)>,
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
        let identity = own.iter().find(|(id, _)| *id == claim.comment.to).map(|(_, file)| Identity::parse(file));
        let identity = identity.transpose()?;
        let mut medium = plsync_journal::open(&path, Access::ReadAny).map_err(into_io)?;
        let copy = new_file(&copy)?;
        let mut verified = claim.admit(&mut medium, copy)?;
        let manifest = verified.check(identity.as_ref())?;
        let bundle = verified.open(identity.as_ref())?;
        let (id, is_encrypted) = (bundle.id.to_string(), bundle.is_encrypted);
        Ok(SignedBundle { identity, manifest, id, is_encrypted, verified: Mutex::new(verified) })
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
        fields.set_item("id", &self.id)?;
        fields.set_item("kind", comment.kind.name())?;
        fields.set_item("from", &peer.name)?;
        fields.set_item("key_id", peer.key.id.to_string())?;
        fields.set_item("to", comment.to.to_string())?;
        fields.set_item("journal_id", comment.journal.to_string())?;
        fields.set_item("serial", comment.serial)?;
        fields.set_item("part", comment.part[0])?;
        fields.set_item("parts", comment.part[1])?;
        fields.set_item("bytes", comment.size)?;
        fields.set_item("encrypted", self.is_encrypted)?;
        fields.set_item("created_at_ms", self.manifest.created_at)?;
        for (name, kind) in
            [("records", MemberKind::Records), ("followups", MemberKind::Followups), ("entries", MemberKind::Log)]
        {
            let members = self.manifest.members.iter().filter(|member| MemberKind::of(&member.name) == Some(kind));
            fields.set_item(name, members.map(|member| member.items).sum::<u64>())?;
        }
        Ok(fields)
    }

    /// The ids of the records that may have been sent.
    fn doubtful(&self, py: Python<'_>) -> PyResult<Vec<[u8; 16]>> {
        let mut found = Vec::new();
        let read = || {
            self.each_record(|record| {
                if record.header.doubt {
                    found.push(record.header.id.0);
                }
                Ok(())
            })
        };
        py.detach(read).map_err(|error| bundle_to_python(py, &error))?;
        Ok(found)
    }

    /// Appends the records to the journal in `path`. Returns the number of records, and how many of them were new. `on_progress` is called
    /// with the number of records that are done and the number of all.
    #[pyo3(signature = (path, *, on_progress = None))]
    fn import_records(&self, py: Python<'_>, path: PathBuf, on_progress: Option<Py<PyAny>>) -> PyResult<(u64, u64)> {
        let mut verified = self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        import(py, &path, &mut verified, self.identity.as_ref(), on_progress.as_ref())
    }

    /// The entries of the log: acks as record id and request id; refused and held records as record id, held, and reason.
    #[allow(clippy::type_complexity)] // as the stub has it
    fn entries(&self, py: Python<'_>) -> PyResult<(Vec<([u8; 16], u64)>, Vec<([u8; 16], bool, String)>)> {
        let (mut acks, mut parked) = (Vec::new(), Vec::new());
        let mut read = || {
            let mut verified = self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut bundle = verified.open(self.identity.as_ref())?;
            while let Some(member) = bundle.next_member()? {
                if member.kind != MemberKind::Log {
                    continue;
                }
                for line in lines::log(&member.content)? {
                    match Entry::parse(line)?.1 {
                        Entry::Ack { record, request, .. } => acks.push((record.0, request)),
                        Entry::Parked { record, held, reason, .. } => parked.push((record.0, held, reason)),
                        Entry::Received(_) | Entry::Done(_) | Entry::Refused { .. } => {}
                    }
                }
            }
            Ok(())
        };
        py.detach(&mut read).map_err(|error: Error| bundle_to_python(py, &error))?;
        Ok((acks, parked))
    }
}

impl SignedBundle {
    fn each_record(&self, mut work: impl FnMut(&lines::Record) -> Result<(), Error>) -> Result<(), Error> {
        let mut verified = self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut bundle = verified.open(self.identity.as_ref())?;
        while let Some(member) = bundle.next_member()? {
            if member.kind == MemberKind::Records {
                member.records()?.iter().try_for_each(&mut work)?;
            }
        }
        Ok(())
    }
}
