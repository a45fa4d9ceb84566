//! What tells one process from another: fork generations, and the files a child must let go.

use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static HOOK: Once = Once::new();

/// Descriptors that a forked child closes at once: a lock the child kept would make its dead parent look alive.
static INHERITED: [AtomicI32; 1024] = [const { AtomicI32::new(-1) }; 1024];

/// A number that differs between a process and each of its forked children.
///
/// State stamped with another generation was inherited through `fork` and must not be used.
pub(crate) fn generation() -> u64 {
    HOOK.call_once(install);
    GENERATION.load(Ordering::Relaxed)
}

#[cfg(unix)]
fn install() {
    unsafe extern "C" fn after_fork_in_child() {
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
    // SAFETY: the handler only touches atomics and close(2), both allowed between fork and exec.
    unsafe { libc::pthread_atfork(None, None, Some(after_fork_in_child)) };
}

#[cfg(not(unix))]
fn install() {}

/// Closes `file`'s descriptor in children forked from now on. Returns a ticket for [`keep_in_child`].
///
/// When all places are taken the file is not registered: a child then keeps it, which delays clean-up and loses nothing.
#[cfg(unix)]
pub(crate) fn close_in_child(file: &std::fs::File) -> Option<usize> {
    use std::os::fd::AsRawFd;
    HOOK.call_once(install);
    let fd = file.as_raw_fd();
    INHERITED.iter().position(|slot| slot.compare_exchange(-1, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok())
}

#[cfg(not(unix))]
pub(crate) fn close_in_child(_file: &std::fs::File) -> Option<usize> {
    None
}

/// Takes back a registration before its file is closed here.
pub(crate) fn keep_in_child(ticket: Option<usize>) {
    if let Some(ticket) = ticket {
        INHERITED[ticket].store(-1, Ordering::Relaxed);
    }
}

/// The id of this boot, zeros where the system has none.
pub(crate) fn boot_id() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| crate::RecordId::from_hex(&text.trim().replace('-', "")))
        .map_or([0; 16], |id| id.0)
}
