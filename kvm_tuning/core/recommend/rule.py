"""Divide a host between itself and its guests.

1. The host keeps whole cores, so that no guest's vCPU shares one with it:
   the core of CPU 0, where the kernel's own work starts, and the first free
   core of each L3 domain of SMALLEST_SHARE cores or more. Domains that lose
   the same stay equal, and the host's threads for a guest (QEMU's, vhost)
   find a pCPU behind the guest's own cache. Where L3 domains are smaller, or
   unknown, it is one core of each NUMA cell of that size.
2. A cell with PFs gives one core more, for their interrupts, where it has
   twice that size.
3. All other cores are for dedicated vCPUs. The host's own are the shared ones:
   vCPUs that float, emulator threads and iothreads run there.
4. A core that a running guest has pinned is never taken from it.
5. Each cell gives to huge pages what its memory has besides RESERVE_SHARE of
   it, and RESERVE_KIB at least, in pages of 2 MiB; never more than is free
   now, since the kernel would make fewer, and never fewer than there are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kvm_tuning.core import cpuset
from kvm_tuning.core.inventory import Cell, Inventory
from kvm_tuning.core.ledger import Ledger

#: A group of cores gives one to the host when it has as many: at most a
#: quarter is not for guests.
SMALLEST_SHARE = 4
#: What a cell keeps in small pages: for the host, QEMU's own memory and the
#: page cache.
RESERVE_SHARE = 0.10
RESERVE_KIB = 2 * 1024 * 1024
PAGE_KIB = 2048

_Core = frozenset[int]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one value is recommended."""

    what: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How to divide a host."""

    housekeeping: frozenset[int]
    dedicated: frozenset[int]
    #: Pages of PAGE_KIB by cell; cells without any are left out.
    huge_pages: dict[int, int]
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]


def recommend(inventory: Inventory, ledger: Ledger) -> Recommendation:
    """Return the division of a host with the guests that it has."""
    choice = _Choice(inventory, ledger)
    choice.run()
    kept = frozenset().union(*choice.kept)
    dedicated = inventory.online - kept
    reasons = [
        Reason('housekeeping CPUs', cpuset.format(core), why)
        for core, why in choice.kept.items()
    ]
    notes = list(choice.notes)
    if not dedicated:
        notes.append(
            'the host is too small to dedicate pCPUs to guests: nothing but '
            'shared vCPUs'
        )
    pages: dict[int, int] = {}
    for cell in inventory.cells:
        count, why = _pages(cell)
        if count:
            pages[cell.id] = count
            reasons.append(
                Reason('huge pages', f'cell {cell.id}: {count} of 2 MiB', why)
            )
    return Recommendation(kept, dedicated, pages, tuple(reasons), tuple(notes))


class _Choice:
    """The cores that the host keeps, with the reason for each."""

    def __init__(self, inventory: Inventory, ledger: Ledger) -> None:
        self.inventory = inventory
        self.held = ledger.pcpus
        self.kept: dict[_Core, str] = {}
        self.notes: list[str] = []

    def run(self) -> None:
        first = min(self.inventory.online)
        core = self.inventory.cpu[first].core
        self.kept[core] = f'CPU {first}: the kernel starts and stays there'
        if core & self.held:
            self.notes.append(
                f'a running guest has pCPUs {cpuset.format(core & self.held)} '
                f"of the core of CPU {first}, which is the host's first: move "
                f'it away'
            )
        for group, name in self._groups():
            if not any(kept <= group for kept in self.kept):
                self._keep(group, f'one core of {name}')
        for cell_id in sorted(self._cells_of_pfs()):
            group = self.inventory.cell[cell_id].cpus & self.inventory.online
            if len(self._cores(group)) >= 2 * SMALLEST_SHARE:
                self._keep(
                    group, f'cell {cell_id} has PFs: for their interrupts'
                )

    def _groups(self) -> Iterator[tuple[frozenset[int], str]]:
        """Yield groups of CPUs that give a core each, with their names."""
        domains = [d & self.inventory.online for d in self.inventory.l3]
        if domains and all(
            len(self._cores(domain)) >= SMALLEST_SHARE for domain in domains
        ):
            for domain in domains:
                yield domain, f'the L3 domain {cpuset.format(domain)}'
            return
        for cell in self.inventory.cells:
            cpus = cell.cpus & self.inventory.online
            if len(self._cores(cpus)) >= SMALLEST_SHARE:
                yield cpus, f'cell {cell.id}'

    def _keep(self, group: frozenset[int], why: str) -> None:
        free = [
            core
            for core in self._cores(group)
            if not core & self.held and core not in self.kept
        ]
        if free:
            self.kept[free[0]] = why
        else:
            self.notes.append(
                f'running guests hold every core of {cpuset.format(group)}: '
                f'the host gets none there'
            )

    def _cores(self, cpus: Iterable[int]) -> list[_Core]:
        cores = {self.inventory.cpu[cpu].core for cpu in cpus}
        return sorted(cores, key=min)

    def _cells_of_pfs(self) -> set[int]:
        return {
            device.cell
            for device in self.inventory.devices
            if device.total_vfs
            and device.cell is not None
            and device.cell in self.inventory.cell
        }


def _pages(cell: Cell) -> tuple[int, str]:
    """Return how many pages of 2 MiB a cell should have, and why."""
    pools = {pool.size_kib: pool for pool in cell.pages}
    pool = pools.get(PAGE_KIB)
    if pool is None:
        return 0, ''
    memory = cell.memory_bytes // 1024
    others = sum(p.size_kib * p.total for p in pools.values() if p != pool)
    reserve = max(RESERVE_KIB, int(memory * RESERVE_SHARE))
    most = max(0, memory - others - reserve) // PAGE_KIB
    free = max(0, cell.free_memory_bytes // 1024 - reserve) // PAGE_KIB
    count = max(pool.total, min(most, pool.total + free))
    if count == pool.total:
        return count, 'as many as there are'
    if count < most:
        return count, (
            f'what is free now; {most} could be, made at boot '
            f'([huge_pages] kernel_arguments)'
        )
    return count, f'all but {reserve // 1024} MiB of the cell'
