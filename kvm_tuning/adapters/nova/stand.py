"""One guest cell, and Nova's word on which host cells may hold it."""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from nova import exception
from nova.virt import hardware

from kvm_tuning.core.demands import ThreadPolicy

# Set while Nova's pair check runs, which packs pCPUs: that is the solver's.
_checking: ContextVar[bool] = ContextVar('checking', default=False)


class Stand:
    """Stands for an ``InstanceNUMACell`` while Nova checks a pair: it takes
    the page size, so that the guest's own cell stays untouched.
    """

    def __init__(self, cell: Any) -> None:
        self.id = cell.id
        self.cpuset = cell.cpuset
        self.pcpuset = cell.pcpuset
        self.memory = cell.memory
        self.pagesize = cell.pagesize if 'pagesize' in cell else None
        self.cpu_policy = cell.cpu_policy
        self.cpu_thread_policy = cell.cpu_thread_policy

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)

    def __len__(self) -> int:
        return len(self.cpuset) + len(self.pcpuset)

    @property
    def total_cpus(self) -> Any:
        return self.cpuset | self.pcpuset

    @property
    def likeness(self) -> tuple[object, ...]:
        """What two guest cells have in common when they fit alike."""
        return (
            len(self.cpuset),
            len(self.pcpuset),
            self.memory,
            self.pagesize,
            self.cpu_policy,
            self.cpu_thread_policy,
        )

    @property
    def threads(self) -> ThreadPolicy:
        policy = self.cpu_thread_policy
        return ThreadPolicy(policy) if policy else ThreadPolicy.PREFER


class Answer:
    """What Nova says to one guest cell on one host cell."""

    __slots__ = ('allowed', 'pagesize')

    def __init__(self, allowed: bool, pagesize: int | None = None) -> None:
        self.allowed = allowed
        self.pagesize = pagesize


NO = Answer(False)


def ask(cell: Any, stand: Stand, limits: Any, reserved: int) -> Answer:
    """Ask Nova's ``_numa_fit_instance_cell`` about pages, memory, limits and
    the number of pCPUs; which pCPUs is not its business here.
    """
    if not threads_allow(cell, stand):
        return NO
    size, number = stand.pagesize, stand.id
    token = _checking.set(True)
    try:
        found = hardware._numa_fit_instance_cell(cell, stand, limits, reserved)
        return NO if found is None else Answer(True, stand.pagesize)
    except exception.MemoryPageSizeNotSupported:
        return NO
    finally:
        _checking.reset(token)
        stand.pagesize, stand.id = size, number


def checking() -> bool:
    """Return whether Nova is being asked for the fit at the moment."""
    return _checking.get()


def threads_allow(cell: Any, stand: Stand) -> bool:
    """Return whether Nova's thread policies allow a host cell.

    ``require`` needs SMT. ``isolate`` is refused on a host with SMT, unless
    its pCPUs are both dedicated and shared (Nova's bug 1889633).
    """
    policy = stand.cpu_thread_policy
    if not stand.pcpuset or policy not in ('require', 'isolate'):
        return True
    threads = max(map(len, cell.siblings), default=1)
    if policy == 'require':
        return threads > 1
    return threads == 1 or bool(cell.pcpuset == cell.cpuset)


def seated(stands: list[Stand], ids: Iterator[int]) -> list[Stand]:
    """Return the guest cells as Nova's judges want them: with the ids of
    host cells.
    """
    for stand, number in zip(stands, ids, strict=True):
        stand.id = number
    return stands
