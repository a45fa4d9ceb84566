//! Journals that are shared with a group: the owners, the group and the modes of their files.
//!
//! `FORMAT` names the group. Only the owner of the directory and members of the group can write there. So the members trust each other
//! with all files of that group. A file of another group is refused, and a file that other users can use.

use std::fs::{File, Metadata, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use super::refusal::{Purpose, is_trusted, refused, trusting};
use super::users::{OTHERS_WRITE, SET_GROUP, STICKY, foreign, is_member, is_own, is_volume, name, user};
use crate::marker::{LIMIT, Marker, NAME};
use crate::{Error, Result};

/// The modes of a shared journal.
pub(crate) const DIRECTORY: u32 = 0o2770;
pub(crate) const FILE: u32 = 0o660;
const OTHERS: u32 = 0o007;
/// The rights of a group that can make files in a directory, which get the group of the directory.
const GROUP_SHARES: u32 = SET_GROUP | 0o070;

/// The group that the `FORMAT` file in a directory names; `None` without the file, and in a private journal.
///
/// Only the owner of the directory or root shares a journal. Another user who can write there may have made any other file. A failed
/// read is an error: files without the group would be useless to its members.
pub(super) fn named_group(journal: &Path) -> std::io::Result<Option<u32>> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = match options.open(journal.join(NAME)) {
        Ok(file) => file,
        Err(error) if is_unshared(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    let owner = std::fs::metadata(journal)?.uid();
    if !found.is_file() || found.uid() != owner && found.uid() != 0 {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(LIMIT).read_to_end(&mut text)?;
    Ok(Marker::parse(&String::from_utf8_lossy(&text)).ok().and_then(|marker| marker.group))
}

/// Whether a file that cannot be opened is no `FORMAT` file of a journal that this user shares.
fn is_unshared(error: &std::io::Error) -> bool {
    let is_link = error.raw_os_error() == Some(libc::ELOOP);
    is_link || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied)
}

/// The group of the shared journal that a directory is, or is inside of.
pub(super) fn group_of(directory: &Path, found: &Metadata) -> std::io::Result<Option<u32>> {
    if found.mode() & GROUP_SHARES != GROUP_SHARES {
        return Ok(None);
    }
    if let Some(group) = named_group(directory)? {
        return Ok(Some(group));
    }
    let journal = directory.join("..");
    let is_shared = std::fs::metadata(&journal)?.mode() & GROUP_SHARES == GROUP_SHARES;
    if is_shared { named_group(&journal) } else { Ok(None) }
}

/// Checks the directory of a journal that is shared with `group`.
pub(super) fn check_journal(
    path: &Path,
    named: &Metadata,
    found: &Metadata,
    group: u32,
    purpose: Purpose,
) -> Result<()> {
    if is_trusted(path) {
        return Ok(());
    }
    check_directory(path, found, group)?;
    if user() == 0 && purpose == Purpose::Use {
        return Err(refused(
            path,
            format!("is shared with group {group}, whose members could make root call functions"),
            format!("run as a member of group {group}, or set {}", trusting(path, "if you trust all members")),
        ));
    }
    if user() != 0 && !is_member(group) {
        return Err(not_member(path, group));
    }
    if named.is_symlink() && !is_own(named) {
        return Err(foreign(path, named));
    }
    match planted_in(path) {
        Some(above) if !is_own(found) => Err(refused(
            path,
            format!(
                "belongs to {}, and every user can make such a directory in {}",
                name(found.uid()),
                above.display()
            ),
            format!(
                "move the journal to a directory that only root or its owner can write to, or set {}",
                trusting(path, "if you trust that user")
            ),
        )),
        _ => Ok(()),
    }
}

/// Checks a file or directory inside a journal that is shared with `group`.
pub(super) fn check_inside(path: &Path, found: &Metadata, group: u32) -> Result<()> {
    if is_trusted(path) {
        return Ok(());
    }
    if found.is_dir() {
        return check_directory(path, found, group);
    }
    if found.gid() == group && found.mode() & OTHERS == 0 {
        return Ok(());
    }
    Err(unfit(path, found, group, path.ancestors().nth(1).unwrap_or(path)))
}

fn check_directory(path: &Path, found: &Metadata, group: u32) -> Result<()> {
    if found.gid() != group || found.mode() & 0o7777 != DIRECTORY {
        return Err(unfit(path, found, group, path));
    }
    if has_acl(path) {
        return Err(refused(
            path,
            format!("has an access control list, which may admit users outside of group {group}"),
            format!("run `setfacl -b -k {}`", path.display()),
        ));
    }
    Ok(())
}

/// The refusal of a journal whose group this process does not have.
pub(crate) fn not_member(path: &Path, group: u32) -> Error {
    let reason = format!("needs group {group}, and {} is not a member", name(user()));
    let remedy = format!("run as a member, or add the user with `usermod -aG {group} USER` and start a new session");
    refused(path, reason, remedy)
}

/// The refusal to change the group of a file of another user.
#[cfg(target_os = "linux")]
pub(crate) fn not_owner(path: &Path, found: &Metadata) -> Error {
    let reason = format!("belongs to {}, and only its owner or root can change its group and mode", name(found.uid()));
    refused(path, reason, "nothing was changed: run `plsync share` as root".into())
}

pub(super) fn unfit(path: &Path, found: &Metadata, group: u32, directory: &Path) -> Error {
    let is_journal = directory.join(NAME).exists();
    let journal = if is_journal { directory } else { directory.parent().unwrap_or(directory) };
    let reason = format!(
        "belongs to group {} with mode {:04o}, and the journal is shared with group {group}",
        found.gid(),
        found.mode() & 0o7777
    );
    refused(path, reason, format!("run `plsync share --group {group} --journal {}` as root", journal.display()))
}

/// A directory above `path` in which another user could have made the next one of its path.
fn planted_in(path: &Path) -> Option<std::path::PathBuf> {
    let path = path.canonicalize().ok()?;
    let is_open_to_all = |above: &Path, below: &Path| -> Option<bool> {
        let (found, below) = (std::fs::metadata(above).ok()?, std::fs::metadata(below).ok()?);
        let is_protected = found.mode() & STICKY != 0 && is_own(&below) || is_volume(above, &found);
        Some(found.mode() & OTHERS_WRITE != 0 && !is_protected)
    };
    let pairs = path.ancestors().zip(path.ancestors().skip(1));
    pairs.filter(|(below, above)| is_open_to_all(above, below).unwrap_or(true)).map(|(_, above)| above.into()).next()
}

/// Sets the group and the mode of a new file or directory in a shared journal, with any umask.
pub(super) fn set_group(file: &File, group: u32) -> std::io::Result<()> {
    let found = file.metadata()?;
    // Another member has made the directory at the same moment, and sets its mode.
    if user() != 0 && found.uid() != user() {
        return Ok(());
    }
    if found.gid() != group {
        fchown(file, None, Some(group))?;
    }
    let mode = if found.is_dir() { DIRECTORY } else { FILE };
    file.set_permissions(Permissions::from_mode(mode))
}

/// Whether a directory has an access control list. Its entries decide beside the mode, also for new files.
#[cfg(target_os = "linux")]
fn has_acl(path: &Path) -> bool {
    // Without a buffer, only a missing attribute is an error.
    let has = |name| rustix::fs::getxattr(path, name, &mut [0_u8; 0]).is_ok();
    has("system.posix_acl_access") || has("system.posix_acl_default")
}

#[cfg(not(target_os = "linux"))]
fn has_acl(_path: &Path) -> bool {
    false
}
