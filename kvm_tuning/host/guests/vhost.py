"""Find and pin the vhost threads of a running guest.

Since Linux 6.4 they are threads of QEMU's process, before that kernel threads;
both are called ``vhost-PID``. libvirt has no element for them.
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

    :raises InventoryUnreadable: it has ended, or its threads are hidden.
    """
    return tuple(_of(pid, root, Kind.VHOST))


def emulator(pid: int, root: str = '/') -> frozenset[int]:
    """Return the CPUs on which the main thread of ``pid`` may run.

    :raises InventoryUnreadable: it has ended, or they are hidden.
    """
    for thread in _of(pid, root, Kind.EMULATOR):
        if thread.tid == pid and not isinstance(thread.cpus, Unknown):
            return thread.cpus
    raise InventoryUnreadable(f'the affinity of process {pid} cannot be read')


def _of(pid: int, root: str, kind: Kind) -> Iterator[Thread]:
    found = threads.read(Process(pid, root), Unknown('not needed'))
    if isinstance(found, Unknown):
        raise InventoryUnreadable(f'the threads of process {pid}: {found}')
    return (thread for thread in found if thread.kind is kind)


def set_affinity(tid: int, cpus: Iterable[int]) -> None:
    """Restrict the vhost thread ``tid`` to ``cpus``.

    :raises OSError: it is not a vhost thread, has ended, or may not run
        there.
    """
    with open(f'/proc/{int(tid)}/comm') as file:
        name = file.read().strip()
    if not name.startswith(_NAME):
        raise OSError(
            errno.EPERM, f'thread {tid} is {name!r}, not a vhost thread'
        )
    os.sched_setaffinity(int(tid), set(cpus))
