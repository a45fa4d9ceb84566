//! Fork safety: a guard around work on a store, a number that changes with every fork, and files that a child closes.
//!
//! A child does not have the other threads of its parent. A lock that such a thread held stays held in the child. The locks at risk are
//! those in this crate, in heed, in LMDB, and in the C library while it starts a thread. So a fork waits until no thread works on a
//! store, and no thread starts such work during the fork.

use std::cell::Cell;
use std::fs::File;
use std::ops::Deref;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

use crate::{Error, Result};

/// How long a fork waits for other threads. A commit takes milliseconds; work that waits for another process has no bound.
#[cfg(unix)]
const MAX_WAIT: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(10) };
const POLL: Duration = Duration::from_micros(100);

static GENERATION: AtomicU64 = AtomicU64::new(0);
static HANDLERS: Once = Once::new();

/// Threads that work on a store, and threads that fork.
static WORKING: AtomicUsize = AtomicUsize::new(0);
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// Whether the fork that made this process gave up waiting for a thread of the parent.
static POISONED: AtomicBool = AtomicBool::new(false);

/// The most descriptors that a forked child closes. The writer of a journal has two until its process ends.
const MAX_CLOSED: usize = 1 << 16;
/// Descriptors plus 1 that a forked child closes at once: a lock that the child kept would make its dead parent look alive. 0 is free.
static CLOSED_ON_FORK: [AtomicI32; MAX_CLOSED] = [const { AtomicI32::new(0) }; MAX_CLOSED];
/// The places above were never taken.
static CLOSED_UNTIL: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// How many guards this thread holds.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Keeps forks waiting for as long as it lives.
pub(crate) struct Guard(());

/// Starts work on a store, once no thread forks. Fails in a child whose fork cut off a thread of the parent.
pub(crate) fn enter() -> Result<Guard> {
    install_handlers();
    if DEPTH.get() == 0 {
        // Sequentially consistent, as in `before_fork`: either this thread sees the fork, or the fork sees this thread.
        WORKING.fetch_add(1, Ordering::SeqCst);
        while FORKING.load(Ordering::SeqCst) > 0 {
            WORKING.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(POLL);
            WORKING.fetch_add(1, Ordering::SeqCst);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let guard = Guard(());
    if POISONED.load(Ordering::Relaxed) { Err(Error::PoisonedByFork) } else { Ok(guard) }
}

impl Drop for Guard {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            WORKING.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A number that differs between a process and each of its forked children.
///
/// A child must not use state stamped with another generation: that state belongs to its parent.
pub fn generation() -> u64 {
    install_handlers();
    GENERATION.load(Ordering::Relaxed)
}

/// Registers the fork handlers, once a process.
pub(crate) fn install_handlers() {
    HANDLERS.call_once(install);
}

#[cfg(unix)]
fn install() {
    // SAFETY: in the child the handler only touches atomics, a thread-local number without a destructor, and close(2). All are allowed
    // between fork and exec. The other two handlers run in the parent, where everything is allowed.
    unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
}

#[cfg(not(unix))]
fn install() {}

#[cfg(unix)]
unsafe extern "C" fn before_fork() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    let own = usize::from(DEPTH.get() > 0);
    let until = Instant::now() + MAX_WAIT;
    while WORKING.load(Ordering::SeqCst) > own && Instant::now() < until {
        thread::sleep(POLL);
    }
}

#[cfg(unix)]
unsafe extern "C" fn after_fork_in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

#[cfg(unix)]
unsafe extern "C" fn after_fork_in_child() {
    let own = usize::from(DEPTH.get() > 0);
    if WORKING.load(Ordering::SeqCst) > own {
        POISONED.store(true, Ordering::Relaxed);
    }
    WORKING.store(own, Ordering::SeqCst);
    FORKING.store(0, Ordering::SeqCst);
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for slot in &CLOSED_ON_FORK[..CLOSED_UNTIL.load(Ordering::Relaxed)] {
        let fd = slot.swap(0, Ordering::Relaxed) - 1;
        if fd >= 0 {
            // SAFETY: close is async-signal-safe, and `fd` was registered by its owner, whose copy in this process is never used
            // again because its generation no longer matches.
            unsafe { libc::close(fd) };
        }
    }
}

/// A place in [`CLOSED_ON_FORK`]; `None` when all places were taken. A child then keeps the file, which delays clean-up and loses nothing.
pub(crate) type Slot = Option<usize>;

/// Closes `file`'s descriptor in children forked from now on, until [`unregister`] gets the slot.
#[cfg(unix)]
pub(crate) fn register(file: &File) -> Slot {
    use std::os::fd::AsRawFd;
    install_handlers();
    let fd = file.as_raw_fd() + 1;
    let is_free = |slot: &AtomicI32| slot.load(Ordering::Relaxed) == 0;
    let take = |place: usize| {
        // First: a child looks at no place above.
        CLOSED_UNTIL.fetch_max(place + 1, Ordering::Relaxed);
        CLOSED_ON_FORK[place].compare_exchange(0, fd, Ordering::Release, Ordering::Relaxed).is_ok()
    };
    (0..MAX_CLOSED).find(|place| is_free(&CLOSED_ON_FORK[*place]) && take(*place))
}

#[cfg(not(unix))]
pub(crate) fn register(_file: &File) -> Slot {
    None
}

/// Frees a slot before its file is closed in this process.
pub(crate) fn unregister(slot: Slot) {
    if let Some(slot) = slot {
        CLOSED_ON_FORK[slot].store(0, Ordering::Relaxed);
    }
}

/// A file for a lock, which forked children close at once. A file lock belongs to the open file, and a child shares that: in the child
/// the lock would outlive its work and its process.
pub(crate) struct CloseOnFork {
    file: File,
    slot: Slot,
}

impl CloseOnFork {
    /// Opens the file, with no fork in between.
    pub(crate) fn open<E>(open: impl FnOnce() -> std::result::Result<File, E>) -> std::result::Result<Self, E> {
        let _guard = enter();
        open().map(|file| Self { slot: register(&file), file })
    }
}

impl Deref for CloseOnFork {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for CloseOnFork {
    fn drop(&mut self) {
        // A child that was forked before `file` is closed, and after its place is free, shares the open file and its lock.
        let _ = self.file.unlock();
        unregister(self.slot);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Whether a child that is forked now can start work.
    fn child_can_work() -> bool {
        // SAFETY: the child touches atomics and ends, both of which are allowed between fork and exec.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(enter().is_err());
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the child is this process's own, and no other thread waits for it.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        libc::WEXITSTATUS(status) == 0
    }

    #[test]
    fn a_child_keeps_no_lock_that_another_thread_is_about_to_close() {
        use std::os::fd::AsRawFd;
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        static OVER: AtomicBool = AtomicBool::new(false);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let thread = thread::spawn(move || {
            while !OVER.load(Ordering::Relaxed) {
                let file = CloseOnFork::open(|| File::create(&path)).unwrap();
                file.lock().unwrap();
                drop(file);
                TAKEN.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..2000 {
            let (waiting, end) = std::io::pipe().unwrap();
            // SAFETY: the child closes, reads and ends, which are allowed between fork and exec.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let mut byte = 0_u8;
                // SAFETY: both descriptors are open, and the buffer has one byte. The other calls have no preconditions.
                unsafe {
                    libc::alarm(20);
                    libc::close(end.as_raw_fd());
                    libc::read(waiting.as_raw_fd(), (&raw mut byte).cast(), 1);
                    libc::_exit(0);
                }
            }
            let before = TAKEN.load(Ordering::Relaxed);
            let until = Instant::now() + Duration::from_secs(10);
            while TAKEN.load(Ordering::Relaxed) < before + 2 && Instant::now() < until {
                thread::sleep(POLL);
            }
            let is_free = TAKEN.load(Ordering::Relaxed) >= before + 2;
            drop(end);
            // SAFETY: the child is this process's own, and no other thread waits for it.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            if !is_free {
                OVER.store(true, Ordering::Relaxed);
                thread.join().unwrap();
                panic!("a child has kept the lock");
            }
        }
        OVER.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }

    #[test]
    fn a_child_closes_the_files_of_thousands_of_journals() {
        use std::os::fd::AsRawFd;
        let (one, last) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut slots: Vec<_> = (0..5000).map(|_| register(&one)).collect();
        slots.push(register(&last));
        // SAFETY: the child calls fcntl and ends, both of which are allowed between fork and exec.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above; `_exit` has no preconditions.
            unsafe { libc::_exit(i32::from(libc::fcntl(last.as_raw_fd(), libc::F_GETFD) != -1)) };
        }
        let mut status = 0;
        // SAFETY: the child is this process's own, and no other thread waits for it.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        slots.into_iter().for_each(unregister);
        assert_eq!(libc::WEXITSTATUS(status), 0);
    }

    #[test]
    fn a_fork_waits_for_work_and_poisons_a_child_when_the_work_takes_too_long() {
        let (begun, wait) = std::sync::mpsc::channel();
        let (over, end) = std::sync::mpsc::channel::<()>();
        let working = thread::spawn(move || {
            let _guard = enter().unwrap();
            begun.send(()).unwrap();
            let _ = end.recv();
        });
        wait.recv().unwrap();
        assert!(!child_can_work());
        drop(over);
        working.join().unwrap();
        // Another test may work on its store for longer than this fork waits.
        assert!((0..100).any(|_| child_can_work()));
        assert!(enter().is_ok(), "the parent can still work");
    }
}
