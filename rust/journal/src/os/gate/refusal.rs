//! Refusals, and the environment variable that prevents them.

use std::path::Path;

use crate::Error;

/// The environment variable with the directories whose owner and mode are not checked, in the form of `PATH`.
pub const TRUST_VARIABLE: &str = "PLSYNC_TRUST_DIRECTORY";

/// The use of a directory, which decides who may own it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// This process writes secrets into the directory, or runs functions that the directory names. This user or root owns it.
    Use,
    /// Reading and maintenance. Root may also work in a directory of another user.
    Look,
}

pub(super) fn refused(path: &Path, reason: String, remedy: String) -> Error {
    Error::Refused { path: path.to_path_buf(), reason, remedy }
}

/// Whether the environment trusts the owner of this path.
#[cfg(unix)]
pub(super) fn is_trusted(path: &Path) -> bool {
    let Some(listed) = std::env::var_os(TRUST_VARIABLE) else { return false };
    let resolved = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    let Some(path) = resolved(path) else { return false };
    // A relative entry would trust another directory after each change of the working directory.
    std::env::split_paths(&listed)
        .filter(|trusted| trusted.is_absolute())
        .any(|trusted| resolved(&trusted).is_some_and(|trusted| path.starts_with(trusted)))
}
