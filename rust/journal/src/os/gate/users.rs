//! This process's user and groups, and the owners of files.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::refusal::{refused, trusting};
use crate::Error;

pub(super) const OTHERS_WRITE: u32 = 0o002;
pub(super) const STICKY: u32 = 0o1000;
pub(super) const SET_GROUP: u32 = 0o2000;

pub(crate) fn user() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// The name of a user in messages.
pub(super) fn name(user: u32) -> String {
    if user == 0 { "root".to_owned() } else { format!("user {user}") }
}

/// Whether a file belongs to this user or root.
pub(super) fn is_own(found: &Metadata) -> bool {
    found.uid() == user() || found.uid() == 0
}

pub(crate) fn is_member(group: u32) -> bool {
    let mut groups = [0; 1024];
    // SAFETY: the buffer has room for the number of groups that is passed. getegid has no preconditions.
    let (number, own) = unsafe { (libc::getgroups(1024, groups.as_mut_ptr()), libc::getegid()) };
    own == group || groups[..usize::try_from(number).unwrap_or(0)].contains(&group)
}

/// Whether a directory is the root of a mounted volume.
pub(super) fn is_volume(path: &Path, found: &Metadata) -> bool {
    std::fs::metadata(path.join("..")).is_ok_and(|above| above.dev() != found.dev())
}

pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The refusal of a file of another user.
pub(super) fn foreign(path: &Path, found: &Metadata) -> Error {
    let reason = format!("belongs to {}, and this process runs as {}", name(found.uid()), name(user()));
    let trusting = trusting(path, "if you trust that user");
    refused(path, reason, format!("run as {}, choose another path, or set {trusting}", name(found.uid())))
}
