"""Log, at DEBUG in nova-compute's log, how long our part of Nova's
work takes.
"""

from collections.abc import Iterator
import contextlib
import logging
import time

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def told(what: str, uuid: str) -> Iterator[None]:
    """Log how long the ``with`` took, by the clock and by this thread.

    :param uuid: the instance that it was for.
    """
    if not LOG.isEnabledFor(logging.DEBUG):
        yield
        return
    clock, thread = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        LOG.debug(
            'instance %s: %s in %.1f ms, %.1f ms of CPU time',
            uuid,
            what,
            (time.perf_counter() - clock) * 1000,
            (time.thread_time() - thread) * 1000,
        )
