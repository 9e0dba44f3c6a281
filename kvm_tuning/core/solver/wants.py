"""The demands of one guest, sorted by what they are about."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kvm_tuning.core.demands import (
    CellDemand,
    Demand,
    DeviceDemand,
    EmulatorDemand,
    EvenDemand,
    Locality,
    LocalityDemand,
    MemoryDemand,
    MemoryMode,
    PageDemand,
    Pool,
    PoolDemand,
    ThreadDemand,
    ThreadPolicy,
)


@dataclass(slots=True)
class Wants:
    """Everything that one guest wants. Of two demands on one thing the last
    counts.

    Each thing belongs to one hook, so a plan never has two.
    """

    cells: list[CellDemand] = field(default_factory=list)
    #: Page sizes in KiB by guest cell, the best first.
    sizes_kib: dict[int, tuple[int, ...]] = field(default_factory=dict)
    threads: ThreadPolicy = ThreadPolicy.PREFER
    locality: LocalityDemand | None = None
    even: EvenDemand | None = None
    emulator: bool = False
    pools: list[PoolDemand] = field(default_factory=list)
    memory: MemoryDemand | None = None
    devices: list[DeviceDemand] = field(default_factory=list)

    @property
    def l3(self) -> bool:
        """Whether L3 locality was requested."""
        return self.locality is not None and (
            self.locality.level is Locality.L3
        )

    @property
    def strict(self) -> bool:
        """Whether L3 locality was promised."""
        return (
            self.locality is not None
            and self.locality.level is Locality.L3
            and self.locality.strict
        )

    @property
    def whole(self) -> bool:
        """Whether the guest has no cells and no dedicated vCPU."""
        return (
            len(self.cells) == 1
            and self.cells[0].whole
            and not self.cells[0].dedicated
        )

    @property
    def memory_is_bound(self) -> bool:
        """Whether the guest's memory must fit its host cells."""
        return not self.whole or (
            self.memory is not None and self.memory.mode is MemoryMode.STRICT
        )

    def pool(self, level: Pool, strict: bool) -> bool:
        """Return whether a helper pool of that kind was promised or
        preferred.
        """
        return bool(self.pools) and any(
            one.pool is level and one.strict is strict for one in self.pools
        )


def sort(demands: Iterable[Demand]) -> Wants:
    """Return the demands sorted; guest cells by their ids."""
    wants = Wants()
    for demand in demands:
        if isinstance(demand, CellDemand):
            wants.cells.append(demand)
        elif isinstance(demand, PageDemand):
            wants.sizes_kib[demand.cell] = demand.sizes_kib
        elif isinstance(demand, ThreadDemand):
            wants.threads = demand.policy
        elif isinstance(demand, LocalityDemand):
            wants.locality = demand
        elif isinstance(demand, EvenDemand):
            wants.even = demand
        elif isinstance(demand, EmulatorDemand):
            wants.emulator = True
        elif isinstance(demand, PoolDemand):
            wants.pools.append(demand)
        elif isinstance(demand, MemoryDemand):
            wants.memory = demand
        else:
            wants.devices.append(demand)
    if len(wants.cells) > 1:
        wants.cells.sort(key=lambda cell: cell.cell)
    return wants
