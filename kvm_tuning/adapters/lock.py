"""The lock under which a guest is planned and defined, across processes."""

from collections.abc import Iterator
import contextlib
import fcntl
import logging
import os
import time
from typing import TYPE_CHECKING

from kvm_tuning.conf.libvirt import LOCK_PATH
from kvm_tuning.core.exceptions import LockFailed
from kvm_tuning.host.access import locks, owned

if TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

#: Its file, in ``[libvirt] lock_path``.
NAME = 'guests.lock'
# What the previous release locks, by lockf(3): processes of it may still run
# during an upgrade. The next release takes NAME alone.
_FORMER_PATH = '/run/lock/kvm-tuning'
_FORMER_NAME = 'kvm-tuning-placement'


@contextlib.contextmanager
def held(conf: 'cfg.ConfigOpts') -> Iterator[None]:
    """Hold the lock for the duration of a ``with``.

    The kernel releases it when the process ends, however it ends.

    :raises LockFailed: its file cannot be made, a stranger could take it
        away, or somebody else has it for longer than ``[libvirt]
        lock_timeout``.
    """
    path, timeout = conf.libvirt.lock_path, conf.libvirt.lock_timeout
    path = os.path.abspath(path)
    end = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        try:
            handle = locks.take(
                os.path.join(path, NAME),
                timeout=timeout,
                directory_mode=0o700,
                links=True,
            )
            stack.callback(os.close, handle)
            former = _former(path, end)
            if former is not None:
                stack.callback(os.close, former)
        except BlockingIOError as error:
            raise LockFailed(
                f'another process holds the lock in {path} for more than '
                f'{timeout} seconds: check whether it hangs'
            ) from error
        except OSError as error:
            raise LockFailed(
                f'[libvirt] lock_path = {path}: {error.strerror}; it must be '
                f'a directory that only root, or only whoever tunes guests, '
                f'may write to'
            ) from error
        yield


def _former(path: str, end: float) -> int | None:
    """Take the previous release's lock where it is safe; None elsewhere.

    A stranger can have made the old default, as anybody can write to
    ``/run/lock``: that must not keep us from working.

    :param end: the time, of the monotonic clock, to give up.
    :raises BlockingIOError: somebody else still has it.
    """
    directory = _FORMER_PATH if path == LOCK_PATH else path
    try:
        handle = owned.open_file(
            os.path.join(directory, _FORMER_NAME),
            os.O_RDWR | os.O_CREAT,
            create=True,
            links=True,
        )
    except owned.Untrusted as error:
        LOG.warning(
            'the previous release of kvm-tuning locks in %s, which is not '
            'safe to use: %s; do not run both at once',
            directory,
            error.strerror,
        )
        return None
    except OSError as error:
        LOG.debug('%s is not locked: %s', directory, error.strerror)
        return None
    try:
        locks.wait(fcntl.lockf, handle, end)
    except BaseException:
        os.close(handle)
        raise
    return handle
