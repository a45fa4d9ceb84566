//! Owners and modes on Unix.

use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use super::refusal::{Purpose, Scope, is_trusted, refused, trusting};
use super::shared;
use super::users::{OTHERS_WRITE, SET_GROUP, STICKY, foreign, is_member, is_own, is_volume, name, parent_of, user};
use crate::{Error, Result};

const GROUP_WRITE: u32 = 0o020;
const OTHERS_READ: u32 = 0o004;

/// Checks a directory that the user named, and the link by which it was named.
pub(super) fn check_named(
    path: &Path,
    named: &Metadata,
    found: &Metadata,
    purpose: Purpose,
    scope: Scope,
) -> Result<()> {
    if scope == Scope::Journal
        && let Some(group) = shared::named_group(path).map_err(Error::io("cannot read FORMAT in", path))?
    {
        return shared::check_journal(path, named, found, group, purpose);
    }
    for meta in [named, found] {
        let may_look = user() == 0 && purpose == Purpose::Look;
        if !(is_own(meta) || may_look || is_trusted(path)) {
            return Err(foreign(path, meta));
        }
    }
    let mode = found.mode();
    let is_shared = mode & OTHERS_WRITE != 0 && !is_safe_to_share(path, found)
        || mode & GROUP_WRITE != 0 && mode & OTHERS_WRITE == 0 && !is_safe_in_group(found, found);
    if is_shared && !is_trusted(path) { Err(writable(path, found)) } else { Ok(()) }
}

/// Checks a file or directory by the directory that it is in.
pub(super) fn check_inside(path: &Path, found: &Metadata, scope: Scope) -> Result<()> {
    let mode = found.mode();
    if is_own(found) && mode & (GROUP_WRITE | OTHERS_WRITE) == 0 {
        return Ok(());
    }
    let directory = parent_of(path);
    let parent = std::fs::metadata(directory).map_err(Error::io("cannot open", directory))?;
    if scope == Scope::Journal
        && let Some(group) =
            shared::group_of(directory, &parent).map_err(Error::io("cannot read FORMAT above", path))?
    {
        return shared::check_inside(path, found, group);
    }
    // Root may look at a journal of one other user.
    let is_owned = is_own(found) || user() == 0 && found.uid() == parent.uid();
    if !is_owned && !is_trusted(path) {
        return Err(foreign(path, found));
    }
    let is_shared = mode & OTHERS_WRITE != 0 || mode & GROUP_WRITE != 0 && !is_safe_in_group(found, &parent);
    if is_shared && !is_trusted(path) { Err(writable(path, found)) } else { Ok(()) }
}

/// Whether a directory that every user can write to still protects the names of its files.
fn is_safe_to_share(path: &Path, found: &Metadata) -> bool {
    // In a sticky directory only the owner of a file can rename it. The directory at the root of a volume (`emptyDir` of Kubernetes)
    // has the mode of its maker. All users that reach it run in containers of one pod.
    found.mode() & STICKY != 0 || found.uid() == 0 && is_volume(path, found)
}

/// Whether the group of a file that it can write to is the owner's own, or one that the directory is shared with on purpose.
fn is_safe_in_group(found: &Metadata, directory: &Metadata) -> bool {
    // With user private groups (umask 002) the group of a user has the user's number. Root's group may have more members.
    let is_private = found.gid() == found.uid() && found.uid() != 0;
    // `fsGroup` of Kubernetes makes all files of a volume writable by the group, and sets this bit.
    let is_asked_for = directory.mode() & SET_GROUP != 0 && directory.gid() == found.gid();
    is_private || is_asked_for && is_member(found.gid())
}

fn writable(path: &Path, found: &Metadata) -> Error {
    let mode = found.mode() & 0o7777;
    let writers = if mode & OTHERS_WRITE != 0 { "every user".to_owned() } else { format!("its group {}", found.gid()) };
    let bits = if mode & OTHERS_WRITE != 0 { "go-w" } else { "g-w" };
    let inside = if found.is_dir() { ", choose a directory inside it" } else { "" };
    let remedy =
        format!("run `chmod {bits} {}`{inside}, or set {}", path.display(), trusting(path, "if you trust those users"));
    refused(path, format!("can be written to by {writers} (mode {mode:04o})"), remedy)
}

/// The refusal of a file that the system does not open for this user.
pub(super) fn denied(path: &Path, found: &Metadata) -> Option<Error> {
    if found.uid() == user() {
        return None;
    }
    let directory = parent_of(path);
    let above = std::fs::metadata(directory).ok();
    if let Some(group) = above.and_then(|above| shared::group_of(directory, &above).ok().flatten()) {
        return Some(shared::unfit(path, found, group, directory));
    }
    let reason = format!("belongs to {}, and {} may not open it", name(found.uid()), name(user()));
    let owner = path.parent().and_then(|parent| std::fs::metadata(parent).ok()).map_or(user(), |parent| parent.uid());
    let remedy = if owner == user() {
        format!("root left it there: run `sudo chown -R {owner} {}`", path.parent().unwrap_or(path).display())
    } else if found.is_dir() && found.mode() & SET_GROUP != 0 {
        format!("run as {} or a member of group {}, or choose another path", name(owner), found.gid())
    } else {
        format!("run as {}, or choose another path", name(owner))
    };
    Some(refused(path, reason, remedy))
}

/// The refusal of a file in a directory that this user may not search.
pub(super) fn denied_above(path: &Path) -> Option<Error> {
    path.ancestors()
        .skip(1)
        .find_map(|above| Some((above, std::fs::symlink_metadata(above).ok()?)))
        .and_then(|(above, found)| denied(above, &found))
}

/// The number of names of a file.
pub(super) fn names(found: &Metadata) -> u64 {
    found.nlink()
}

/// Sets the owner and the group of a new file. In a directory of another user, root's files belong to that user. In a shared journal,
/// files belong to the group.
pub(crate) fn adopt(file: &File, path: &Path, scope: Scope) -> std::io::Result<()> {
    let directory = parent_of(path);
    let parent = std::fs::metadata(directory)?;
    let made = file.metadata()?;
    let is_linked = made.is_file() && made.nlink() != 1;
    if user() == 0 && parent.uid() != 0 && made.uid() == 0 && !is_linked {
        fchown(file, Some(parent.uid()), Some(parent.gid()))?;
    }
    match shared::group_of(directory, &parent)? {
        Some(group) if scope == Scope::Journal && !is_linked => shared::set_group(file, group),
        _ => Ok(()),
    }
}

/// Whether other users shall use the files that this process makes in a directory. If that cannot be read, [`adopt`] returns the error.
pub(crate) fn makes_for_others(directory: &Path) -> bool {
    let is_shared = |found: &Metadata| shared::group_of(directory, found).map_or(true, |group| group.is_some());
    std::fs::metadata(directory).is_ok_and(|found| user() == 0 && found.uid() != 0 || is_shared(&found))
}

/// Like [`adopt`], for a directory.
pub(crate) fn adopt_path(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if !makes_for_others(parent_of(path)) {
        return Ok(());
    }
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    adopt(&File::options().read(true).custom_flags(flags).open(path)?, path, Scope::Journal)
}

/// Takes all rights of other users to a directory of this user, which becomes a journal. The mode of a volume, and of a directory that
/// is shared with a group, stays.
pub(crate) fn make_private(directory: &Path) -> std::io::Result<()> {
    let found = std::fs::metadata(directory)?;
    let is_mine = found.uid() == user() && found.mode() & 0o077 != 0;
    if !is_mine || found.mode() & (SET_GROUP | STICKY) != 0 || is_volume(directory, &found) {
        return Ok(());
    }
    std::fs::set_permissions(directory, Permissions::from_mode(found.mode() & 0o700))
}

/// A warning about a directory of this user that every user can list; `None` when there is none.
pub(crate) fn exposure(path: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let is_mine = found.uid() == user() && found.mode() & OTHERS_READ != 0;
    if !is_mine || found.is_dir() && is_volume(path, &found) {
        return None;
    }
    let (mode, path) = (found.mode() & 0o7777, path.display());
    Some(format!("Every user can look into {path} (mode {mode:04o}): `chmod go-rwx {path}` ends that."))
}
