"""Find and pin the vhost threads of a running guest.

Since Linux 6.4 they are threads of QEMU's process, before that kernel threads;
both are called ``vhost-PID``. libvirt has no element for them.
"""

from collections.abc import Iterable, Iterator
import errno
import os

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Kind, Thread, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests import threads
from kvm_tuning.host.guests.qemu_process import Processes, kernels

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


def set_affinity(uuid: str, name: str, tid: int, cpus: Iterable[int]) -> None:
    """Let a vhost thread of a guest run on ``cpus`` only.

    Whose thread it is, is looked up here and now: in libvirt's QEMU of the
    guest, or a thread of the kernel that is named for it. It is not moved
    out of where the guest's emulator may run.

    :raises OSError: it is not a vhost thread of that guest, has ended, or may
        not run there.
    """
    wanted = frozenset(cpus)
    try:
        pid = Processes().libvirts(uuid, name)
        thread = _own(pid, int(tid)) or _kernels(pid, int(tid))
        within = emulator(pid)
    except InventoryUnreadable as error:
        raise OSError(errno.EPERM, str(error)) from error
    if thread is None:
        raise OSError(
            errno.EPERM,
            f'thread {tid} is not a vhost thread of guest {name or uuid}',
        )
    if not wanted <= within:
        raise OSError(
            errno.EPERM,
            f'guest {name or uuid} may run on '
            f'{cpuset.format(within)} only, not on {cpuset.format(wanted)}',
        )
    os.sched_setaffinity(int(tid), wanted)


def _own(pid: int, tid: int) -> int | None:
    """Return a thread of QEMU's process that is called as its vhost ones."""
    if tid == pid:
        return None
    name = Process(pid).text(f'task/{tid}/comm')
    return tid if name == f'{_NAME}{pid}\n' else None


def _kernels(pid: int, tid: int) -> int | None:
    """Return a kernel thread that is called as the vhost ones of ``pid``."""
    process = Process(tid)
    if process.text('comm') != f'{_NAME}{pid}\n':
        return None
    return tid if kernels(process) else None
