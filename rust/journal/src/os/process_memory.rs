//! The memory of this process, as the system counts it.

/// Bytes of address space that this process may still map (`ulimit -v`); `None` without a limit.
#[cfg(target_os = "linux")]
pub(crate) fn address_space_left() -> Option<u64> {
    let mut found = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `found` has room for the result.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut found) } == 0;
    (read && found.rlim_cur != libc::RLIM_INFINITY).then(|| found.rlim_cur.saturating_sub(counted(0)))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn address_space_left() -> Option<u64> {
    None
}

/// Resident bytes of mapped files of this process; 0 on systems that do not report them.
pub(crate) fn resident_of_files() -> u64 {
    counted(2)
}

/// Returns freed memory to the system. glibc keeps pieces of many megabytes for later.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn return_freed() {
    // SAFETY: malloc_trim has no preconditions.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_freed() {}

/// A field of `/proc/self/statm`, in bytes.
fn counted(field: usize) -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(field).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * page_size()
}

#[cfg(unix)]
fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(not(unix))]
fn page_size() -> u64 {
    4096
}
