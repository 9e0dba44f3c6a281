"""Observe the threads of a running guest, kernel threads included."""

from collections.abc import Callable, Iterator, Mapping
import re
from typing import Any

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Arguments, Kind, Thread, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests.qemu_process import Processes

#: Sends QEMU's monitor a QMP command and returns the answer.
Monitor = Callable[[dict[str, Any]], dict[str, Any]]

# QEMU's names under debug-threads=on, which libvirt always sets; the kernel
# cuts names at 15 characters.
_VCPU = re.compile(r'\A(?:CPU ([0-9]{1,9})|ALL CPUs)/\w+')
_IOTHREAD = re.compile(r'\AIO iothread([0-9]{1,9})\Z')
#: Threads that neither libvirt's emulatorpin nor anything else moves: KVM's
#: own, io_uring's workers and pollers (the kernel refuses it,
#: PF_NO_SETAFFINITY in io_uring/io-wq.c and sqpoll.c), and QEMU's thread
#: contexts, which preallocate memory.
_OTHER = ('kvm-nx-lpage', 'kvm-pit', 'iou-wrk-', 'iou-sqp-', 'TC ')
#: TASK_COMM_LEN without its final NUL.
_NAME_LENGTH = 15
# libvirt's cgroups of a guest's threads, where it has the cpuset controller.
_GROUP = re.compile(
    r'/(?:(vcpu|iothread)([0-9]{1,9})|emulator)$', re.MULTILINE
)
_IOTHREAD_ID = re.compile(r'\Aiothread([0-9]{1,9})\Z')


def read(
    process: Process,
    arguments: Arguments | Unknown,
    monitor: Monitor | None = None,
    known: Processes | None = None,
) -> tuple[Thread, ...] | Unknown:
    """Return the guest's threads, in the order of thread ids.

    :param known: the processes of the host, if they have been looked at.

    vhost threads are in QEMU's process since Linux 6.4; before, they are
    kernel threads called ``vhost-PID``.
    """
    tids = process.names('task')
    if isinstance(tids, Unknown):
        return tids
    told = _told(monitor) if monitor is not None else {}
    named = bool(told) or _named(arguments)
    iothreads = _iothreads(arguments)
    found = []
    for tid in tids:
        name = process.text(f'task/{tid}/comm')
        if isinstance(name, Unknown):
            # It has ended, or only this one is hidden.
            continue
        name = name.rstrip('\n')
        kind, index = told.get(tid) or _kind(name, tid == process.pid, named)
        if kind is Kind.EMULATOR and name in iothreads:
            kind = Kind.IOTHREAD
        if kind is Kind.UNTOLD:
            kind, index = _grouped(process, tid)
        cpus = _cpus(process, f'task/{tid}/status')
        found.append(Thread(tid, name, kind, index, cpus))
    if not any(thread.kind is Kind.VHOST for thread in found):
        known = known or Processes(process.root)
        found += _kernel_threads(process, known)
    return tuple(found)


def _named(arguments: Arguments | Unknown) -> bool:
    if isinstance(arguments, Unknown):
        return True
    return any(
        name.get('debug-threads') == 'on' for name in arguments.of('name')
    )


def _iothreads(arguments: Arguments | Unknown) -> frozenset[str]:
    """Return the names of iothreads' threads, whoever chose their ids."""
    if isinstance(arguments, Unknown):
        return frozenset()
    return frozenset(
        f'IO {each.get("id")}'[:_NAME_LENGTH]
        for each in arguments.of('object')
        if 'iothread' in (each.get('qom-type'), each.get(''))
    )


def _kind(name: str, main: bool, named: bool) -> tuple[Kind, int | None]:
    if main:
        return Kind.EMULATOR, None
    if name.startswith('vhost-'):
        return Kind.VHOST, None
    if name.startswith(_OTHER):
        return Kind.OTHER, None
    if not named:
        return Kind.UNTOLD, None
    if match := _VCPU.match(name):
        return Kind.VCPU, int(match[1]) if match[1] else None
    if match := _IOTHREAD.match(name):
        return Kind.IOTHREAD, int(match[1])
    return (Kind.WORKER if name == 'worker' else Kind.EMULATOR), None


def _grouped(process: Process, tid: int) -> tuple[Kind, int | None]:
    """Classify a thread by its cgroup."""
    groups = process.text(f'task/{tid}/cgroup')
    match = None if isinstance(groups, Unknown) else _GROUP.search(groups)
    if match is None:
        return Kind.UNTOLD, None
    if match[1] is None:
        return Kind.EMULATOR, None
    kind = Kind.VCPU if match[1] == 'vcpu' else Kind.IOTHREAD
    return kind, int(match[2])


def _cpus(process: Process, name: str) -> frozenset[int] | Unknown:
    status = process.fields(name)
    if isinstance(status, Unknown):
        return status
    try:
        return cpuset.parse(status['Cpus_allowed_list'])
    except (KeyError, ValueError):
        return Unknown(f'/proc/{process.pid}/{name} has no Cpus_allowed_list')


def _kernel_threads(process: Process, known: Processes) -> Iterator[Thread]:
    for pid in known.kernels.get(process.pid, ()):
        try:
            cpus = _cpus(Process(pid, process.root), 'status')
        except InventoryUnreadable:
            # It has ended.
            continue
        yield Thread(pid, f'vhost-{process.pid}', Kind.VHOST, None, cpus)


def _told(monitor: Monitor) -> Mapping[int, tuple[Kind, int | None]]:
    """Classify threads by what QEMU reports of them."""
    found: dict[int, tuple[Kind, int | None]] = {}
    for cpu in monitor({'execute': 'query-cpus-fast'}).get('return', []):
        tid = int(cpu['thread-id'])
        # One thread for all vCPUs (TCG) is listed once for each vCPU.
        index = None if tid in found else int(cpu['cpu-index'])
        found[tid] = (Kind.VCPU, index)
    for each in monitor({'execute': 'query-iothreads'}).get('return', []):
        match = _IOTHREAD_ID.match(each['id'])
        if match:
            found[int(each['thread-id'])] = (Kind.IOTHREAD, int(match[1]))
    return found
