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

/// The users that may own a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// This user or root.
    Own,
    /// The users of a journal: in a shared journal also all members of its group.
    Journal,
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

/// The end of an advice to trust a directory.
#[cfg(unix)]
pub(super) fn trusting(path: &Path, condition: &str) -> String {
    let directory = if path.is_dir() { Some(path) } else { path.parent() }.unwrap_or(path);
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    format!("{TRUST_VARIABLE}={} {condition}", directory.display())
}
