//! Journal errors as exceptions of `plsync.errors`, each with advice on what to do.

use std::path::Path;

use plsync_journal::Error;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::handover;

/// The Python exception for an error of a bundle, a key or a card. A failure of a file is an `OSError`: the caller knows the file.
pub(crate) fn bundle_to_python(py: Python<'_>, error: &plsync_bundle::Error) -> PyErr {
    if let plsync_bundle::Error::Io(error) = error
        && let Some(number) = error.raw_os_error()
    {
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or_default();
        return PyOSError::new_err((number, reason.to_owned()));
    }
    match handover::errors(py) {
        Ok(classes) => {
            let advice = advice_for_bundle(error);
            PyErr::from_type(classes.bundle.bind(py).clone(), format!("{error}; nothing was changed{advice}"))
        }
        Err(cause) => {
            let unclassified = PyRuntimeError::new_err(error.to_string());
            unclassified.set_cause(py, Some(cause));
            unclassified
        }
    }
}

fn advice_for_bundle(error: &plsync_bundle::Error) -> &'static str {
    use plsync_bundle::Error;

    match error {
        Error::UnknownSigner(_) => {
            "; if its machine is known, get the card and run `plsync keys trust CARD`, or run `plsync keys rotate` there"
        }
        Error::Signature(_) | Error::Forged(_) => "; copy the bundle and its signature again",
        Error::Altered { .. } => "; copy it again, or export again: no record is lost",
        Error::Role(_) => "; `plsync keys list` lists the roles",
        Error::Recipient(_) => "; import it at that machine",
        Error::Room { .. } => "; make room on that disk, and import it again",
        Error::Newer(_) => "; upgrade plsync here",
        Error::Malformed(_) | Error::Decrypt(_) => "; export again, with the newest plsync: no record is lost",
        _ => "",
    }
}

/// The Python exception for a journal error.
///
/// When `plsync.errors` can't be loaded, as at the end of the interpreter, it is a `RuntimeError` with the journal's message.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let classes = match handover::errors(py) {
        Ok(classes) => classes,
        Err(cause) => {
            let unclassified = PyRuntimeError::new_err(error.to_string());
            unclassified.set_cause(py, Some(cause));
            return unclassified;
        }
    };
    let lost = if let Error::NotFound(path) = error { advice_for_lost(path) } else { None };
    let (class, advice) = match error {
        Error::NotFound(_) => (
            &classes.not_found,
            lost.as_deref()
                .unwrap_or("nothing was recorded there yet; check --journal or PLSYNC_JOURNAL, or record a call first"),
        ),
        Error::NoPath => (&classes.journal, "set PLSYNC_JOURNAL to a directory"),
        Error::Format { .. } => {
            (&classes.format, "nothing was changed; check --journal or PLSYNC_JOURNAL, or choose another path")
        }
        Error::Newer { .. } => (&classes.format, "nothing was changed; upgrade plsync"),
        Error::Exists(_) => (&classes.format, "nothing was changed; choose a path that does not exist"),
        Error::ReadOnly(_) => (
            &classes.journal,
            "nothing was changed; run this as a user that can write to it, or on a copy: `plsync backup DST`",
        ),
        Error::Outdated(_) => {
            (&classes.journal, "nothing was changed; copy the directory to a place where you can write")
        }
        Error::Unguarded(_) => (&classes.journal, "nothing was changed; read it as its owner, or read a copy"),
        Error::NoRoom { .. } => (&classes.journal, "nothing was changed; free some space, or choose another disk"),
        Error::Network { .. } => (
            &classes.journal,
            "nothing was changed; choose a path on a local disk (--journal or PLSYNC_JOURNAL), or set \
             PLSYNC_ALLOW_NETWORK_FS=1 if no other machine uses this journal",
        ),
        Error::Refused { remedy, .. } => (&classes.journal, remedy.as_str()),
        Error::Locked(_) => (&classes.locked, "nothing was changed; try again when the other process is done"),
        Error::PoisonedByFork => (
            &classes.journal,
            "recording goes on; read the journal in another process, or fork before threads use it (or spawn instead)",
        ),
        error if error.needs_salvage() => (
            &classes.corrupt,
            "nothing was changed, and recording goes on; `plsync salvage` writes all readable records into a new journal",
        ),
        Error::Internal(_) => (&classes.journal, "the journal is not damaged; please report this"),
        Error::Corrupt(_) => (&classes.corrupt, "the rest of the journal is not affected; run `plsync check`"),
        Error::TooLarge { .. } => (&classes.recording, "shorten it with a redact hook"),
        Error::FollowUpTooLarge { .. } => (&classes.invalid_followup, "shorten it"),
        _ => {
            let advice = "records stored before are kept; run `plsync check`";
            (
                &classes.journal,
                if lacks_inodes(error) { NO_INODES } else { error.io_cause().map_or(advice, advice_for) },
            )
        }
    };
    let raised = PyErr::from_type(class.bind(py).clone(), format!("{error}; {advice}"));
    if let Some(number) = error.io_cause().and_then(std::io::Error::raw_os_error) {
        // An exception of a class without the attribute keeps its message.
        let _ = raised.value(py).setattr("errno", number);
    }
    raised
}

/// The advice for a journal that could not be made when a program had events for it.
fn advice_for_lost(journal: &Path) -> Option<String> {
    let lost = plsync_journal::early_failures(journal);
    let reason = if lost.last_failure.is_empty() { String::new() } else { format!(" ({})", lost.last_failure) };
    let number = lost.failures;
    let events = if number == 1 { "event" } else { "events" };
    (number > 0).then(|| {
        format!("{number} {events} could not be recorded there{reason}; free some space, then record a call again")
    })
}

const NO_INODES: &str = "calls recorded before are kept; the file system can hold no further file: remove some (`df -i` shows how many it has)";

/// Whether the file system has space, and can hold no further file.
fn lacks_inodes(error: &Error) -> bool {
    matches!(error, Error::Io { path, .. } if error.is_full_disk() && plsync_journal::lacks_inodes(path))
}

fn advice_for(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "the journal belongs to one user; run as its owner, or choose another path (--journal or PLSYNC_JOURNAL)"
        }
        std::io::ErrorKind::StorageFull => {
            "calls recorded before are kept; free some space, or limit the journal with `plsync quota` and run `plsync compact`"
        }
        std::io::ErrorKind::QuotaExceeded => {
            "calls recorded before are kept; this user's share of the disk is used up: free some space, or limit the journal \
             with `plsync quota` and run `plsync compact`"
        }
        std::io::ErrorKind::FileTooLarge => {
            "calls recorded before are kept; the process or the file system allows no larger file: raise the limit (`ulimit -f`)"
        }
        std::io::ErrorKind::WouldBlock => {
            "recording goes on; either the system allows no further thread, or a process with the same process id in another \
             container has the journal open: let the containers share process ids (docker run --pid)"
        }
        std::io::ErrorKind::OutOfMemory => {
            "nothing was changed; allow the process more memory (`ulimit -v`, the limit of its container), or end other programs"
        }
        std::io::ErrorKind::ReadOnlyFilesystem => "choose a path on a writable file system, or copy the journal to one",
        _ => "calls recorded before are kept",
    }
}

/// A bytes object. [`PyBytes::new`] panics where Python has no memory for it.
pub(crate) fn bytes<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let len = ffi::Py_ssize_t::try_from(content.len()).map_err(|_| memory_error("bytes"))?;
    // SAFETY: the pointer and the length are of one slice, which Python copies. The result is a new reference, or null with an error set.
    unsafe {
        let made = ffi::PyBytes_FromStringAndSize(content.as_ptr().cast(), len);
        Ok(Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked())
    }
}

/// Python's exception for an allocation that failed.
pub(crate) fn memory_error(object: &str) -> PyErr {
    PyMemoryError::new_err(format!("the process has no memory for {object}"))
}

/// Turns a journal result into a Python result.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for plsync_journal::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_python(py, &error))
    }
}
