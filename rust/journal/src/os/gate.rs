//! The gate: the checks that a file or directory passes before plsync uses it.
//!
//! A journal may lie where other users write, and its files may come from an archive. So plsync opens only regular files and
//! directories, follows no link, and waits for no FIFO or device. This user or root owns them, and no other user can write to them.
//! `docs/guarantees/security.md` has the rules for users.

use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use crate::{Error, Result};

#[cfg_attr(not(unix), path = "gate/no_owner.rs")]
mod owner;
mod refusal;
#[cfg(unix)]
mod shared;
#[cfg(unix)]
mod users;
#[cfg(target_os = "linux")]
pub(crate) use shared::{DIRECTORY as SHARED_DIRECTORY, FILE as SHARED_FILE, not_member, not_owner};
#[cfg(target_os = "linux")]
pub(crate) use users::{is_member, user};

pub(crate) use owner::{adopt_path, exposure, make_private, makes_for_others};
pub use refusal::{Purpose, TRUST_VARIABLE};
use refusal::{Scope, refused};

/// The use of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading a file of any owner. Nothing in it is trusted.
    ReadAny,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
    /// Reading and writing; a missing file is created.
    Create,
}

/// Checks a directory that the user named. The path may be a link of this user or root, and the directory is checked.
///
/// # Errors
///
/// [`Error::Refused`] states the owner or mode. A missing directory is an [`Error::Io`].
pub fn admit(directory: &Path, purpose: Purpose) -> Result<()> {
    admit_in(directory, purpose, Scope::Own)
}

/// Like [`admit`], for a journal, which may be shared with a group.
///
/// # Errors
///
/// As [`admit`].
pub fn admit_journal(directory: &Path, purpose: Purpose) -> Result<()> {
    admit_in(directory, purpose, Scope::Journal)
}

fn admit_in(directory: &Path, purpose: Purpose, scope: Scope) -> Result<()> {
    let named = look_at(directory)?;
    let found = if named.is_symlink() {
        std::fs::metadata(directory).map_err(Error::io("cannot open", directory))?
    } else {
        named.clone()
    };
    if !found.is_dir() {
        return Err(Error::io("cannot open", directory)(ErrorKind::NotADirectory.into()));
    }
    owner::check_named(directory, &named, &found, purpose, scope)
}

/// Checks a directory inside a directory that was admitted. It is no link.
pub fn check_directory(path: &Path) -> Result<()> {
    check_kind(path)?;
    owner::check_inside(path, &look_at(path)?, Scope::Own)
}

/// Like [`check_directory`], inside a journal.
pub(crate) fn check_inner_directory(path: &Path) -> Result<()> {
    check_kind(path)?;
    owner::check_inside(path, &look_at(path)?, Scope::Journal)
}

/// Checks that a name is a directory and no link, of any owner.
pub(crate) fn check_kind(path: &Path) -> Result<()> {
    let found = look_at(path)?;
    if found.is_dir() { Ok(()) } else { Err(wrong_kind(path, &found, "a directory")) }
}

/// Checks a file of a journal that is not opened here: LMDB opens its files by name. `write` also refuses a file with a second name.
pub fn check_file(path: &Path, write: bool) -> Result<()> {
    check(path, &look_at(path)?, if write { Access::Write } else { Access::Read }, Scope::Journal)
}

/// Opens a regular file in a directory that was admitted. Follows no link, and waits for no other process.
///
/// # Errors
///
/// [`Error::Refused`] states the kind of the file, or its owner. A missing file is an [`Error::Io`].
pub fn open_own(path: &Path, access: Access) -> Result<File> {
    open_in(path, access, Scope::Own)
}

/// Like [`open_own`], for a file of a journal, which may be shared with a group.
///
/// # Errors
///
/// As [`open_own`].
pub fn open(path: &Path, access: Access) -> Result<File> {
    open_in(path, access, Scope::Journal)
}

fn open_in(path: &Path, access: Access, scope: Scope) -> Result<File> {
    loop {
        let found = match look_at(path) {
            Err(error) if access == Access::Create && error.is_missing() => match create(path, scope) {
                // Another process was faster.
                Err(error) if error.io_cause().is_some_and(|cause| cause.kind() == ErrorKind::AlreadyExists) => {
                    continue;
                }
                created => return created,
            },
            found => found?,
        };
        check(path, &found, access, scope)?;
        let file = match options(access).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && access == Access::Create => continue,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(owner::denied(path, &found).unwrap_or_else(|| Error::io("cannot open", path)(error)));
            }
            Err(error) => return Err(Error::io("cannot open", path)(error)),
        };
        // The name may have got another file in between.
        check(path, &file.metadata().map_err(Error::io("cannot read", path))?, access, scope)?;
        return Ok(file);
    }
}

/// Makes a file of a journal that must not exist yet. The owner alone reads and writes it; in a shared journal the group does, too.
pub(crate) fn create_new(path: &Path) -> Result<File> {
    create(path, Scope::Journal)
}

/// Makes a file that must not exist yet, readable and writable by the owner alone.
pub(crate) fn create_own(path: &Path) -> Result<File> {
    create(path, Scope::Own)
}

fn create(path: &Path, scope: Scope) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(Error::io("cannot create", path))?;
    owner::adopt(&file, path, scope).map_err(Error::io("cannot change the owner of", path))?;
    Ok(file)
}

/// Whether a name exists, as a file of any kind. "Permission denied" is an error, and does not mean that it is missing.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    match look_at(path) {
        Ok(_) => Ok(true),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The metadata of a name; of a link itself, and not of its target.
fn look_at(path: &Path) -> Result<Metadata> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(owner::denied_above(path).unwrap_or_else(|| Error::io("cannot read", path)(error)))
        }
        found => found.map_err(Error::io("cannot read", path)),
    }
}

fn check(path: &Path, found: &Metadata, access: Access, scope: Scope) -> Result<()> {
    if !found.is_file() {
        return Err(wrong_kind(path, found, "a regular file"));
    }
    if matches!(access, Access::Write | Access::Create) && owner::names(found) > 1 {
        return Err(refused(
            path,
            "has a second name (a hard link), which a write would change too".into(),
            format!("remove the other name, or replace {} by a copy of itself", path.display()),
        ));
    }
    if access == Access::ReadAny { Ok(()) } else { owner::check_inside(path, found, scope) }
}

fn wrong_kind(path: &Path, found: &Metadata, wanted: &str) -> Error {
    let kind = if found.is_symlink() {
        "a symbolic link"
    } else if found.is_dir() {
        "a directory"
    } else if found.is_file() {
        "a file"
    } else {
        "a FIFO, a socket or a device"
    };
    let remedy = format!("plsync did not make it: move {} away, then try again", path.display());
    refused(path, format!("is {kind}, not {wanted}"), remedy)
}

fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(matches!(access, Access::Write | Access::Create));
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

#[cfg(all(test, unix))]
mod tests;
