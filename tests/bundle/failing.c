// Makes the calls on files below PLSYNC_TEST_BELOW fail with PLSYNC_TEST_ERRNO, from the n-th call on: n is in PLSYNC_TEST_FAIL_AT. So
// a stick fails that is pulled out, and a disk that dies. The test preloads it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls;

static int is_below(const char *path) {
    const char *below = getenv("PLSYNC_TEST_BELOW");
    return below && path && strncmp(path, below, strlen(below)) == 0;
}

static int is_of(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int fails(int concerns) {
    if (!concerns) return 0;
    const char *at = getenv("PLSYNC_TEST_FAIL_AT");
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) < (at ? atol(at) : LONG_MAX)) return 0;
    errno = atoi(getenv("PLSYNC_TEST_ERRNO"));
    return 1;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("PLSYNC_TEST_CALLS");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) { fprintf(file, "%ld", calls); fclose(file); }
}

#define WRAP(result, name, parameters, arguments, concerns)            \
    result name parameters {                                           \
        static result(*real) parameters;                               \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name); \
        if (fails(concerns)) return -1;                                \
        return real arguments;                                         \
    }

#define WRAP_OPEN(name, before, given)                                 \
    int name(before const char *path, int flags, ...) {                \
        static int (*real)(before const char *, int, mode_t);          \
        if (!real) real = (int (*)(before const char *, int, mode_t))dlsym(RTLD_NEXT, #name); \
        va_list more;                                                  \
        va_start(more, flags);                                         \
        mode_t mode = va_arg(more, mode_t);                            \
        va_end(more);                                                  \
        if (fails(is_below(path))) return -1;                          \
        return real(given path, flags, mode);                          \
    }

#define COMMA ,
WRAP_OPEN(open, , )
WRAP_OPEN(open64, , )
WRAP_OPEN(openat, int at COMMA, at COMMA)
WRAP_OPEN(openat64, int at COMMA, at COMMA)
WRAP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), is_of(fd))
WRAP(ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), is_of(fd))
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), is_of(fd))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), is_of(fd))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), is_of(fd))
WRAP(ssize_t, pwritev, (int fd, const struct iovec *parts, int number, off_t at), (fd, parts, number, at), is_of(fd))
WRAP(ssize_t, pwritev64, (int fd, const struct iovec *parts, int number, off64_t at), (fd, parts, number, at), is_of(fd))
WRAP(ssize_t, writev, (int fd, const struct iovec *parts, int number), (fd, parts, number), is_of(fd))
WRAP(int, fsync, (int fd), (fd), is_of(fd))
WRAP(int, fdatasync, (int fd), (fd), is_of(fd))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size), is_of(fd))
WRAP(int, rename, (const char *from, const char *to), (from, to), is_below(from))
WRAP(int, unlink, (const char *path), (path), is_below(path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), is_below(path))
WRAP(ssize_t, copy_file_range, (int from, off64_t *start, int to, off64_t *place, size_t size, unsigned flags),
     (from, start, to, place, size, flags), is_of(from) || is_of(to))
