"""Does what may block in a child process, and gives up in time.

Some drivers do not return from a write to ``sriov_numvfs`` (i40e), and
nothing can interrupt a task that sleeps in the kernel: so the child sleeps,
and not we. It keeps the files that it was forked with, the lock included,
so that nobody starts anew while the kernel is still at it.
"""

from collections.abc import Callable
import os
import select
import signal
import struct
import time

_REPORT = struct.Struct('=i')
_POLL_SECONDS = 0.002


def call(act: Callable[[], None], timeout: float) -> None:
    """Call ``act`` in a child and wait for it.

    :param timeout: seconds.
    :raises TimeoutError: it did not return in time; the child is killed as
        soon as the kernel lets it go.
    :raises OSError: what ``act`` raised, by its errno.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run(act, reader, writer)
    os.close(writer)
    try:
        report = _wait(reader, timeout)
    finally:
        os.close(reader)
    if report is None:
        os.kill(child, signal.SIGKILL)
        _reap(child, seconds=0.2)
        raise TimeoutError
    _reap(child, seconds=5.0)
    if len(report) != _REPORT.size:
        raise OSError(0, 'the writing process was killed')
    number = _REPORT.unpack(report)[0]
    if number:
        raise OSError(number, os.strerror(number))


def _run(act: Callable[[], None], reader: int, writer: int) -> None:
    """Be the child: never return."""
    number = 0
    try:
        os.close(reader)
        act()
    except OSError as error:
        number = error.errno or 5
    except BaseException:
        number = 5
    finally:
        try:
            os.write(writer, _REPORT.pack(number))
        finally:
            os._exit(0)


def _wait(reader: int, timeout: float) -> bytes | None:
    ready, _writable, _failed = select.select([reader], [], [], timeout)
    return os.read(reader, _REPORT.size) if ready else None


def _reap(child: int, seconds: float) -> None:
    """Take the child's status; leave one that the kernel does not let go."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(_POLL_SECONDS)
