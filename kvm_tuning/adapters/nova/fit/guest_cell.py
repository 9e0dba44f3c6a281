"""One guest cell, and Nova's verdict on which host cells may hold it."""

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from nova import exception
from nova.virt import hardware

from kvm_tuning.adapters.nova.fit.host_cells import read
from kvm_tuning.core.demands import CellDemand, LocalityDemand, ThreadPolicy
from kvm_tuning.core.solver.wants import Wants

# Set while Nova's pair check runs, which would pack pCPUs, too.
_checking: ContextVar[str | None] = ContextVar('checking', default=None)


class GuestCell:
    """Stands in for an ``InstanceNUMACell`` while Nova checks a pair: it takes
    the page size, so that the guest's own cell stays unchanged.
    """

    def __init__(self, cell: Any) -> None:
        self.id = _read(cell, 'id', -1)
        self.cpuset = read(cell, 'cpuset')
        # An old record of a guest has none.
        self.pcpuset = _read(cell, 'pcpuset', set())
        self.memory = _read(cell, 'memory', 0)
        self.pagesize = _read(cell, 'pagesize', None)
        self.cpu_policy = _read(cell, 'cpu_policy', None)
        self.cpu_thread_policy = _read(cell, 'cpu_thread_policy', None)
        #: What Nova's own packing gives it.
        self.cpu_pinning: Any = None
        self.cpuset_reserved: Any = None

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)

    def __len__(self) -> int:
        return len(self.cpuset) + len(self.pcpuset)

    def pin_vcpus(self, *pairs: tuple[int, int]) -> None:
        """Take pins, as an ``InstanceNUMACell`` does."""
        self.cpu_pinning = dict(pairs)

    @property
    def total_cpus(self) -> Any:
        return self.cpuset | self.pcpuset

    @property
    def likeness(self) -> tuple[object, ...]:
        """Return what two guest cells share when they fit alike."""
        return (
            len(self.cpuset),
            len(self.pcpuset),
            self.memory,
            self.pagesize,
            self.cpu_policy,
            self.cpu_thread_policy,
        )

    @property
    def only_shared(self) -> bool:
        """Whether it is a cell of a mixed guest without dedicated vCPUs, for
        which Nova has conditions nevertheless: ``require`` wants free
        siblings there, and isolated emulator threads find no pCPU.
        """
        return self.cpu_policy == 'mixed' and not self.pcpuset

    @property
    def threads(self) -> ThreadPolicy:
        policy = self.cpu_thread_policy
        return ThreadPolicy(policy) if policy else ThreadPolicy.PREFER


class Guest:
    """A guest's cells, and what the solver is to do with them, read once."""

    def __init__(self, topology: Any) -> None:
        """Read a topology, which stays unchanged.

        :param topology: Nova's ``InstanceNUMATopology``.
        """
        self.topology = topology
        self.cells = [GuestCell(cell) for cell in read(topology, 'cells')]
        self.isolated = bool(topology.emulator_threads_isolated)
        #: How many dedicated vCPUs each cell has.
        self.sizes = [len(cell.pcpuset) for cell in self.cells]
        self._demands = [
            CellDemand(index, vcpus, vcpus, 0)
            for index, one in enumerate(self.cells)
            for vcpus in (frozenset(one.pcpuset),)
        ]
        self._wants: dict[LocalityDemand | None, Wants] = {}

    def wants(self, locality: LocalityDemand | None) -> Wants:
        """Return what the solver is asked for."""
        found = self._wants.get(locality)
        if found is None:
            found = self._wants[locality] = Wants(
                cells=self._demands,
                threads=self.cells[0].threads,
                locality=locality,
                emulator=self.isolated,
            )
        return found


def _read(cell: Any, name: str, default: Any) -> Any:
    """Return a field, which may not have been set."""
    try:
        return read(cell, name)
    except NotImplementedError:
        return default


class Verdict:
    """Nova's verdict on one guest cell on one host cell."""

    __slots__ = ('allowed', 'pagesize', 'pinning', 'reserved')

    def __init__(
        self,
        allowed: bool,
        pagesize: int | None = None,
        pinning: dict[int, int] | None = None,
        reserved: set[int] | None = None,
    ) -> None:
        self.allowed = allowed
        self.pagesize = pagesize
        #: Where Nova has packed, too.
        self.pinning = pinning
        self.reserved = reserved


NO = Verdict(False)


def ask(
    cell: Any,
    guest_cell: GuestCell,
    limits: Any,
    reserved: int,
    pack: bool = False,
) -> Verdict:
    """Ask Nova's ``_numa_fit_instance_cell`` about pages, memory, limits and
    the number of pCPUs; about which pCPUs only with ``pack``.
    """
    if not threads_allow(cell, guest_cell):
        return NO
    size, number = guest_cell.pagesize, guest_cell.id
    token = _checking.set('pack' if pack else 'count')
    try:
        found = hardware._numa_fit_instance_cell(
            cell, guest_cell, limits, reserved
        )
        if found is None:
            return NO
        return Verdict(
            True,
            guest_cell.pagesize,
            guest_cell.cpu_pinning,
            guest_cell.cpuset_reserved,
        )
    except exception.MemoryPageSizeNotSupported:
        return NO
    finally:
        _checking.reset(token)
        guest_cell.pagesize, guest_cell.id = size, number
        guest_cell.cpu_pinning = guest_cell.cpuset_reserved = None


def checking() -> str | None:
    """Return what Nova is being asked at the moment: ``count`` or ``pack``."""
    return _checking.get()


def threads_allow(cell: Any, guest_cell: GuestCell) -> bool:
    """Return whether the guest's thread policy allows a host cell: ``require``
    needs SMT.
    """
    if not guest_cell.pcpuset or guest_cell.cpu_thread_policy != 'require':
        return True
    return max(map(len, cell.siblings), default=1) > 1


def left_to_nova(cells: Iterable[Any], guest_cell: GuestCell) -> bool:
    """Return whether Nova packs a guest cell itself: ``isolate`` with SMT,
    which only hosts with the old ``vcpu_pin_set`` allow, has rules of its own
    for cores that are not whole.
    """
    return (
        guest_cell.cpu_thread_policy == 'isolate'
        and bool(guest_cell.pcpuset)
        and any(max(map(len, c.siblings), default=1) > 1 for c in cells)
    )


def seated(
    guest_cells: list[GuestCell], ids: Iterator[int]
) -> list[GuestCell]:
    """Return the guest cells as Nova's judges expect them: with the ids of
    host cells.
    """
    for guest_cell, number in zip(guest_cells, ids, strict=True):
        guest_cell.id = number
    return guest_cells
