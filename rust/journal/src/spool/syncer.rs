//! The timer thread, one a process: brings every writer's frames to disk, whether or not another event comes.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{SYNC_EVERY, Shared};
use crate::process;

/// The generation that has a thread, plus one; a forked child starts its own.
static RUNNING: AtomicU64 = AtomicU64::new(0);
static AT_EXIT: Once = Once::new();

/// Makes sure that this process has its sync thread.
pub(super) fn wake() {
    AT_EXIT.call_once(register);
    let mine = process::generation() + 1;
    if RUNNING.swap(mine, Ordering::AcqRel) != mine {
        let started = thread::Builder::new().name("plsync-sync".into()).spawn(run);
        if started.is_err() {
            RUNNING.store(0, Ordering::Release);
        }
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
    loop {
        thread::sleep(SYNC_EVERY);
        for writer in Shared::all().filter_map(Shared::current) {
            writer.tick();
        }
    }
}
