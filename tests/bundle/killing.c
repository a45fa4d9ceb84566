// Kills this process before its n-th call that changes a file; n is in PLSYNC_TEST_KILL_AT. The test preloads it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls;

static void count(void) {
    static long last = -1;
    if (last < 0) {
        const char *text = getenv("PLSYNC_TEST_KILL_AT");
        last = text ? atol(text) : 0;
    }
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == last) kill(getpid(), SIGKILL);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("PLSYNC_TEST_CALLS");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) { fprintf(file, "%ld", calls); fclose(file); }
}

#define WRAP(result, name, parameters, arguments)                      \
    result name parameters {                                           \
        static result(*real) parameters;                               \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name); \
        count();                                                       \
        return real arguments;                                         \
    }

WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
WRAP(ssize_t, writev, (int fd, const struct iovec *parts, int number), (fd, parts, number))
WRAP(ssize_t, pwritev, (int fd, const struct iovec *parts, int number, off_t at), (fd, parts, number, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, link, (const char *from, const char *to), (from, to))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, rmdir, (const char *path), (path))
