//! The timer thread, one a process: brings every writer's frames to disk, whether or not another event comes.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread::{self, Thread};

use super::{SYNC_EVERY, Shared};
use crate::os::fork;

/// The generation that has a thread, plus one; a forked child starts its own.
static RUNNING: AtomicU64 = AtomicU64::new(0);
/// The thread, for whoever wants it to look before its time. Never freed: a forked child may still hold the pointer.
static THREAD: AtomicPtr<Thread> = AtomicPtr::new(std::ptr::null_mut());
static AT_EXIT: Once = Once::new();

/// Makes sure that this process has its sync thread.
pub(super) fn wake() {
    AT_EXIT.call_once(register);
    let mine = fork::generation() + 1;
    if RUNNING.swap(mine, Ordering::AcqRel) != mine {
        let _guard = fork::enter();
        let started = thread::Builder::new().name("plsync-sync".into()).spawn(run);
        if started.is_err() {
            RUNNING.store(0, Ordering::Release);
        }
    }
}

/// Whether the thread was started; it may have been one too many for the system.
pub(super) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed) != 0
}

/// Has the thread look now: a segment is filling faster than it comes by.
pub(super) fn nudge() {
    // SAFETY: the pointer comes from Box::into_raw in `run` and is never freed. In a forked child the thread it names does
    // not exist, and waking it does nothing.
    if let Some(thread) = unsafe { THREAD.load(Ordering::Acquire).as_ref() } {
        thread.unpark();
    }
}

/// At a normal exit the unused part of each segment is given back: many short processes then leave little behind.
#[cfg(unix)]
fn register() {
    extern "C" fn leave() {
        for writer in Shared::all().filter_map(Shared::current) {
            writer.trim();
            writer.lock.save();
        }
    }
    // SAFETY: `leave` has the C calling convention, and this code is never unloaded before the process ends.
    unsafe { libc::atexit(leave) };
}

#[cfg(not(unix))]
fn register() {}

fn run() {
    THREAD.store(Box::into_raw(Box::new(thread::current())), Ordering::Release);
    loop {
        thread::park_timeout(SYNC_EVERY);
        for writer in Shared::all().filter_map(Shared::current) {
            writer.tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Event;
    use crate::state::{Ended, Kind};
    use crate::{Durability, RecordId, Spool};

    /// Set in a process that runs one test alone: others start the thread as well.
    const ALONE: &str = "PLSYNC_TEST_ALONE";

    #[test]
    fn a_thread_that_could_not_be_started_is_started_with_a_later_event() {
        if std::env::var_os(ALONE).is_none() {
            let name = "spool::fsync_thread::tests::a_thread_that_could_not_be_started_is_started_with_a_later_event";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
            assert!(
                output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
                "{output:?}"
            );
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("journal"), Durability::Process).unwrap();
        let id = RecordId::new();
        let event = Event { kind: Kind::Raw, ended: Ended::No, flags: 0, lane: 0, id, labels: &[], body: b"event" };
        spool.append(&event).unwrap();
        RUNNING.store(0, Ordering::Release);
        spool.append(&event).unwrap();
        assert!(is_running());
    }
}
