//! Work on a store that no fork cuts in two.
//!
//! A child has none of its parent's threads. A lock that one of them held would be held in the child for ever: ours, heed's over
//! its environments, those inside LMDB, or the C library's state of a thread that is being started. So a fork waits until no thread
//! is at work in a store, and none begins meanwhile.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

use crate::{Error, Result, process};

/// How long a fork waits for the work of others. A commit takes milliseconds; waiting for another process may take any time.
#[cfg(unix)]
const PATIENCE: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(10) };
const PAUSE: Duration = Duration::from_micros(100);

/// Threads that are at work, and threads that fork.
static WORKING: AtomicUsize = AtomicUsize::new(0);
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// Whether this process was forked in the middle of some work, because it took too long.
static TORN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How many pieces of work this thread is in, one inside the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A piece of work, for as long as it lives.
pub(crate) struct Work(());

/// Begins a piece of work, when nobody forks. Fails in a child that was forked in the middle of another's.
pub(crate) fn begin() -> Result<Work> {
    process::watch_forks();
    if DEPTH.get() == 0 {
        // Sequentially consistent, as in `before_fork`: one of the two sees the other.
        WORKING.fetch_add(1, Ordering::SeqCst);
        while FORKING.load(Ordering::SeqCst) > 0 {
            WORKING.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(PAUSE);
            WORKING.fetch_add(1, Ordering::SeqCst);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let work = Work(());
    if TORN.load(Ordering::Relaxed) { Err(Error::Torn) } else { Ok(work) }
}

impl Drop for Work {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            WORKING.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(unix)]
pub(crate) fn before_fork() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    let own = usize::from(DEPTH.get() > 0);
    let until = Instant::now() + PATIENCE;
    while WORKING.load(Ordering::SeqCst) > own && Instant::now() < until {
        thread::sleep(PAUSE);
    }
}

#[cfg(unix)]
pub(crate) fn after_fork_in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

#[cfg(unix)]
pub(crate) fn after_fork_in_child() {
    let own = usize::from(DEPTH.get() > 0);
    if WORKING.load(Ordering::SeqCst) > own {
        TORN.store(true, Ordering::Relaxed);
    }
    WORKING.store(own, Ordering::SeqCst);
    FORKING.store(0, Ordering::SeqCst);
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Whether a child that is forked now can begin some work.
    fn child_can_work() -> bool {
        // SAFETY: the child touches atomics and ends, both of which are allowed between fork and exec.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(begin().is_err());
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the child is this process's own, and nobody else waits for it.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        libc::WEXITSTATUS(status) == 0
    }

    #[test]
    fn a_fork_waits_for_work_and_a_child_of_what_took_too_long_is_told() {
        let (begun, wait) = std::sync::mpsc::channel();
        let (over, end) = std::sync::mpsc::channel::<()>();
        let working = thread::spawn(move || {
            let _work = begin().unwrap();
            begun.send(()).unwrap();
            let _ = end.recv();
        });
        wait.recv().unwrap();
        assert!(!child_can_work());
        drop(over);
        working.join().unwrap();
        assert!(child_can_work());
        assert!(begin().is_ok(), "the parent goes on");
    }
}
