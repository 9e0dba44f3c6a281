"""The vhost threads of a running guest: found, and placed.

Since Linux 6.4 they are threads of QEMU's process, before that threads of the
kernel; both are called ``vhost-PID``. libvirt has no element for them.
"""

from collections.abc import Iterable, Iterator
import errno
import os

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Kind, Thread, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests import threads

_NAME = 'vhost-'


def vhost(pid: int, root: str = '/') -> tuple[Thread, ...]:
    """Return the vhost threads of the QEMU process ``pid``.

    :raises InventoryUnreadable: it has ended, or hides its threads.
    """
    return tuple(_of(pid, root, Kind.VHOST))


def emulator(pid: int, root: str = '/') -> frozenset[int]:
    """Return where the main thread of ``pid`` may run.

    :raises InventoryUnreadable: it has ended, or hides it.
    """
    for thread in _of(pid, root, Kind.EMULATOR):
        if thread.tid == pid and not isinstance(thread.cpus, Unknown):
            return thread.cpus
    raise InventoryUnreadable(f'the affinity of process {pid} is not shown')


def _of(pid: int, root: str, kind: Kind) -> Iterator[Thread]:
    found = threads.read(Process(pid, root), Unknown('not needed'))
    if isinstance(found, Unknown):
        raise InventoryUnreadable(f'the threads of process {pid}: {found}')
    return (thread for thread in found if thread.kind is kind)


def set_affinity(tid: int, cpus: Iterable[int]) -> None:
    """Let the vhost thread ``tid`` run on ``cpus`` only.

    :raises OSError: it is no vhost thread, has ended, or may not run there.
    """
    with open(f'/proc/{int(tid)}/comm') as file:
        name = file.read().strip()
    if not name.startswith(_NAME):
        raise OSError(errno.EPERM, f'thread {tid} is {name!r}, no vhost one')
    os.sched_setaffinity(int(tid), set(cpus))
