//! Files of a spool that cannot be used: of another user, a FIFO, a directory with the name of a segment. The other files are used.

use std::io::ErrorKind;
use std::path::Path;

use crate::{Error, Result};

/// A file in the spool that plsync leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedFile {
    /// Its name.
    pub name: String,
    /// Why it is not used.
    pub reason: String,
}

impl SkippedFile {
    /// The file at `path`, if the error is about this file alone; otherwise the error.
    pub(crate) fn from_error(path: &Path, error: Error) -> Result<Self> {
        let reason = match &error {
            Error::Refused { reason, .. } => reason.clone(),
            Error::Io { source, .. } if is_of_one_file(source.kind()) => format!("cannot be used: {source}"),
            _ => return Err(error),
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, reason })
    }
}

fn is_of_one_file(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::NotADirectory)
}

/// Removes a file of a dead writer. A directory under its name is no file of plsync, and stays.
pub(crate) fn remove(path: &Path) -> Result<Option<SkippedFile>> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => SkippedFile::from_error(path, Error::io("cannot remove", path)(error)).map(Some),
    }
}
