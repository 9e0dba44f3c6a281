"""Locks between processes: one way of locking, for guests and for the host.

The kernel releases a lock when its last handle is closed, however the process
ends; a child that sleeps in the kernel keeps it until it wakes.
"""

from collections.abc import Callable
import fcntl
import os
import stat
import time

from kvm_tuning.host.access import owned

_POLL_SECONDS = 0.02
_FLAGS = os.O_RDWR | os.O_CREAT


def take(
    path: str,
    root: str = '/',
    *,
    timeout: float = 0.0,
    directory_mode: int = 0o755,
    links: bool = False,
    sync: Callable[[int], None] = os.fsync,
) -> int:
    """Take the lock of the file ``path``; closing the handle gives it back.

    The file is made when it is missing. Nobody but its owner may open it: a
    handle for reading is enough to hold a lock for ever.

    :param timeout: seconds to wait for somebody else.
    :param directory_mode: of directories that are made.
    :param links: as in :func:`owned.open_directory`.
    :raises BlockingIOError: somebody else still has it.
    :raises OSError: it cannot be opened; Untrusted: it is not safe to.
    """
    end = time.monotonic() + timeout
    directory = owned.open_directory(
        os.path.dirname(path),
        root,
        create=True,
        mode=directory_mode,
        links=links,
        sync=sync,
    )
    name = os.path.basename(path)
    try:
        while True:
            handle = owned.open_in(directory, name, _FLAGS, root)
            try:
                _check_private(handle, path)
                wait(fcntl.flock, handle, end)
                if _still_there(handle, directory, name):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            # It was removed while we waited: a lock on it is of no use.
            os.close(handle)
    finally:
        os.close(directory)


def held(path: str, root: str = '/') -> bool:
    """Return whether somebody has the lock of the file ``path``, without
    taking it: false where the kernel does not say.

    The kernel lists who has which lock by device and inode (proc_locks(5));
    Btrfs has another device number there, so that a lock on it is not seen.

    :raises OSError: it cannot be opened; Untrusted: it is not safe to.
    """
    try:
        handle = owned.open_file(path, os.O_RDONLY, root)
    except FileNotFoundError:
        return False
    try:
        _check_private(handle, path)
        found = os.fstat(handle)
    finally:
        os.close(handle)
    device = f'{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}'
    wanted = f'{device}:{found.st_ino}'
    try:
        with open('/proc/locks') as stream:
            lines = [line.split() for line in stream]
    except OSError:
        return False
    return any(words[1:2] == ['FLOCK'] and wanted in words for words in lines)


def wait(lock: Callable[[int, int], None], handle: int, end: float) -> None:
    """Lock an open file for this process alone.

    :param lock: ``fcntl.flock`` or ``fcntl.lockf``.
    :param end: the time, of the monotonic clock, to give up.
    :raises BlockingIOError: somebody else still has it.
    """
    while True:
        try:
            lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError) as error:
            # POSIX allows either for lockf(3).
            if time.monotonic() >= end:
                raise BlockingIOError(error.errno, error.strerror) from error
        time.sleep(_POLL_SECONDS)


def _check_private(handle: int, path: str) -> None:
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        raise owned.Untrusted(
            path,
            f'others may open {path} (mode {mode:o}), and so hold it for '
            f'ever: give it mode 600',
        )


def _still_there(handle: int, directory: int, name: str) -> bool:
    try:
        there = os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)
