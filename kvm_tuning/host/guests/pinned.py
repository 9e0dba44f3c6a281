"""Processes that are not guests, pinned to pCPUs meant for guests: busy
pollers (SPDK, DPDK's PMDs) and whatever else somebody has placed by hand.
"""

from collections.abc import Collection, Iterator

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.observed import Unknown
from kvm_tuning.host.access.proc import Process, processes
from kvm_tuning.host.guests import qemu_process

#: Most pCPUs of a thread that counts as pinned. One that may choose among
#: more floats, as it does with numactl on a NUMA cell.
MOST = 8
#: Its affinity is what a process has when nobody gives it one.
_INIT = 1

_Cpus = frozenset[int]


def claims(
    root: str,
    online: _Cpus,
    dedicated: _Cpus | None,
    guests: Collection[str] | None = None,
) -> tuple[Claim, ...]:
    """Return the claims of processes that are not guests.

    A thread is pinned when it may run on at most :data:`MOST` pCPUs, all of
    them dedicated, on fewer than all of the dedicated ones, and not just
    where process 1 may, too. Kernel threads do not count, nor does what runs
    in libvirt's control groups. What /proc hides from the caller (hidepid) is
    not found.

    :param dedicated: the pCPUs that may be dedicated; None: any.
    :param guests: UUIDs of the guests that libvirt has; None: each QEMU with
        a UUID is a guest.
    """
    within = online if dedicated is None else dedicated & online
    usual = _usual(root)
    found = []
    for pid in processes(root):
        try:
            claim = _claim(Process(pid, root), within, usual, guests)
        except InventoryUnreadable:
            # It has ended since.
            continue
        if claim is not None:
            found.append(claim)
    return tuple(found)


def _claim(
    process: Process,
    within: _Cpus,
    usual: _Cpus | None,
    guests: Collection[str] | None,
) -> Claim | None:
    if qemu_process.kernels(process) is not False:
        return None
    held: set[int] = set()
    for cpus in _threads(process):
        if len(cpus) <= MOST and cpus < within and cpus != usual:
            held |= cpus
    if not held or _is_guest(process, guests):
        return None
    comm = process.text('comm')
    name = '' if isinstance(comm, Unknown) else comm.strip()
    return Claim(
        f'process {process.pid}',
        f'{name or "?"} (process {process.pid})',
        frozenset(held),
        foreign=True,
    )


def _is_guest(process: Process, guests: Collection[str] | None) -> bool:
    if qemu_process.in_control_group(process):
        return True
    uuid = qemu_process.uuid(process)
    return uuid is not None and (guests is None or uuid in guests)


def _threads(process: Process) -> Iterator[_Cpus]:
    """Yield where each thread of a process may run, as far as it is seen."""
    tids = process.names('task')
    for tid in () if isinstance(tids, Unknown) else tids:
        cpus = _allowed(process, f'task/{tid}/status')
        if cpus:
            yield cpus


def _usual(root: str) -> _Cpus | None:
    try:
        return _allowed(Process(_INIT, root), 'status')
    except InventoryUnreadable:
        return None


def _allowed(process: Process, name: str) -> _Cpus | None:
    status = process.fields(name)
    if isinstance(status, Unknown):
        return None
    try:
        return cpuset.parse(status.get('Cpus_allowed_list', ''))
    except ValueError:
        return None
