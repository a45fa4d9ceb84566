//! The timer thread, one a process: it runs a round of fsyncs every [`SYNC_EVERY`], whether or not another event comes.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::os::fork;

/// How long a power cut can reach back under [`super::Durability::Process`].
pub const SYNC_EVERY: Duration = Duration::from_millis(200);

/// The generation that has a thread, plus one; a forked child starts its own.
static RUNNING: AtomicU64 = AtomicU64::new(0);
/// The thread, so that others can wake it early. Never freed: a forked child may still hold the pointer.
static THREAD: AtomicPtr<Thread> = AtomicPtr::new(std::ptr::null_mut());
static AT_EXIT: Once = Once::new();

/// Makes sure that this process has its thread, which calls `round`, and that a normal exit calls `leave`.
pub(super) fn start(round: fn(), leave: extern "C" fn()) {
    AT_EXIT.call_once(|| at_exit(leave));
    let mine = fork::generation() + 1;
    if RUNNING.swap(mine, Ordering::AcqRel) != mine {
        let _guard = fork::enter();
        let started = thread::Builder::new().name("plsync-sync".into()).spawn(move || run(round));
        if started.is_err() {
            RUNNING.store(0, Ordering::Release);
        }
    }
}

/// Whether the thread was started. The system may have refused it.
pub(super) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed) != 0
}

/// Forgets the thread, as if the system had refused it.
#[cfg(test)]
pub(super) fn forget() {
    RUNNING.store(0, Ordering::Release);
}

/// Starts the next round now, because a segment fills faster than the timer runs.
pub(super) fn wake() {
    // SAFETY: the pointer comes from Box::into_raw in `run` and is never freed. In a forked child the thread it names does
    // not exist, and waking it does nothing.
    if let Some(thread) = unsafe { THREAD.load(Ordering::Acquire).as_ref() } {
        thread.unpark();
    }
}

#[cfg(unix)]
fn at_exit(leave: extern "C" fn()) {
    // SAFETY: `leave` has the C calling convention, and this code is never unloaded before the process ends.
    unsafe { libc::atexit(leave) };
}

#[cfg(not(unix))]
fn at_exit(_leave: extern "C" fn()) {}

fn run(round: fn()) {
    THREAD.store(Box::into_raw(Box::new(thread::current())), Ordering::Release);
    loop {
        thread::park_timeout(SYNC_EVERY);
        round();
    }
}
