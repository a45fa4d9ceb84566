//! The file operations of a journal, with the permissions it promises: files 0600, directories 0700. A journal that is shared with a
//! group has 0660 and 2770.

use std::fs::{DirBuilder, File, Metadata};
use std::path::Path;

use super::fork::CloseOnFork;
pub(crate) use super::gate::create_new;
use super::gate::{self, Access};
use crate::{Error, Result};

/// Makes a directory and its parents, readable by the owner alone. Their names are synced on return.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && matches!(dir.try_exists(), Ok(false));
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(Error::io("cannot create", path))?;
    missing.into_iter().try_for_each(sync_name)
}

/// Makes a directory inside a journal. Like the journal's files, it belongs to the owner of the journal.
pub(crate) fn make_inner_dir(path: &Path) -> Result<()> {
    make_dir(path)?;
    gate::adopt_path(path).map_err(Error::io("cannot change the owner of", path))
}

/// Makes a directory inside a journal, or checks the one that is there.
///
/// # Errors
///
/// [`Error::Refused`]: something else has the name, or the directory belongs to another user.
pub fn ensure_inner_dir(path: &Path) -> Result<()> {
    match gate::check_inner_directory(path) {
        Err(error) if error.is_missing() => make_inner_dir(path),
        checked => checked,
    }
}

/// Opens a file for its lock; makes it when it does not exist.
pub(crate) fn open_lock(path: &Path) -> Result<CloseOnFork> {
    CloseOnFork::open(|| gate::open(path, Access::Create))
}

/// Syncs the names in a directory, where the file system supports that.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    // Windows has no handle for this and needs none: NTFS journals names.
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(path).map_err(Error::io("cannot sync", path))?.sync_all() {
        // Some file systems in user space cannot sync a directory. PostgreSQL and SQLite ignore that error too.
        Err(error) if is_unsupported(&error) => Ok(()),
        synced => synced.map_err(Error::io("cannot sync", path)),
    }
}

#[cfg(unix)]
fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EBADF | libc::ENOSYS | libc::ENOTSUP))
}

#[cfg(not(unix))]
fn is_unsupported(_: &std::io::Error) -> bool {
    false
}

/// Syncs the name of a file or directory in its parent directory.
pub(crate) fn sync_name(path: &Path) -> Result<()> {
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    match parent.map_or(Ok(()), sync_dir) {
        // The directory may be written to but not read, so it cannot be synced.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Replaces a small file atomically: after a crash it holds the old bytes or the new bytes, and never a mix.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let temporary = path.with_extension(format!("tmp-{}", crate::RecordId::new().hex()));
    let mut file = create_new(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(Error::io("cannot write", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

#[cfg(unix)]
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], offset + done as u64)? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => done += written,
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

/// The first offset from `at` on that may hold data. A hole of a sparse file has only zeros, and is skipped without a read.
#[cfg(target_os = "linux")]
pub(crate) fn next_data(file: &File, at: u64) -> u64 {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => data.max(at),
        // The rest is a hole, or the file ends before.
        Err(rustix::io::Errno::NXIO) => file.metadata().map_or(at, |meta| meta.len().max(at)),
        Err(_) => at,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn next_data(_file: &File, at: u64) -> u64 {
    at
}

/// The first offset from `at` on where a hole begins. The end of a file counts as one.
#[cfg(target_os = "linux")]
pub(crate) fn next_hole(file: &File, at: u64) -> u64 {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(at)) {
        Ok(hole) => hole.max(at),
        Err(rustix::io::Errno::NXIO) => at,
        Err(_) => u64::MAX,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn next_hole(_file: &File, _at: u64) -> u64 {
    u64::MAX
}

/// Sets the modification time of a file to the time of the clock. Only the owner of a file sets it exactly. For others the kernel sets
/// the time of its last tick.
pub(crate) fn touch(file: &File) -> std::io::Result<()> {
    match file.set_modified(std::time::SystemTime::now()) {
        #[cfg(unix)]
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            // The right to write suffices only if both times are the present.
            Ok(futimens(file, &Timestamps { last_access: now, last_modification: now })?)
        }
        set => set,
    }
}

/// Sets the modification time of a file, in seconds and nanoseconds since the epoch. It needs no disk space and no descriptor.
#[cfg(unix)]
pub(crate) fn set_time(path: &Path, seconds: u64, nanoseconds: u32) -> std::io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
    let seconds = seconds.try_into().map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let kept = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let modified = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: kept, last_modification: modified };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(not(unix))]
pub(crate) fn set_time(_path: &Path, _seconds: u64, _nanoseconds: u32) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Whether this user can make files in a directory: its mode and its file system permit it.
#[cfg(unix)]
pub(crate) fn is_writable(directory: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use rustix::io::Errno;
    // Any other failure is reported by the operation that meets it.
    !matches!(
        accessat(CWD, directory, Access::WRITE_OK, AtFlags::EACCESS),
        Err(Errno::ACCESS | Errno::ROFS | Errno::PERM)
    )
}

#[cfg(not(unix))]
pub(crate) fn is_writable(_directory: &Path) -> bool {
    true
}

/// Whether the file system of a directory is mounted read-only.
#[cfg(unix)]
pub(crate) fn is_on_read_only_fs(directory: &Path) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

#[cfg(not(unix))]
pub(crate) fn is_on_read_only_fs(_directory: &Path) -> bool {
    false
}

/// Whether an open file is no longer the file under its name: it was removed, or moved away with its directory.
pub(crate) fn is_displaced(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(opened), Ok(named)) => !is_same(&opened, &named),
        (_, Err(error)) => matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory),
        _ => false,
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_syncs_no_directories_can_hold_a_journal() {
        assert_eq!(File::open("/proc").unwrap().sync_all().unwrap_err().raw_os_error(), Some(libc::EINVAL));
        sync_dir(Path::new("/proc")).unwrap();
        assert!(sync_dir(Path::new("/proc/missing")).is_err());
    }
}

#[cfg(all(test, unix))]
mod lock_tests {
    use std::io::{Read, Write, pipe};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_forked_child_does_not_keep_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = open_lock(&path).unwrap();
        lock.lock().unwrap();
        let (mut exit, parent_done) = pipe().unwrap();
        let (mut started, mut starting) = pipe().unwrap();
        // SAFETY: the child writes to a pipe, reads from another and ends, all of which are allowed between fork and exec.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(parent_done);
            let _ = starting.write(&[0]);
            let _ = exit.read(&mut [0]);
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(0) };
        }
        started.read_exact(&mut [0]).unwrap();
        drop(lock);
        // A child that another test forks at this moment has the lock until it closes the file.
        let deadline = Instant::now() + Duration::from_mins(1);
        while open_lock(&path).unwrap().try_lock().is_err() {
            assert!(Instant::now() < deadline, "the child has the lock");
        }
        drop(parent_done);
        // SAFETY: the child is this process's own, and no other thread waits for it.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
}
