//! The timer thread, one a process: brings every writer's frames to disk, whether or not another event comes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{SYNC_EVERY, Shared};
use crate::process;

/// The generation that has a thread, plus one; a forked child starts its own.
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// Makes sure that this process has its sync thread.
pub(super) fn wake() {
    let mine = process::generation() + 1;
    if RUNNING.swap(mine, Ordering::AcqRel) != mine {
        let started = thread::Builder::new().name("plsync-sync".into()).spawn(run);
        if started.is_err() {
            RUNNING.store(0, Ordering::Release);
        }
    }
}

fn run() {
    loop {
        thread::sleep(SYNC_EVERY);
        for writer in Shared::all().filter_map(Shared::current) {
            writer.tick();
        }
    }
}
