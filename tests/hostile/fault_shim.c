/* Fails or ends the process at a numbered call that changes something.
 *
 * Preloaded into the process of tests/hostile/faults.py. Only calls on what is
 * below fault_root are counted, and only while faults are armed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char root[PATH_MAX];
static int armed, wanted, error_number, count;

/* error < 0: SIGKILL. at 0: only count. */
void fault_arm(const char *below, int at, int error)
{
    snprintf(root, sizeof root, "%s/", below);
    wanted = at;
    error_number = error;
    count = 0;
    armed = 1;
}

void fault_pause(int pause) { armed = !pause; }

int fault_count(void) { return count; }

/* Returns the error of this call, or 0. */
int fault_point(void)
{
    if (!armed || ++count != wanted)
        return 0;
    if (error_number < 0)
        kill(getpid(), SIGKILL);
    return error_number;
}

static int below(const char *path)
{
    return path && !strncmp(path, root, strlen(root));
}

static int of_handle(int handle)
{
    char link[64], path[PATH_MAX];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    length = readlink(link, path, sizeof path - 2);
    if (length < 0)
        return 0;
    path[length] = '/';
    path[length + 1] = 0;
    return below(path);
}

static int fails(int ours)
{
    int error = ours ? fault_point() : 0;

    if (error)
        errno = error;
    return error;
}

static int of_path(int directory, const char *path)
{
    return path && (path[0] == '/' ? below(path) : of_handle(directory));
}

#define REAL(name) __typeof__(&name) real = dlsym(RTLD_NEXT, #name)

#define CHANGES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

static mode_t mode_of(int flags, va_list rest)
{
    return flags & O_CREAT ? (mode_t)va_arg(rest, int) : 0;
}

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...)                            \
    {                                                                     \
        REAL(name);                                                       \
        va_list rest;                                                     \
        mode_t mode;                                                      \
        va_start(rest, flags);                                            \
        mode = mode_of(flags, rest);                                      \
        va_end(rest);                                                     \
        if (armed && CHANGES(flags) && fails(below(path)))                \
            return -1;                                                    \
        return real(path, flags, mode);                                   \
    }

#define OPENAT(name)                                                      \
    int name(int directory, const char *path, int flags, ...)             \
    {                                                                     \
        REAL(name);                                                       \
        va_list rest;                                                     \
        mode_t mode;                                                      \
        va_start(rest, flags);                                            \
        mode = mode_of(flags, rest);                                      \
        va_end(rest);                                                     \
        if (armed && CHANGES(flags) && fails(of_path(directory, path)))   \
            return -1;                                                    \
        return real(directory, path, flags, mode);                        \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define CALL(type, name, taken, given, ours)                              \
    type name taken                                                       \
    {                                                                     \
        REAL(name);                                                       \
        return armed && fails(ours) ? -1 : real given;                    \
    }

CALL(ssize_t, write, (int handle, const void *data, size_t size),
     (handle, data, size), of_handle(handle))
CALL(int, fsync, (int handle), (handle), of_handle(handle))
CALL(int, fdatasync, (int handle), (handle), of_handle(handle))
CALL(int, fchmod, (int handle, mode_t mode), (handle, mode),
     of_handle(handle))
CALL(int, fchown, (int handle, uid_t user, gid_t group),
     (handle, user, group), of_handle(handle))
CALL(int, ftruncate, (int handle, off_t size), (handle, size),
     of_handle(handle))
CALL(int, ftruncate64, (int handle, off64_t size), (handle, size),
     of_handle(handle))
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), below(path))
CALL(int, mkdirat, (int directory, const char *path, mode_t mode),
     (directory, path, mode), of_path(directory, path))
CALL(int, rmdir, (const char *path), (path), below(path))
CALL(int, unlink, (const char *path), (path), below(path))
CALL(int, unlinkat, (int directory, const char *path, int flags),
     (directory, path, flags), of_path(directory, path))
CALL(int, rename, (const char *from, const char *to), (from, to), below(to))
CALL(int, renameat,
     (int before, const char *from, int after, const char *to),
     (before, from, after, to), of_path(after, to))
CALL(int, chmod, (const char *path, mode_t mode), (path, mode), below(path))
CALL(int, symlink, (const char *to, const char *path), (to, path),
     below(path))
CALL(int, symlinkat, (const char *to, int directory, const char *path),
     (to, directory, path), of_path(directory, path))
CALL(int, link, (const char *from, const char *to), (from, to), below(to))
CALL(int, linkat,
     (int before, const char *from, int after, const char *to, int flags),
     (before, from, after, to, flags), of_path(after, to))
