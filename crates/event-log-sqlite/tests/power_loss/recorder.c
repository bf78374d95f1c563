/* Preloaded into a process that writes a log: records what it does to the files of one folder, in order.
 *
 * One record an operation: u8 what, i32 fd, u64 number, u32 length, bytes. The lock is held over operation and record,
 * so that the recording's order is the order in which things happened. What is not modelled ends the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX 1024
#define REAL(name) ((__typeof__(&name))real(#name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char recorded[FDS_MAX];
static const char *folder;
static int recording = -1;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void give_up(const char *why) {
    (void)!syscall(SYS_write, 2, why, strlen(why));
    _exit(99);
}

static void __attribute__((constructor)) begin(void) {
    const char *path = getenv("CUIBAN_TEST_RECORDING");
    folder = getenv("CUIBAN_TEST_RECORDED_FOLDER");
    if (path && folder)
        recording = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void record(char what, int fd, uint64_t number, const void *bytes, size_t length) {
    unsigned char head[17];
    uint32_t short_length = (uint32_t)length;
    head[0] = (unsigned char)what;
    memcpy(head + 1, &fd, 4);
    memcpy(head + 5, &number, 8);
    memcpy(head + 13, &short_length, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, length}};
    if (syscall(SYS_writev, recording, parts, 2) != (ssize_t)(sizeof head + length)) give_up("recorder: cannot record\n");
}

static int is_recorded(int fd) { return fd >= 0 && fd < FDS_MAX && recorded[fd]; }

static int is_ours(const char *path) {
    return recording >= 0 && strncmp(path, folder, strlen(folder)) == 0;
}

static int open_recorded(const char *path, int flags, mode_t mode) {
    struct stat found;
    if (!is_ours(path)) return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = stat(path, &found) == 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= FDS_MAX || (flags & O_TRUNC && existed)) give_up("recorder: an open that is not modelled\n");
    if (fd >= 0) {
        recorded[fd] = 1;
        record('o', fd, (uint64_t)existed, path, strlen(path));
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name)                                   \
    int name(const char *path, int flags, ...) {     \
        va_list rest;                                \
        va_start(rest, flags);                       \
        mode_t mode = (mode_t)va_arg(rest, int);     \
        va_end(rest);                                \
        return open_recorded(path, flags, mode);     \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (!is_recorded(fd)) return REAL(close)(fd);
    pthread_mutex_lock(&lock);
    recorded[fd] = 0;
    record('c', fd, 0, "", 0);
    int answer = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return answer;
}

static ssize_t write_recorded(int fd, const void *bytes, size_t length, off_t at) {
    pthread_mutex_lock(&lock);
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, at);
    if (written > 0) record('w', fd, (uint64_t)at, bytes, (size_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return is_recorded(fd) ? write_recorded(fd, bytes, length, at) : syscall(SYS_pwrite64, fd, bytes, length, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return pwrite(fd, bytes, length, at); }

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!is_recorded(fd)) return syscall(SYS_write, fd, bytes, length);
    pthread_mutex_lock(&lock);
    off_t end_or_place = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t written = syscall(SYS_write, fd, bytes, length);
    if (written > 0) record('w', fd, (uint64_t)end_or_place, bytes, (size_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

int ftruncate(int fd, off_t length) {
    if (!is_recorded(fd)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int answer = (int)syscall(SYS_ftruncate, fd, length);
    if (answer == 0) record('t', fd, (uint64_t)length, "", 0);
    pthread_mutex_unlock(&lock);
    return answer;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int sync_recorded(int number, int fd) {
    if (!is_recorded(fd)) return (int)syscall(number, fd);
    pthread_mutex_lock(&lock);
    int answer = (int)syscall(number, fd);
    if (answer == 0) record('s', fd, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return answer;
}
int fsync(int fd) { return sync_recorded(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_recorded(SYS_fdatasync, fd); }

int unlink(const char *path) {
    if (!is_ours(path)) return (int)syscall(SYS_unlink, path);
    pthread_mutex_lock(&lock);
    int answer = (int)syscall(SYS_unlink, path);
    if (answer == 0) record('u', -1, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    return answer;
}

int rename(const char *from, const char *to) {
    if (is_ours(from) || is_ours(to)) give_up("recorder: a rename is not modelled\n");
    return (int)syscall(SYS_rename, from, to);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
    if (is_recorded(fd)) give_up("recorder: a preallocation is not modelled\n");
    return (int)syscall(SYS_fallocate, fd, mode, at, length);
}
