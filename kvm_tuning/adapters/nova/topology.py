"""Nova's view of a host, in the solver's terms.

Nova keeps of a host the cells, their pCPUs, thread siblings and what is
pinned (``NUMATopology``); it knows nothing of L3 caches, which come from
elsewhere. Memory, pages and limits stay Nova's business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import threading
from typing import Any

from kvm_tuning.core.inventory import Cell, Cpu, Inventory
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Policy, Site
from kvm_tuning.core.solver import grid
from kvm_tuning.core.solver.grid import Grid

#: L3 domains of a host: the CPUs of each.
Domains = tuple[frozenset[int], ...]

#: Hosts that are kept in mind: a scheduler sees many, most of one make.
MOST_KEPT = 256

_kept: dict[object, 'Host'] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Host:
    """What of a host does not change with its guests."""

    inventory: Inventory
    policy: Policy
    grid: Grid
    #: Row of the grid by Nova's cell id; cells without pCPUs have none.
    rows: dict[int, int]

    def site(self, pinned: Iterable[int]) -> Site:
        """Return the site when ``pinned`` pCPUs are taken."""
        claim = Claim('nova', 'nova', pcpus=frozenset(pinned))
        return Site(self.inventory, Ledger((claim,)), policy=self.policy)


def host(cells: Sequence[Any], domains: Domains, pack: bool) -> Host:
    """Return the host of Nova's ``NUMACell`` objects, made once.

    :param domains: its L3 domains; empty: not known, a cell is one.
    :param pack: whether a used cell goes before an empty one.
    """
    key = domains, pack, tuple(map(_key, cells))
    found = _kept.get(key)
    if found is None:
        found = _make(cells, domains, pack)
        with _lock:
            while len(_kept) >= MOST_KEPT:
                del _kept[next(iter(_kept))]
            _kept[key] = found
    return found


def _key(cell: Any) -> tuple[object, ...]:
    return (
        cell.id,
        cell.socket if 'socket' in cell else None,
        frozenset(cell.pcpuset),
        # Equal sets may come in another order: that makes one host twice,
        # never two hosts one.
        tuple(map(tuple, cell.siblings)),
    )


def _make(cells: Sequence[Any], domains: Domains, pack: bool) -> Host:
    l3 = {cpu: domain for domain in domains for cpu in domain}
    packages: dict[int, frozenset[int]] = {}
    for cell in cells:
        package = _package(cell)
        packages[package] = packages.get(package, frozenset()) | cell.pcpuset
    cpus = []
    dedicated: set[int] = set()
    for cell in cells:
        own = frozenset(cell.pcpuset)
        for siblings in cell.siblings:
            core = own & siblings
            dedicated |= core
            # Threads of a core share its caches, whatever an old report says.
            domain = l3.get(min(siblings, default=-1))
            cpus += [
                Cpu(
                    id=cpu,
                    # A thread outside of pcpuset is never to be isolated.
                    core=frozenset(siblings),
                    package=packages[_package(cell)],
                    l3=domain,
                    cell=cell.id,
                )
                for cpu in core
            ]
    cpus.sort(key=lambda cpu: cpu.id)
    inventory = Inventory(
        tuple(cpus),
        tuple(Cell(cell.id, frozenset(cell.pcpuset), 0, 0) for cell in cells),
        0,
    )
    policy = Policy(
        dedicated_cpus=frozenset(dedicated),
        shared_cpus=frozenset(),
        pack_cells=pack,
    )
    made = grid.of(inventory, policy)
    rows = {row.cell: index for index, row in enumerate(made.rows)}
    return Host(inventory, policy, made, rows)


def _package(cell: Any) -> int:
    """Return the cell's socket; a cell of an unknown one is its own."""
    socket = cell.socket if 'socket' in cell else None
    return -1 - int(cell.id) if socket is None else int(socket)
