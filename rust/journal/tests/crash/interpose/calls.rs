//! The intercepted functions, with the names and signatures of the C library.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::atomic::Ordering;

use libc::{mode_t, off_t, off64_t, size_t, ssize_t};

use super::{
    CallKind, HANDLES, absolute, active, handle, int, name, named, open_at, put, refuse, remove_at, rename_at,
    set_errno, size, slot, sync,
};
use crate::log::Op;

/// Defines functions of the C library. Each has the contract of its manual page, and the kernel checks its arguments.
macro_rules! intercept {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty $body:block)*) => {
        $(
            $(#[$attribute])*
            // SAFETY: it has the signature and the effect of the C library's function, and no other function in this program has its name.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                // SAFETY: the caller keeps the C function's contract, and the arguments are passed on unchanged.
                #[allow(unused_unsafe)]
                unsafe { $body }
            }
        )*
    };
}

intercept! {
    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(libc::AT_FDCWD, path, flags, mode) }
    fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(libc::AT_FDCWD, path, flags, mode) }
    fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(dir, path, flags, mode) }
    fn openat64(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(dir, path, flags, mode) }
    fn close(fd: c_int) -> c_int {
        if let Some(slot) = slot(&HANDLES, fd) {
            slot.store(0, Ordering::Relaxed);
        }
        int(libc::syscall(libc::SYS_close, fd))
    }
    fn write(fd: c_int, data: *const c_void, length: size_t) -> ssize_t {
        put(fd, slice(data, length), None)
    }
    fn pwrite(fd: c_int, data: *const c_void, length: size_t, offset: off_t) -> ssize_t {
        put(fd, slice(data, length), u64::try_from(offset).ok())
    }
    fn pwrite64(fd: c_int, data: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
        put(fd, slice(data, length), u64::try_from(offset).ok())
    }
    fn writev(fd: c_int, vectors: *const libc::iovec, count: c_int) -> ssize_t {
        put(fd, &gather(vectors, count), None)
    }
    fn pwritev(fd: c_int, vectors: *const libc::iovec, count: c_int, offset: off_t) -> ssize_t {
        put(fd, &gather(vectors, count), u64::try_from(offset).ok())
    }
    fn pread64(fd: c_int, data: *mut c_void, length: size_t, offset: off64_t) -> ssize_t {
        if let Some((errno, _)) = handle(fd).and_then(|(active, _)| active.planned_failure(CallKind::Read, || format!("read {}", name(fd)))) {
            return size(refuse(errno));
        }
        size(libc::syscall(libc::SYS_pread64, fd, data, length, offset))
    }
    fn pread(fd: c_int, data: *mut c_void, length: size_t, offset: off_t) -> ssize_t {
        pread64(fd, data, length, offset)
    }
    fn ftruncate64(fd: c_int, length: off64_t) -> c_int {
        let real = || libc::syscall(libc::SYS_ftruncate, fd, length);
        let Some((active, handle)) = handle(fd) else { return int(real()) };
        if let Some((errno, _)) = active.planned_failure(CallKind::Write, || format!("truncate {}", name(fd))) {
            return int(refuse(errno));
        }
        let _order = active.in_order();
        let result = real();
        if result == 0 {
            active.write(&Op::Truncate { handle, len: u64::try_from(length).unwrap_or(0) });
        }
        int(result)
    }
    fn ftruncate(fd: c_int, length: off_t) -> c_int { ftruncate64(fd, length) }
    fn fsync(fd: c_int) -> c_int { sync(fd, libc::SYS_fsync) }
    fn fdatasync(fd: c_int) -> c_int { sync(fd, libc::SYS_fdatasync) }
    fn msync(address: *mut c_void, length: size_t, flags: c_int) -> c_int {
        // Only a writable map needs msync, and the store's map is read-only.
        assert!(active().is_none(), "the log does not cover maps");
        int(libc::syscall(libc::SYS_msync, address, length, flags))
    }
    fn flock(fd: c_int, operation: c_int) -> c_int {
        // flock(2) has no error for the release of a lock of an open file.
        if operation & libc::LOCK_UN == 0
            && let Some((errno, _)) = handle(fd).and_then(|(active, _)| active.planned_failure(CallKind::Name, || format!("lock {}", name(fd))))
        {
            return int(refuse(errno));
        }
        int(libc::syscall(libc::SYS_flock, fd, operation))
    }
    fn mmap(address: *mut c_void, length: size_t, protection: c_int, flags: c_int, fd: c_int, offset: off_t) -> *mut c_void {
        if let Some((errno, _)) = handle(fd).and_then(|(active, _)| active.planned_failure(CallKind::Read, || format!("map {}", name(fd)))) {
            set_errno(errno);
            return libc::MAP_FAILED;
        }
        let mapped = libc::syscall(libc::SYS_mmap, address, length, protection, flags, fd, offset);
        std::ptr::with_exposed_provenance_mut(usize::try_from(mapped).unwrap_or(usize::MAX))
    }
    fn rename(from: *const c_char, to: *const c_char) -> c_int { rename_at(libc::AT_FDCWD, from, libc::AT_FDCWD, to) }
    fn renameat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char) -> c_int {
        rename_at(from_dir, from, to_dir, to)
    }
    fn renameat2(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_uint) -> c_int {
        assert_eq!(flags, 0, "the log knows plain renames");
        rename_at(from_dir, from, to_dir, to)
    }
    fn unlink(path: *const c_char) -> c_int { remove_at(libc::AT_FDCWD, path, 0) }
    fn unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int { remove_at(dir, path, flags) }
    fn rmdir(path: *const c_char) -> c_int { remove_at(libc::AT_FDCWD, path, libc::AT_REMOVEDIR) }
    fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
        let target = absolute(libc::AT_FDCWD, path);
        let real = || libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path, mode);
        named(CallKind::Write, &target, real, |_, path| Op::MakeDir { path })
    }
}

unsafe fn slice<'a>(data: *const c_void, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller of write promises `length` readable bytes.
    unsafe { std::slice::from_raw_parts(data.cast(), length) }
}

unsafe fn gather(vectors: *const libc::iovec, count: c_int) -> Vec<u8> {
    // SAFETY: the caller of writev promises `count` vectors of readable bytes.
    unsafe {
        let vectors = std::slice::from_raw_parts(vectors, usize::try_from(count).unwrap_or(0));
        vectors.iter().flat_map(|vector| slice(vector.iov_base, vector.iov_len)).copied().collect()
    }
}
