//! Disk space: how much is free, and its allocation to parts of a file. Where a system or file system lacks an operation, it does nothing.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::Path;

/// Bytes of disk space that this user can still allocate in a directory; `None` on systems that do not report them.
#[cfg(unix)]
pub(crate) fn available(directory: &Path) -> Option<u64> {
    let found = statvfs(directory)?;
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    // Some file systems keep blocks for root alone.
    let blocks = if is_root { found.f_bfree } else { found.f_bavail };
    // The fields are narrower on some systems.
    #[allow(clippy::useless_conversion)]
    Some(u64::from(blocks).saturating_mul(u64::from(found.f_frsize)))
}

#[cfg(not(unix))]
pub(crate) fn available(_directory: &Path) -> Option<u64> {
    None
}

/// Whether the file system of a file, which may be missing, can hold no further file, although it may have free space.
#[cfg(unix)]
pub fn lacks_inodes(file: &Path) -> bool {
    // The failed operation may have removed its first files again.
    const FEW: u64 = 8;
    // A file system without a fixed number of files reports 0.
    let found = file.ancestors().find_map(statvfs);
    #[allow(clippy::useless_conversion)]
    found.is_some_and(|found| found.f_files > 0 && u64::from(found.f_favail) < FEW)
}

#[cfg(not(unix))]
pub fn lacks_inodes(_file: &Path) -> bool {
    false
}

#[cfg(unix)]
fn statvfs(directory: &Path) -> Option<libc::statvfs> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(directory.as_os_str().as_bytes()).ok()?;
    let mut found = std::mem::MaybeUninit::uninit();
    // SAFETY: the path ends with a zero byte, and `found` has room for the result, which is complete after a success.
    unsafe { (libc::statvfs(path.as_ptr(), found.as_mut_ptr()) == 0).then(|| found.assume_init()) }
}

/// The largest file in bytes that this process may write (`ulimit -f`); `None` without a limit.
#[cfg(unix)]
pub(crate) fn file_size_limit() -> Option<u64> {
    let mut found = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `found` has room for the result.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut found) } == 0;
    (read && found.rlim_cur != libc::RLIM_INFINITY).then_some(found.rlim_cur)
}

#[cfg(not(unix))]
pub(crate) fn file_size_limit() -> Option<u64> {
    None
}

/// Bytes of disk space that a file occupies within its length. Beyond its end it has `behind` bytes.
#[cfg(unix)]
pub(crate) fn occupied(meta: &Metadata, behind: u64) -> u64 {
    use std::os::unix::fs::MetadataExt;
    meta.blocks().saturating_mul(512).saturating_sub(behind).min(meta.len())
}

#[cfg(not(unix))]
pub(crate) fn occupied(meta: &Metadata, _behind: u64) -> u64 {
    meta.len()
}

/// Bytes of disk space that a file without holes occupies behind its end.
#[cfg(unix)]
pub(crate) fn behind_end(meta: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    meta.blocks().saturating_mul(512).saturating_sub(meta.len().next_multiple_of(4096))
}

#[cfg(not(unix))]
pub(crate) fn behind_end(_meta: &Metadata) -> u64 {
    0
}

/// Allocates disk space for a part of a file, also behind its end. Length and content stay.
#[cfg(target_os = "linux")]
pub(crate) fn allocate(file: &File, part: Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    Ok(fallocate(file, FallocateFlags::KEEP_SIZE, part.start, part.end - part.start)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn allocate(_file: &File, _part: Range<u64>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns the disk space of a part of a file, which has zeros afterwards.
#[cfg(target_os = "linux")]
pub(crate) fn punch(file: &File, part: Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, part.start, part.end - part.start)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn punch(_file: &File, _part: Range<u64>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
