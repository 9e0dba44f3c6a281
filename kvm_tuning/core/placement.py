"""A placement: where the cells, vCPUs and devices of a guest go."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CellPlacement:
    """Where one guest cell goes."""

    #: The guest cell and the host cell that holds it.
    cell: int
    host_cell: int
    #: pCPU of each dedicated vCPU.
    pins: Mapping[int, int] = field(default_factory=dict)
    #: pCPUs over which the shared vCPUs float; empty when there are none.
    shared: frozenset[int] = frozenset()
    #: pCPUs that are held in addition to the pins (``isolate``'s idle
    #: siblings).
    reserved: frozenset[int] = frozenset()
    #: Page size in KiB and how many pages; None: the base page, not counted.
    page_kib: int | None = None
    pages: int = 0
    memory_kib: int = 0


@dataclass(frozen=True, slots=True)
class Unkept:
    """A preference that could not be kept, and why."""

    knob: str
    wanted: str
    found: str
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer to all demands of one guest."""

    cells: tuple[CellPlacement, ...] = ()
    #: pCPUs reserved for the emulator alone (``isolate``).
    emulator: frozenset[int] = frozenset()
    #: pCPUs by purpose: ``emulator``, ``iothread``, ``vhost``.
    pools: Mapping[str, frozenset[int]] = field(default_factory=dict)
    #: Host cells of the guest's memory, if requested
    #: (:class:`~kvm_tuning.core.demands.MemoryDemand`).
    memory_cells: frozenset[int] = frozenset()
    #: PCI addresses by the demand's key.
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: What alternatives are compared by, lower is better; see
    #: :mod:`kvm_tuning.core.solver.costs`.
    cost: tuple[int, ...] = ()
    #: One sentence each, for a person.
    reasons: tuple[str, ...] = ()
    unkept: tuple[Unkept, ...] = ()
    #: Whether somebody else, such as Nova, gave the guest its devices.
    given: bool = False
    #: Small pages in KiB by host cell; None: those of each guest cell are on
    #: its own host cell.
    memory_kib: Mapping[int, int] | None = None

    @property
    def pins(self) -> dict[int, int]:
        """The pCPU of each dedicated vCPU of all cells."""
        return {v: p for cell in self.cells for v, p in cell.pins.items()}

    @property
    def held(self) -> frozenset[int]:
        """Every pCPU that nobody else may use."""
        own: set[int] = set(self.emulator)
        for cell in self.cells:
            own.update(cell.pins.values(), cell.reserved)
        return frozenset(own)
