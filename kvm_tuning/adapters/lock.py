"""The lock under which a guest is planned and defined, across processes."""

from collections.abc import Iterator
import contextlib
import os
from typing import TYPE_CHECKING

from oslo_concurrency import lockutils

from kvm_tuning.core.exceptions import LockFailed

if TYPE_CHECKING:
    from oslo_config import cfg

NAME = 'kvm-tuning-placement'


@contextlib.contextmanager
def held(conf: 'cfg.ConfigOpts') -> Iterator[None]:
    """Hold the lock for the time of a ``with``.

    The kernel releases it when the process ends, however it ends.

    :raises LockFailed: its file cannot be made, or somebody else has it for
        longer than ``[libvirt] lock_timeout``.
    """
    path, timeout = conf.libvirt.lock_path, conf.libvirt.lock_timeout
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
        lock = lockutils.external_lock(NAME, lock_path=path)
        got = lock.acquire(timeout=timeout)
    except OSError as error:
        raise LockFailed(
            f'[libvirt] lock_path = {path}: {error.strerror}; guests are '
            f'tuned by root, or by whoever may write there'
        ) from error
    if not got:
        raise LockFailed(
            f'another process holds the lock in {path} for more than '
            f'{timeout} seconds: see whether it hangs'
        )
    try:
        yield
    finally:
        lock.release()
