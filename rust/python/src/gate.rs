//! The gate for files that Python opens: locks, the doorbell, prompt templates and recordings.

use std::io::ErrorKind;
use std::path::PathBuf;

use plsync_journal::{Access, Error, Purpose};
use pyo3::exceptions::{PyOSError, PyPermissionError};
use pyo3::prelude::*;

/// Opens a regular file, and returns its descriptor. Follows no link, and does not wait for a FIFO or a device. With `journal`, it is a
/// file of a journal, which may be shared with a group.
#[expect(clippy::fn_params_excessive_bools, reason = "the keyword arguments of a Python function")]
#[pyfunction]
#[pyo3(signature = (path, *, write = false, create = false, any_owner = false, journal = false))]
pub(crate) fn open_file(
    py: Python<'_>,
    path: PathBuf,
    write: bool,
    create: bool,
    any_owner: bool,
    journal: bool,
) -> PyResult<i32> {
    let access = match (any_owner, create, write) {
        (true, ..) => Access::ReadAny,
        (_, true, _) => Access::Create,
        (_, _, true) => Access::Write,
        _ => Access::Read,
    };
    let open = if journal { plsync_journal::open } else { plsync_journal::open_own };
    let file = py.detach(|| open(&path, access)).map_err(|error| to_os_error(py, error))?;
    into_descriptor(file)
}

/// Checks the owner and mode of a directory. With `look`, root may use a directory of another user. With `journal`, it may be shared
/// with a group.
#[pyfunction]
#[pyo3(signature = (path, *, look = false, journal = false))]
pub(crate) fn admit_directory(py: Python<'_>, path: PathBuf, look: bool, journal: bool) -> PyResult<()> {
    let purpose = if look { Purpose::Look } else { Purpose::Use };
    let admit = if journal { plsync_journal::admit_journal } else { plsync_journal::admit };
    py.detach(|| admit(&path, purpose)).map_err(|error| to_os_error(py, error))
}

/// Checks a directory inside an admitted directory.
#[pyfunction]
pub(crate) fn check_directory(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    py.detach(|| plsync_journal::check_directory(&path)).map_err(|error| to_os_error(py, error))
}

/// Makes a directory inside a journal, or checks the one that is there.
#[pyfunction]
pub(crate) fn ensure_directory(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    py.detach(|| plsync_journal::ensure_inner_dir(&path)).map_err(|error| to_os_error(py, error))
}

/// A refusal is a `PermissionError`, so that callers handle it like a refusal of the system.
fn to_os_error(py: Python<'_>, error: Error) -> PyErr {
    match error {
        Error::Refused { path, reason, remedy } => {
            PyPermissionError::new_err((libc_eperm(), format!("it {reason}; {remedy}"), path.into_os_string()))
        }
        Error::Io { path, source, .. } => match source.raw_os_error() {
            Some(number) => {
                let text = py.import("os").and_then(|os| os.call_method1("strerror", (number,))?.extract::<String>());
                PyOSError::new_err((number, text.unwrap_or_else(|_| source.to_string()), path.into_os_string()))
            }
            None if source.kind() == ErrorKind::NotADirectory => {
                PyOSError::new_err((20, "it is a file, not a directory", path.into_os_string()))
            }
            None => source.into(),
        },
        other => PyOSError::new_err(other.to_string()),
    }
}

/// The number of "Operation not permitted", which all systems share.
const fn libc_eperm() -> i32 {
    1
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps)] // has the signature of other systems
fn into_descriptor(file: std::fs::File) -> PyResult<i32> {
    Ok(std::os::fd::IntoRawFd::into_raw_fd(file))
}

#[cfg(not(unix))]
fn into_descriptor(_: std::fs::File) -> PyResult<i32> {
    // `_common/files.py` opens files itself there.
    Err(pyo3::exceptions::PyNotImplementedError::new_err("this system has no descriptors of files"))
}
