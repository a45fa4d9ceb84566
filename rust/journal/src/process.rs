//! What tells one process from another: fork generations, and the files a child must let go.

use std::fs::File;
use std::ops::Deref;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::unforked;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static HOOK: Once = Once::new();

/// Descriptors that a forked child closes at once: a lock the child kept would make its dead parent look alive.
static INHERITED: [AtomicI32; 1024] = [const { AtomicI32::new(-1) }; 1024];

/// A number that differs between a process and each of its forked children.
///
/// State stamped with another generation was inherited through `fork` and must not be used.
pub(crate) fn generation() -> u64 {
    watch_forks();
    GENERATION.load(Ordering::Relaxed)
}

/// Has forks noticed from now on.
pub(crate) fn watch_forks() {
    HOOK.call_once(install);
}

#[cfg(unix)]
fn install() {
    unsafe extern "C" fn before_fork() {
        unforked::before_fork();
    }
    unsafe extern "C" fn after_fork_in_parent() {
        unforked::after_fork_in_parent();
    }
    unsafe extern "C" fn after_fork_in_child() {
        unforked::after_fork_in_child();
        GENERATION.fetch_add(1, Ordering::Relaxed);
        for slot in &INHERITED {
            let fd = slot.swap(-1, Ordering::Relaxed);
            if fd >= 0 {
                // SAFETY: close is async-signal-safe, and `fd` was registered by its owner, whose copy in this
                // process is never used again because its generation no longer matches.
                unsafe { libc::close(fd) };
            }
        }
    }
    // SAFETY: in the child the handler only touches atomics and close(2), both allowed between fork and exec; the others run in the
    // process as it was.
    unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
}

#[cfg(not(unix))]
fn install() {}

/// Closes `file`'s descriptor in children forked from now on. Returns a ticket for [`keep_in_child`].
///
/// When all places are taken the file is not registered: a child then keeps it, which delays clean-up and loses nothing.
#[cfg(unix)]
pub(crate) fn close_in_child(file: &File) -> Option<usize> {
    use std::os::fd::AsRawFd;
    watch_forks();
    let fd = file.as_raw_fd();
    INHERITED.iter().position(|slot| slot.compare_exchange(-1, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok())
}

#[cfg(not(unix))]
pub(crate) fn close_in_child(_file: &File) -> Option<usize> {
    None
}

/// Takes back a registration before its file is closed here.
pub(crate) fn keep_in_child(ticket: Option<usize>) {
    if let Some(ticket) = ticket {
        INHERITED[ticket].store(-1, Ordering::Relaxed);
    }
}

/// A file to be locked that children forked from now on let go of at once. What is locked is the open file, which a child
/// shares: in it the lock would outlive the work it was taken for, and the process.
pub(crate) struct Unshared {
    file: File,
    ticket: Option<usize>,
}

impl Unshared {
    /// Opens it, with no fork in between.
    pub(crate) fn open<E>(open: impl FnOnce() -> Result<File, E>) -> Result<Self, E> {
        let _work = unforked::begin();
        open().map(|file| Self { ticket: close_in_child(&file), file })
    }
}

impl Deref for Unshared {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Unshared {
    fn drop(&mut self) {
        keep_in_child(self.ticket);
    }
}

/// The id of this boot, zeros where the system has none.
pub(crate) fn boot_id() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| crate::RecordId::from_hex(&text.trim().replace('-', "")))
        .map_or([0; 16], |id| id.0)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write, pipe};

    use crate::fs::open_lock;

    #[test]
    fn a_lock_does_not_live_on_in_a_child() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = open_lock(&path).unwrap();
        lock.lock().unwrap();
        let (mut wait, over) = pipe().unwrap();
        let (mut begun, mut begins) = pipe().unwrap();
        // SAFETY: the child writes to a pipe, reads from another and ends, all of which are allowed between fork and exec.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(over);
            let _ = begins.write(&[0]);
            let _ = wait.read(&mut [0]);
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(0) };
        }
        begun.read_exact(&mut [0]).unwrap();
        drop(lock);
        assert!(open_lock(&path).unwrap().try_lock().is_ok());
        drop(over);
        // SAFETY: the child is this process's own, and nobody else waits for it.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
}
