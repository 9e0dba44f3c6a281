"""Nova's view of a host, in the solver's terms.

Nova keeps a host's cells, their pCPUs, thread siblings and what is pinned
(``NUMATopology``); it knows nothing about L3 caches, which come from
elsewhere. Memory, pages and limits remain Nova's business.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
import threading
from typing import Any

from kvm_tuning.core.inventory import Cell, Cpu, Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.site import Policy, Site
from kvm_tuning.core.solver import grid
from kvm_tuning.core.solver.grid import Grid
from kvm_tuning.core.solver.stock import Stock

#: The L3 domains of a host: the CPUs of each.
Domains = tuple[frozenset[int], ...]

#: How many hosts are cached for one set of L3 domains: a scheduler sees many,
#: most of them identical.
MOST_KEPT = 64
#: Sets of L3 domains for which hosts are cached.
MOST_MAKES = 64

_kept: dict[object, list['EmptyHost']] = {}
_lock = threading.Lock()

# What identifies a host in Nova's cells: ids, sockets, dedicated pCPUs, thread
# siblings; each by cell.
_Shape = tuple[
    list[int],
    list[int | None],
    Sequence[Set[int]],
    Sequence[Sequence[Set[int]]],
]


class NovaCells:
    """Nova's ``NUMACell`` objects, what the fit needs of them read once."""

    __slots__ = ('cells', 'pcpus', 'pinned')

    def __init__(self, cells: Sequence[Any]) -> None:
        self.cells = cells
        #: By cell: dedicated pCPUs, and those that are pinned.
        self.pcpus: list[set[int]] = _all(cells, 'pcpuset')
        self.pinned: list[set[int]] = _all(cells, 'pinned_cpus')

    def may_hold(self, sizes: list[int]) -> bool:
        """Return whether guest cells with so many dedicated vCPUs could each
        have a host cell with as many free pCPUs. With fewer, Nova's own check
        of a pair of cells refuses, whatever else it finds.
        """
        cells = zip(self.pcpus, self.pinned, strict=True)
        if len(sizes) == 1:
            (size,) = sizes
            return any(
                # At least as many are free, and this is cheap to compute.
                len(pcpus) - len(pinned) >= size or len(pcpus - pinned) >= size
                for pcpus, pinned in cells
            )
        free = [len(pcpus - pinned) for pcpus, pinned in cells]
        free.sort(reverse=True)
        sizes.sort(reverse=True)
        return all(map(int.__ge__, free, sizes))

    def shape(self) -> _Shape:
        """Return what identifies the host, for comparison and not to
        be kept.
        """
        cells = self.cells
        return (
            _all(cells, 'id'),
            [_socket(cell) for cell in cells],
            self.pcpus,
            # The order of siblings may differ, too: that creates one host
            # twice, but never makes one out of two.
            _all(cells, 'siblings'),
        )


def read(cell: Any, name: str) -> Any:
    """Return a field of a versioned object.

    They keep it below this name, and the property that reads it takes ten
    times as long: as long as counting a cell's pCPUs.

    :raises NotImplementedError: it is not set.
    """
    try:
        return cell.__dict__['_obj_' + name]
    except KeyError:
        return getattr(cell, name)


def given(thing: Any, name: str) -> Any:
    """Return a field of a versioned object that may not be set; None where it
    is not. As fast as :func:`read`; nothing is loaded.
    """
    return thing.__dict__.get('_obj_' + name)


def _all(cells: Sequence[Any], name: str) -> list[Any]:
    """Return a field of all cells; see :func:`read`."""
    key = '_obj_' + name
    try:
        return [cell.__dict__[key] for cell in cells]
    except KeyError:
        return [getattr(cell, name) for cell in cells]


@dataclass(frozen=True, slots=True)
class EmptyHost:
    """The part of a host that does not change with its guests."""

    #: With nobody on it: memory and pages are Nova's business, and there are
    #: no shared pCPUs, so only pins would count in a ledger.
    site: Site
    grid: Grid
    #: Row of the grid by Nova's cell id; cells without pCPUs have none.
    rows: dict[int, int]
    #: Position of Nova's cell by row of the grid.
    columns: tuple[int, ...]
    shape: _Shape

    def stock(self, nova_cells: NovaCells) -> Stock:
        """Return what is free."""
        held = 0
        for pinned in nova_cells.pinned:
            if pinned:
                held |= self.grid.held(frozenset(pinned))
        return Stock(self.grid, held)


def host(nova_cells: NovaCells, domains: Domains, pack: bool) -> EmptyHost:
    """Return the host of Nova's cells; it is created once.

    :param domains: its L3 domains; empty: unknown, a cell counts as one.
    :param pack: whether a used cell is preferred to an empty one.
    """
    key = domains, pack
    shape = nova_cells.shape()
    for known in _kept.get(key, ()):
        if known.shape == shape:
            return known
    made = _make(nova_cells.cells, domains, pack)
    with _lock:
        alike = _kept.get(key, [])
        while key not in _kept and len(_kept) >= MOST_MAKES:
            del _kept[next(iter(_kept))]
        # A list is never changed: others may be reading it.
        _kept[key] = [made, *alike[: MOST_KEPT - 1]]
    return made


def _socket(cell: Any) -> int | None:
    try:
        found: int | None = read(cell, 'socket')
    except NotImplementedError:
        # An old record of a host has none.
        return None
    return found


def _make(cells: Sequence[Any], domains: Domains, pack: bool) -> EmptyHost:
    l3 = _known({cpu: domain for domain in domains for cpu in domain}, cells)
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
            domain = l3.get(_first(siblings))
            cpus += [
                Cpu(
                    id=cpu,
                    # A thread outside pcpuset is never to be isolated.
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
    places = {cell.id: column for column, cell in enumerate(cells)}
    return EmptyHost(
        Site(inventory, Ledger(), policy=policy),
        made,
        rows,
        tuple(places[row.cell] for row in made.rows),
        (
            [cell.id for cell in cells],
            [_socket(cell) for cell in cells],
            [frozenset(cell.pcpuset) for cell in cells],
            [
                [frozenset(siblings) for siblings in cell.siblings]
                for cell in cells
            ],
        ),
    )


def _known(
    l3: dict[int, frozenset[int]], cells: Sequence[Any]
) -> dict[int, frozenset[int]]:
    """Return the L3 domains by CPU, or none when a core has none: the kernel
    shows no caches of a CPU that is off, so all of its pCPUs would be taken
    for one domain.
    """
    cores = (core for cell in cells for core in cell.siblings)
    return l3 if all(_first(core) in l3 for core in cores) else {}


def _first(core: Set[int]) -> int:
    return min(core, default=-1)


def _package(cell: Any) -> int:
    """Return the cell's socket; a cell of an unknown socket is its own."""
    socket = _socket(cell)
    return -1 - int(cell.id) if socket is None else int(socket)
