"""Run a call that may block in a child process, with a time limit.

Some drivers never return from a write to ``sriov_numvfs`` (i40e), and a task
that sleeps in the kernel cannot be interrupted: so a child makes the write.
It keeps the files that were open at the fork, including the lock, so that no
other run starts while the kernel is still busy.
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
    :raises TimeoutError: the call did not return in time; the child dies as
        soon as it leaves the kernel.
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
    """Make the call in the child, and exit."""
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
    """Collect the child's status, unless it is stuck in the kernel."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(_POLL_SECONDS)
