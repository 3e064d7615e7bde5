/*
 * What a process writes below one directory, in the order in which it happens; and faults on order.
 *
 * Preloaded into a process (LD_PRELOAD), this library stands between it and the C library's calls
 * that change files. Files below POWERCUT_DIR (a real path) are watched, all others pass through.
 *
 *   POWERCUT_LOG         append a record for each change to this file. Syncs are logged and then
 *                        left out: the log is the disk, and the cuts are made from it.
 *   POWERCUT_PREFIX      watched files whose names begin so are "storage": counted, may fail.
 *   POWERCUT_FAIL_NTH    the storage call (write, truncate, sync) of this number fails ...
 *   POWERCUT_FAIL_ERRNO  ... with this error, or if it is 0 kills the process instead ...
 *   POWERCUT_FAIL_TIMES  ... and so many in all that follow each other; 1 if not given.
 *   POWERCUT_DISK_BYTES  the disk has room for so many bytes of watched files, then ENOSPC.
 *
 * What is written to a file named "promises" is logged as a promise, in the same order: a promise
 * in the log comes after everything that it is made of.
 *
 * A mutex is held over call and record, also over a sync: no write can slip between a sync and its
 * record and be taken for synced. Python and SQLite on Linux use the calls below and no others for
 * files (SQLite would map its shared memory, but there is none with an exclusive lock).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, PROMISE, FAILED_SYNC };

/* A record in the log, little-endian on all machines that we test on; `length` bytes follow. */
struct record {
    uint32_t kind;
    int32_t fd;
    int64_t offset; /* of a WRITE; new size of a TRUNCATE; 1 if an OPEN emptied the file */
    uint64_t length;
};

enum { FDS = 4096 };
enum role { FOREIGN, WATCHED, STORAGE, PROMISES };
static char roles[FDS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_MAX];
static size_t directory_length;
static const char *prefix = "";
static int log_fd = -1;
static long calls, fail_nth, fail_errno, fail_times;
static int64_t disk_bytes = -1, used_bytes;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

static long number(const char *variable, long otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : atol(text);
}

__attribute__((constructor)) static void begin(void)
{
    const char *log = getenv("POWERCUT_LOG"), *below = getenv("POWERCUT_DIR");
    if (below == NULL)
        return;
    directory_length = (size_t)snprintf(directory, sizeof directory, "%s/", below);
    if (getenv("POWERCUT_PREFIX") != NULL)
        prefix = getenv("POWERCUT_PREFIX");
    if (log != NULL)
        log_fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    fail_nth = number("POWERCUT_FAIL_NTH", 0);
    fail_errno = number("POWERCUT_FAIL_ERRNO", EIO);
    fail_times = number("POWERCUT_FAIL_TIMES", 1);
    disk_bytes = number("POWERCUT_DISK_BYTES", -1);
}

/* For a process that was forked with the library in it: count from here, and fail so. */
void powercut_arm(long nth, long error, long times)
{
    calls = 0;
    fail_nth = nth;
    fail_errno = error;
    fail_times = times;
}

/* How many storage calls there were. */
long powercut_calls(void)
{
    return calls;
}

static enum role role_of(int fd)
{
    return fd >= 0 && fd < FDS ? (enum role)roles[fd] : FOREIGN;
}

static void note(enum kind kind, int fd, int64_t offset, const void *data, size_t length)
{
    struct record record = {kind, fd, offset, length};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, length}};
    if (log_fd < 0)
        return;
    if (REAL(writev)(log_fd, parts, 2) != (ssize_t)(sizeof record + length))
        abort(); /* a log with a hole would prove nothing */
}

/* The part of a path below the directory, or NULL. */
static const char *below(const char *path)
{
    int inside = directory_length > 0 && strncmp(path, directory, directory_length) == 0;
    return inside ? path + directory_length : NULL;
}

/* Absolute path of what a call at a directory names; the last part may not exist (yet). */
static const char *resolve(int at, const char *path, char *buffer)
{
    char link[64];
    ssize_t length;
    if (path[0] == '/')
        return path;
    snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
    length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0)
        return path;
    snprintf(buffer + length, (size_t)(PATH_MAX - length), "/%s", path);
    return buffer;
}

static int64_t size_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_size : 0;
}

/* Whether this storage call is the one, or one of those, that have to fail. */
static int must_fail(int fd)
{
    if (role_of(fd) != STORAGE)
        return 0;
    calls++;
    if (fail_nth == 0 || calls < fail_nth || calls - fail_nth >= fail_times)
        return 0;
    if (fail_errno == 0)
        _exit(9); /* with the mutex held: no other call is without its record */
    errno = (int)fail_errno;
    return 1;
}

/* Whether a file may become so long; if so, the room is taken. */
static int has_room(int fd, int64_t end)
{
    int64_t growth = end - size_of(fd);
    if (disk_bytes < 0 || role_of(fd) == PROMISES)
        return 1;
    if (growth > 0 && used_bytes + growth > disk_bytes) {
        errno = ENOSPC;
        return 0;
    }
    used_bytes += growth > 0 ? growth : 0;
    return 1;
}

static int opened(int fd, int flags)
{
    char link[64], path[PATH_MAX];
    const char *name;
    ssize_t length;
    if (fd < 0 || fd >= FDS || directory_length == 0)
        return fd;
    roles[fd] = FOREIGN;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return fd;
    path[length] = 0;
    name = below(path);
    if (name == NULL || (flags & O_DIRECTORY) != 0)
        return fd;
    if (strcmp(name, "promises") == 0)
        roles[fd] = PROMISES;
    else
        roles[fd] = strncmp(name, prefix, strlen(prefix)) == 0 ? STORAGE : WATCHED;
    if (roles[fd] != PROMISES && (flags & O_ACCMODE) != O_RDONLY)
        note(OPEN, fd, (flags & O_TRUNC) != 0, name, strlen(name));
    return fd;
}

#define OPENED(call)                                                                               \
    do {                                                                                           \
        int fd_;                                                                                   \
        pthread_mutex_lock(&lock);                                                                 \
        fd_ = opened(call, flags);                                                                 \
        pthread_mutex_unlock(&lock);                                                               \
        return fd_;                                                                                \
    } while (0)

#define MODE(mode)                                                                                 \
    mode_t mode = 0;                                                                               \
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {                                                  \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

#undef open
#undef open64
#undef openat
#undef openat64
#undef creat

int open(const char *path, int flags, ...)
{
    MODE(mode)
    OPENED(((int (*)(const char *, int, ...))real("open64"))(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
    MODE(mode)
    OPENED(((int (*)(const char *, int, ...))real("open64"))(path, flags, mode));
}

int openat(int at, const char *path, int flags, ...)
{
    MODE(mode)
    OPENED(((int (*)(int, const char *, int, ...))real("openat64"))(at, path, flags, mode));
}

int openat64(int at, const char *path, int flags, ...)
{
    MODE(mode)
    OPENED(((int (*)(int, const char *, int, ...))real("openat64"))(at, path, flags, mode));
}

int creat(const char *path, mode_t mode)
{
    return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    int result;
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FDS)
        roles[fd] = FOREIGN;
    result = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static ssize_t written(int fd, int64_t offset, const struct iovec *parts, int count, ssize_t done)
{
    ssize_t left = done;
    for (int i = 0; i < count && left > 0; i++) {
        size_t length = (size_t)left < parts[i].iov_len ? (size_t)left : parts[i].iov_len;
        if (role_of(fd) == PROMISES)
            note(PROMISE, fd, 0, parts[i].iov_base, length);
        else
            note(WRITE, fd, offset, parts[i].iov_base, length);
        offset += (int64_t)length;
        left -= (ssize_t)length;
    }
    return done;
}

static size_t length_of(const struct iovec *parts, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += parts[i].iov_len;
    return length;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t done = -1;
    int64_t end;
    if (role_of(fd) == FOREIGN)
        return REAL(writev)(fd, parts, count);
    pthread_mutex_lock(&lock);
    end = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? size_of(fd) : lseek(fd, 0, SEEK_CUR);
    if (!must_fail(fd) && has_room(fd, end + (int64_t)length_of(parts, count))) {
        done = REAL(writev)(fd, parts, count);
        written(fd, lseek(fd, 0, SEEK_CUR) - done, parts, count, done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t length)
{
    struct iovec part = {(void *)data, length};
    return role_of(fd) == FOREIGN ? REAL(write)(fd, data, length) : writev(fd, &part, 1);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    ssize_t done = -1;
    if (role_of(fd) == FOREIGN)
        return REAL(pwritev64)(fd, parts, count, offset);
    pthread_mutex_lock(&lock);
    if (!must_fail(fd) && has_room(fd, offset + (int64_t)length_of(parts, count)))
        done = written(fd, offset, parts, count, REAL(pwritev64)(fd, parts, count, offset));
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev64(fd, parts, count, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    struct iovec part = {(void *)data, length};
    return pwritev64(fd, &part, 1, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}

static int resize(int fd, off64_t size, int may_shrink)
{
    int result = -1;
    int64_t before;
    pthread_mutex_lock(&lock);
    before = size_of(fd);
    if (role_of(fd) == FOREIGN)
        result = REAL(ftruncate64)(fd, size);
    else if (!may_shrink && size <= before)
        result = must_fail(fd) ? -1 : 0;
    else if (!must_fail(fd) && has_room(fd, size)) {
        result = REAL(ftruncate64)(fd, size);
        used_bytes -= size < before ? before - size : 0;
        note(TRUNCATE, fd, size, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size)
{
    return resize(fd, size, 1);
}

int ftruncate64(int fd, off64_t size)
{
    return resize(fd, size, 1);
}

/* Taking room in advance is, in the log, the same as making the file longer. */
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    if (role_of(fd) == FOREIGN)
        return REAL(fallocate64)(fd, mode, offset, length);
    if (mode != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return resize(fd, offset + length, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return fallocate64(fd, mode, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return fallocate64(fd, 0, offset, length) == 0 ? 0 : errno;
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    return posix_fallocate64(fd, offset, length);
}

static int sync_with(const char *call, int fd)
{
    int result = -1;
    if (role_of(fd) == FOREIGN)
        return log_fd < 0 ? ((int (*)(int))real(call))(fd) : 0;
    pthread_mutex_lock(&lock);
    if (!must_fail(fd)) {
        result = log_fd < 0 ? ((int (*)(int))real(call))(fd) : 0;
        note(SYNC, fd, 0, NULL, 0);
    } else {
        int error = errno;
        note(FAILED_SYNC, fd, 0, NULL, 0);
        errno = error;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd)
{
    return sync_with("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_with("fdatasync", fd);
}

int renameat(int old_at, const char *old_path, int new_at, const char *new_path)
{
    char old_buffer[PATH_MAX], new_buffer[PATH_MAX], both[2 * PATH_MAX];
    const char *old_name, *new_name;
    int result, length;
    pthread_mutex_lock(&lock);
    old_name = below(resolve(old_at, old_path, old_buffer));
    new_name = below(resolve(new_at, new_path, new_buffer));
    result = REAL(renameat)(old_at, old_path, new_at, new_path);
    if (result == 0 && old_name != NULL && new_name != NULL) {
        length = snprintf(both, sizeof both, "%s%c%s", old_name, 0, new_name);
        note(RENAME, -1, 0, both, (size_t)length);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *old_path, const char *new_path)
{
    return renameat(AT_FDCWD, old_path, AT_FDCWD, new_path);
}

int unlinkat(int at, const char *path, int flags)
{
    char buffer[PATH_MAX];
    const char *name;
    struct stat status;
    int result, known;
    pthread_mutex_lock(&lock);
    name = below(resolve(at, path, buffer));
    known = name != NULL && fstatat(at, path, &status, 0) == 0;
    result = REAL(unlinkat)(at, path, flags);
    if (result == 0 && known) {
        used_bytes -= status.st_size;
        note(UNLINK, -1, 0, name, strlen(name));
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}
