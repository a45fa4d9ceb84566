//! Intercepts the system calls of a journal, of the spool and of LMDB alike.
//!
//! These functions have the names of the C library. The linker binds every call in this program to them, also the calls of Rust's standard
//! library and of LMDB, so nothing is preloaded. They pass each call to the kernel. For files below one directory they also write a log
//! ([`capture`]) or make a chosen call fail ([`fail`]).

mod calls;

use std::ffi::{CStr, c_char, c_int, c_long};
use std::path::Path;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{mode_t, ssize_t};

use crate::log::Op;

/// Which call fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The call's number among the calls that concern the journal, from 1.
    pub at: u64,
    pub errno: c_int,
    /// Whether all later writing calls fail too, as on a full or dying disk.
    pub lasting: bool,
    /// Whether a failing write writes half of its bytes.
    pub short: bool,
}

/// The kind of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallKind {
    Read,
    Write,
    Sync,
    /// Names: rename, remove, lock.
    Name,
}

struct Interposer {
    base: Vec<u8>,
    log: Option<c_int>,
    plan: Option<Plan>,
    /// Every n-th sync of a segment fails; 0 for none.
    failing_syncs: u64,
    calls: AtomicU64,
    segment_syncs: AtomicU64,
    failed: Mutex<Option<String>>,
    order: Mutex<()>,
}

static ACTIVE: AtomicPtr<Interposer> = AtomicPtr::new(std::ptr::null_mut());
static NEXT: AtomicU64 = AtomicU64::new(1);

const TRACKED: usize = 1024;
/// The log's handle of each descriptor below the base; 0 for none.
static HANDLES: [AtomicU64; TRACKED] = [const { AtomicU64::new(0) }; TRACKED];
static SEGMENTS: [AtomicU64; TRACKED] = [const { AtomicU64::new(0) }; TRACKED];

/// Starts to log the operations of this process on files below `base`. With `failing_syncs` = n every n-th sync of a segment fails.
pub fn capture(base: &Path, log: &Path, failing_syncs: u64) {
    use std::os::fd::IntoRawFd;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    start(base, Some(file.into_raw_fd()), None, failing_syncs);
}

/// Makes a later call on files below `base` fail.
pub fn fail(base: &Path, plan: Plan) {
    start(base, None, Some(plan), 0);
}

/// Ends [`fail`]. Returns the number of calls, and the call that failed.
pub fn stop() -> (u64, Option<String>) {
    let ended = ACTIVE.swap(std::ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: only `start` sets the pointer, to a leaked box that is never freed.
    let ended = unsafe { ended.as_ref() }.expect("a run to stop");
    (ended.calls.load(Ordering::Relaxed), locked(&ended.failed).take())
}

/// Writes a mark to the log, between the earlier and the later operations.
pub fn mark(text: String) {
    if let Some(active) = active() {
        let _order = active.in_order();
        active.write(&Op::Mark(text));
    }
}

fn start(base: &Path, log: Option<c_int>, plan: Option<Plan>, failing_syncs: u64) {
    let active = Interposer {
        base: base.as_os_str().as_encoded_bytes().to_vec(),
        log,
        plan,
        failing_syncs,
        calls: AtomicU64::new(0),
        segment_syncs: AtomicU64::new(0),
        failed: Mutex::default(),
        order: Mutex::default(),
    };
    ACTIVE.store(Box::into_raw(Box::new(active)), Ordering::Release);
}

fn active() -> Option<&'static Interposer> {
    // SAFETY: only `start` sets the pointer, to a leaked box that is never freed.
    unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held while a call is made and logged, so that the log has the order of effects, over all processes.
struct InOrder<'a> {
    _threads: MutexGuard<'a, ()>,
    log: Option<c_int>,
}

impl Drop for InOrder<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.log {
            // SAFETY: flock has no preconditions.
            unsafe { libc::syscall(libc::SYS_flock, log, libc::LOCK_UN) };
        }
    }
}

impl Interposer {
    fn in_order(&self) -> InOrder<'_> {
        let threads = locked(&self.order);
        if let Some(log) = self.log {
            // SAFETY: flock has no preconditions.
            unsafe { libc::syscall(libc::SYS_flock, log, libc::LOCK_EX) };
        }
        InOrder { _threads: threads, log: self.log }
    }

    fn write(&self, op: &Op) {
        let Some(log) = self.log else { return };
        let bytes = op.encode();
        // SAFETY: the pointer and length belong to a live vector.
        let written = unsafe { libc::syscall(libc::SYS_write, log, bytes.as_ptr(), bytes.len()) };
        assert_eq!(usize::try_from(written), Ok(bytes.len()), "the log must be whole");
    }

    /// The path below the base, if the journal owns it; empty for the base itself.
    fn below(&self, path: &str) -> Option<String> {
        let below = path.as_bytes().strip_prefix(&self.base[..])?;
        let below = if below.is_empty() { below } else { below.strip_prefix(b"/")? };
        // LMDB's table of readers and locks is shared memory, which LMDB makes again after a reboot.
        (self.log.is_none() || !below.ends_with(b"lock.mdb")).then(|| String::from_utf8_lossy(below).into_owned())
    }

    /// The error of a call that must fail, and whether it does half of its work first.
    fn planned_failure(&self, kind: CallKind, describe: impl FnOnce() -> String) -> Option<(c_int, bool)> {
        let plan = self.plan?;
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let later = plan.lasting && number > plan.at && matches!(kind, CallKind::Write | CallKind::Sync);
        if number == plan.at {
            *locked(&self.failed) = Some(describe());
        } else if !later {
            return None;
        }
        Some((plan.errno, plan.short && number == plan.at && kind == CallKind::Write))
    }

    fn sync_fails(&self, fd: c_int) -> bool {
        let of_segment = slot(&SEGMENTS, fd).is_some_and(|slot| slot.load(Ordering::Relaxed) != 0);
        of_segment
            && self.failing_syncs > 0
            && (self.segment_syncs.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.failing_syncs)
    }
}

fn slot(table: &'static [AtomicU64; TRACKED], fd: c_int) -> Option<&'static AtomicU64> {
    usize::try_from(fd).ok().and_then(|fd| table.get(fd))
}

fn handle(fd: c_int) -> Option<(&'static Interposer, u64)> {
    let handle = slot(&HANDLES, fd)?.load(Ordering::Relaxed);
    (handle != 0).then_some(()).and_then(|()| Some((active()?, handle)))
}

fn set_errno(errno: c_int) {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = errno };
}

fn refuse(errno: c_int) -> c_long {
    set_errno(errno);
    -1
}

/// The absolute path of `path`, relative to an open directory.
unsafe fn absolute(directory: c_int, path: *const c_char) -> String {
    // SAFETY: the caller of the C function passes a C string.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned();
    if path.starts_with('/') || directory == libc::AT_FDCWD {
        return path;
    }
    let mut target = [0u8; 4096];
    let link = format!("/proc/self/fd/{directory}\0");
    // SAFETY: both pointers belong to live buffers, the name ends in a zero, and the length is the buffer's.
    let length = unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), target.as_mut_ptr(), target.len())
    };
    let length = usize::try_from(length).unwrap_or(0);
    format!("{}/{path}", String::from_utf8_lossy(&target[..length]))
}

#[expect(clippy::cast_possible_truncation, reason = "descriptors and results of these calls are ints")]
fn int(result: c_long) -> c_int {
    result as c_int
}

fn size(result: c_long) -> ssize_t {
    ssize_t::try_from(result).unwrap_or(-1)
}

unsafe fn open_at(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's own, for the same call.
    let real = || unsafe { libc::syscall(libc::SYS_openat, directory, path, flags, mode) };
    // SAFETY: the caller passes a C string.
    let Some((active, below)) =
        active().and_then(|active| Some((active, active.below(&unsafe { absolute(directory, path) })?)))
    else {
        return int(real());
    };
    let create = flags & libc::O_CREAT != 0;
    if let Some((errno, _)) =
        active.planned_failure(if create { CallKind::Write } else { CallKind::Read }, || format!("open {below}"))
    {
        return int(refuse(errno));
    }
    let _order = active.in_order();
    let fd = int(real());
    if let (Some(handles), Some(segments)) = (slot(&HANDLES, fd), slot(&SEGMENTS, fd)) {
        let handle = u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed);
        handles.store(handle, Ordering::Relaxed);
        segments.store(u64::from(below.contains("spool/") && below.contains('-')), Ordering::Relaxed);
        active.write(&Op::Open { handle, create, truncate: flags & libc::O_TRUNC != 0, path: below });
    }
    fd
}

fn put(fd: c_int, bytes: &[u8], offset: Option<u64>) -> ssize_t {
    let real = |bytes: &[u8]| match offset {
        // SAFETY: the pointer and length belong to a live slice.
        Some(offset) => unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes.as_ptr(), bytes.len(), offset) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) },
    };
    let Some((active, handle)) = handle(fd) else { return size(real(bytes)) };
    if let Some((errno, short)) = active.planned_failure(CallKind::Write, || format!("write {}", name(fd))) {
        if short && bytes.len() > 1 {
            return size(real(&bytes[..bytes.len() / 2]));
        }
        return size(refuse(errno));
    }
    let _order = active.in_order();
    // SAFETY: lseek and fcntl have no preconditions.
    let (at, flags) = unsafe {
        (libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR), libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL))
    };
    let written = real(bytes);
    if let Ok(length) = usize::try_from(written)
        && active.log.is_some()
    {
        let offset = offset.unwrap_or_else(|| u64::try_from(at).unwrap_or(0));
        let durable = int(flags) & libc::O_DSYNC != 0;
        active.write(&Op::Write { handle, offset, durable, bytes: bytes[..length].to_vec() });
    }
    size(written)
}

fn name(fd: c_int) -> String {
    // SAFETY: the literal is a C string.
    let path = unsafe { absolute(fd, c"".as_ptr()) };
    path.trim_end_matches('/').to_owned()
}

fn sync(fd: c_int, number: c_long) -> c_int {
    // SAFETY: syncing has no preconditions.
    let real = || unsafe { libc::syscall(number, fd) };
    let Some((active, handle)) = handle(fd) else { return int(real()) };
    if let Some((errno, _)) = active.planned_failure(CallKind::Sync, || format!("sync {}", name(fd))) {
        return int(refuse(errno));
    }
    let sync = u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed);
    {
        let _order = active.in_order();
        active.write(&Op::SyncBegin { handle, sync });
    }
    // Not in order: a sync may or may not cover a write that happens while it runs.
    let result = if active.sync_fails(fd) { refuse(libc::EIO) } else { real() };
    let _order = active.in_order();
    active.write(&Op::SyncEnd { sync, ok: result == 0 });
    if result != 0 {
        set_errno(libc::EIO);
    }
    int(result)
}

/// Makes a call on a name in order, and logs it when it succeeds.
fn named(
    kind: CallKind,
    path: &str,
    real: impl FnOnce() -> c_long,
    op: impl FnOnce(&Interposer, String) -> Op,
) -> c_int {
    let Some((active, below)) = active().and_then(|active| Some((active, active.below(path)?))) else {
        return int(real());
    };
    if let Some((errno, _)) = active.planned_failure(kind, || format!("name {below}")) {
        return int(refuse(errno));
    }
    let _order = active.in_order();
    let result = real();
    if result == 0 {
        active.write(&op(active, below));
    }
    int(result)
}

unsafe fn rename_at(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char) -> c_int {
    // SAFETY: the caller passes C strings.
    let (source, target) = unsafe { (absolute(from_dir, from), absolute(to_dir, to)) };
    named(
        CallKind::Name,
        &source,
        // SAFETY: the arguments are the caller's own, for the same call.
        || unsafe { libc::syscall(libc::SYS_renameat2, from_dir, from, to_dir, to, 0) },
        |active, from| Op::Rename { from, to: active.below(&target).expect("a journal's files stay in it") },
    )
}

unsafe fn remove_at(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller passes a C string.
    let target = unsafe { absolute(directory, path) };
    // SAFETY: the arguments are the caller's own, for the same call.
    let real = || unsafe { libc::syscall(libc::SYS_unlinkat, directory, path, flags) };
    named(CallKind::Name, &target, real, |_, path| Op::Remove { path })
}
