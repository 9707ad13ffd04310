/* Preloaded into a run: counts what it does to files below a folder, and kills it, refuses or cuts short at one of
 * these operations. It can write all of them down, with their bytes (see power.py). disk.py compiles and steers it.
 *
 * The real operations are system calls, so that no function of the C library needs to be looked up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, UNLINK = 16, MKDIR = 32, TRUNCATE = 64, MAP = 128 };
enum { NOTHING, KILL_BEFORE, KILL_AFTER, FAIL, SHORTEN, STOP };

struct control { /* disk.py has the same fields */
    int64_t operations; /* so far, of the kinds that count */
    int64_t first, last; /* the operations acted on */
    int64_t action, number, kinds; /* number: errno */
    int64_t hit; /* the kind of the first operation acted on */
    int64_t hits; /* how many were acted on */
    int64_t clock; /* seconds that the wall clock is set by */
    int64_t step, steps_saved, lines, line; /* child.py's own */
    char root[1024], log[1024];
};

static struct control *control;
static int log_file = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

void faults_begin(const char *file)
{
    int descriptor = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    void *block = (void *)syscall(SYS_mmap, 0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    if (descriptor < 0 || block == MAP_FAILED)
        abort();
    control = block;
    if (control->log[0])
        log_file = syscall(SYS_openat, AT_FDCWD, control->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("FAULTS_CONTROL");
    if (file)
        faults_begin(file);
}

/* The whole path of NAME in the folder DIRECTORY, or of that descriptor; whether it lies below the folder. */
static int below(int directory, const char *name, char *path)
{
    size_t length = 0, root;
    if (!control)
        return 0;
    if (!name || name[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", directory);
        ssize_t read = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
        length = read < 0 ? 0 : read;
        path[length] = 0;
    }
    if (name)
        snprintf(path + length, PATH_MAX - length, length ? "/%s" : "%s", name);
    root = strlen(control->root);
    return root && !strncmp(path, control->root, root) && (path[root] == '/' || !path[root]);
}

static void kill_now(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    pause();
}

/* Counts an operation; returns what is to be done with it. */
static int turn(int kind)
{
    if (!(control->kinds & kind))
        return NOTHING;
    int64_t number = __sync_add_and_fetch(&control->operations, 1);
    if (control->action == NOTHING || number < control->first || number > control->last)
        return NOTHING;
    __sync_bool_compare_and_swap(&control->hit, 0, kind);
    __sync_add_and_fetch(&control->hits, 1);
    if (control->action == KILL_BEFORE)
        kill_now();
    if (control->action == STOP)
        syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
    return control->action;
}

static void note(int kind, int64_t offset, const char *path, const char *other, const void *bytes, int64_t length)
{
    if (log_file < 0)
        return;
    int64_t head[6] = {kind, offset, control->step, strlen(path), strlen(other), length};
    struct iovec parts[4] = {
        {head, sizeof head}, {(void *)path, head[3]}, {(void *)other, head[4]}, {(void *)bytes, length}};
    syscall(SYS_writev, log_file, parts, bytes ? 4 : 3);
}

/* An operation that takes no bytes: refused, or done, noted, and the process killed behind it. */
#define OPERATION(kind, offset, path, other, ...)                    \
    do {                                                             \
        pthread_mutex_lock(&order);                                  \
        int todo = turn(kind);                                       \
        long result = -1;                                            \
        if (todo == FAIL)                                            \
            errno = control->number;                                 \
        else {                                                       \
            result = __VA_ARGS__;                                    \
            if (result >= 0)                                         \
                note(kind, offset, path, other, NULL, 0);            \
            if (todo == KILL_AFTER)                                  \
                kill_now();                                          \
        }                                                            \
        pthread_mutex_unlock(&order);                                \
        return result;                                               \
    } while (0)

static int open_at(int directory, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    if ((flags & O_ACCMODE) == O_RDONLY || !below(directory, name, path))
        return syscall(SYS_openat, directory, name, flags, mode);
    OPERATION(OPEN, !!(flags & O_TRUNC), path, "", syscall(SYS_openat, directory, name, flags, mode));
}

#define MODE(flags) ({ va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); mode; })
int open(const char *name, int flags, ...) { return open_at(AT_FDCWD, name, flags, MODE(flags)); }
int open64(const char *name, int flags, ...) { return open_at(AT_FDCWD, name, flags, MODE(flags)); }
int openat(int directory, const char *name, int flags, ...) { return open_at(directory, name, flags, MODE(flags)); }
int openat64(int directory, const char *name, int flags, ...) { return open_at(directory, name, flags, MODE(flags)); }

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    char path[PATH_MAX];
    if (!below(descriptor, NULL, path))
        return syscall(SYS_write, descriptor, bytes, count);
    pthread_mutex_lock(&order);
    int todo = turn(WRITE);
    ssize_t result = -1;
    if (todo == FAIL)
        errno = control->number;
    else {
        int cut = (todo == SHORTEN || todo == KILL_AFTER) && count > 1;
        result = syscall(SYS_write, descriptor, bytes, cut ? count / 2 : count);
        if (todo == KILL_AFTER)
            kill_now();
        if (result > 0)
            note(WRITE, syscall(SYS_lseek, descriptor, 0, SEEK_CUR) - result, path, "", bytes, result);
    }
    pthread_mutex_unlock(&order);
    return result;
}

ssize_t sendfile64(int out, int in, off_t *offset, size_t count)
{
    char path[PATH_MAX];
    if (below(out, NULL, path)) { /* Python then copies by `write` */
        errno = ENOTSOCK;
        return -1;
    }
    return syscall(SYS_sendfile, out, in, offset, count);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t count) { return sendfile64(out, in, offset, count); }

int fsync(int descriptor)
{
    char path[PATH_MAX];
    if (!below(descriptor, NULL, path))
        return syscall(SYS_fsync, descriptor);
    OPERATION(SYNC, 0, path, "", syscall(SYS_fsync, descriptor));
}
int fdatasync(int descriptor) { return fsync(descriptor); }

int renameat(int directory, const char *name, int other_directory, const char *other_name)
{
    char path[PATH_MAX], other[PATH_MAX];
    int own = below(directory, name, path), others = below(other_directory, other_name, other);
    if (!own && !others)
        return syscall(SYS_renameat2, directory, name, other_directory, other_name, 0);
    OPERATION(RENAME, 0, path, other, syscall(SYS_renameat2, directory, name, other_directory, other_name, 0));
}
int rename(const char *name, const char *other) { return renameat(AT_FDCWD, name, AT_FDCWD, other); }

int unlinkat(int directory, const char *name, int flags)
{
    char path[PATH_MAX];
    if (!below(directory, name, path))
        return syscall(SYS_unlinkat, directory, name, flags);
    OPERATION(UNLINK, 0, path, "", syscall(SYS_unlinkat, directory, name, flags));
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int directory, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    if (!below(directory, name, path))
        return syscall(SYS_mkdirat, directory, name, mode);
    OPERATION(MKDIR, 0, path, "", syscall(SYS_mkdirat, directory, name, mode));
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int truncate64(const char *name, off_t length)
{
    char path[PATH_MAX];
    if (!below(AT_FDCWD, name, path))
        return syscall(SYS_truncate, name, length);
    OPERATION(TRUNCATE, length, path, "", syscall(SYS_truncate, name, length));
}
int truncate(const char *name, off_t length) { return truncate64(name, length); }

int ftruncate64(int descriptor, off_t length)
{
    char path[PATH_MAX];
    if (!below(descriptor, NULL, path))
        return syscall(SYS_ftruncate, descriptor, length);
    OPERATION(TRUNCATE, length, path, "", syscall(SYS_ftruncate, descriptor, length));
}
int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    char path[PATH_MAX];
    if (descriptor >= 0 && below(descriptor, NULL, path)) {
        pthread_mutex_lock(&order);
        int todo = turn(MAP);
        note(MAP, 0, path, "", NULL, 0);
        pthread_mutex_unlock(&order);
        if (todo == FAIL) {
            errno = control->number;
            return MAP_FAILED;
        }
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
}
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    return mmap64(address, length, protection, flags, descriptor, offset);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    if (control && !result && clock == CLOCK_REALTIME)
        time->tv_sec += control->clock;
    return result;
}
