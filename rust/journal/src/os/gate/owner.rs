//! Owners and modes on Unix.

use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use crate::os::gate::refusal::{Purpose, TRUST_VARIABLE, is_trusted, refused};
use crate::{Error, Result};

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;
const STICKY: u32 = 0o1000;
const SET_GROUP: u32 = 0o2000;

fn user() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// Checks a directory that the user named, and the link by which it was named.
pub(super) fn check_named(path: &Path, named: &Metadata, found: &Metadata, purpose: Purpose) -> Result<()> {
    for meta in [named, found] {
        let is_own = meta.uid() == user() || meta.uid() == 0;
        let may_look = user() == 0 && purpose == Purpose::Look;
        if !(is_own || may_look || is_trusted(path)) {
            return Err(foreign(path, meta));
        }
    }
    let mode = found.mode();
    let is_shared = mode & OTHERS_WRITE != 0 && !is_safe_to_share(path, found)
        || mode & GROUP_WRITE != 0 && mode & OTHERS_WRITE == 0 && !is_safe_in_group(found, found);
    if is_shared && !is_trusted(path) { Err(writable(path, found)) } else { Ok(()) }
}

/// Checks a file or directory by the directory that it is in.
pub(super) fn check_inside(path: &Path, found: &Metadata) -> Result<()> {
    let is_own = found.uid() == user() || found.uid() == 0;
    let mode = found.mode();
    if is_own && mode & (GROUP_WRITE | OTHERS_WRITE) == 0 {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = std::fs::metadata(parent).map_err(Error::io("cannot open", parent))?;
    // Root may look at a journal of one other user.
    let is_owned = is_own || user() == 0 && found.uid() == parent.uid();
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

fn is_member(group: u32) -> bool {
    let mut groups = [0; 1024];
    // SAFETY: the buffer has room for the number of groups that is passed. getegid has no preconditions.
    let (number, own) = unsafe { (libc::getgroups(1024, groups.as_mut_ptr()), libc::getegid()) };
    own == group || groups[..usize::try_from(number).unwrap_or(0)].contains(&group)
}

fn is_volume(path: &Path, found: &Metadata) -> bool {
    std::fs::metadata(path.join("..")).is_ok_and(|above| above.dev() != found.dev())
}

fn foreign(path: &Path, found: &Metadata) -> Error {
    let reason = format!("belongs to {}, and this process runs as {}", name(found.uid()), name(user()));
    let trusting = trusting(path, "if you trust that user");
    refused(path, reason, format!("run as {}, choose another path, or set {trusting}", name(found.uid())))
}

fn writable(path: &Path, found: &Metadata) -> Error {
    let mode = found.mode() & 0o7777;
    let writers = if mode & OTHERS_WRITE != 0 { "every user".to_owned() } else { format!("its group {}", found.gid()) };
    let bits = if mode & OTHERS_WRITE != 0 { "go-w" } else { "g-w" };
    let remedy = format!(
        "run `chmod {bits} {}`, choose a directory inside it, or set {}",
        path.display(),
        trusting(path, "if you trust those users")
    );
    refused(path, format!("can be written to by {writers} (mode {mode:04o})"), remedy)
}

fn trusting(path: &Path, condition: &str) -> String {
    let directory = if path.is_dir() { Some(path) } else { path.parent() }.unwrap_or(path);
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    format!("{TRUST_VARIABLE}={} {condition}", directory.display())
}

/// The refusal of a file that the system does not open for this user.
pub(super) fn denied(path: &Path, found: &Metadata) -> Option<Error> {
    if found.uid() == user() {
        return None;
    }
    let reason = format!("belongs to {}, and {} may not open it", name(found.uid()), name(user()));
    let owner = path.parent().and_then(|parent| std::fs::metadata(parent).ok()).map_or(user(), |parent| parent.uid());
    let remedy = if owner == user() {
        format!("root left it there: run `sudo chown -R {owner} {}`", path.parent().unwrap_or(path).display())
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

fn name(user: u32) -> String {
    if user == 0 { "root".to_owned() } else { format!("user {user}") }
}

/// The number of names of a file.
pub(super) fn names(found: &Metadata) -> u64 {
    found.nlink()
}

/// Makes the owner of a directory the owner of a file that root has made in it. Otherwise that user could not use the file.
pub(crate) fn adopt(file: &File, path: &Path) -> std::io::Result<()> {
    if user() != 0 {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = std::fs::metadata(parent)?;
    let made = file.metadata()?;
    if parent.uid() == 0 || made.uid() != 0 || made.is_file() && made.nlink() != 1 {
        return Ok(());
    }
    fchown(file, Some(parent.uid()), Some(parent.gid()))
}

/// Whether files that this process makes in a directory belong to another user.
pub(crate) fn makes_for_another(directory: &Path) -> bool {
    user() == 0 && std::fs::metadata(directory).is_ok_and(|found| found.uid() != 0)
}

/// Like [`adopt`], for a directory.
pub(crate) fn adopt_path(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if user() != 0 {
        return Ok(());
    }
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    adopt(&File::options().read(true).custom_flags(flags).open(path)?, path)
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
