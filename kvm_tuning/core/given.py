"""Read the placement of a guest that somebody else, such as Nova, has placed.

Its vCPU pins, cells and nodesets are facts that its domain already has: they
are read, never chosen. What is still to be decided is only what the domain
does not say: where helper threads run.
"""

from collections.abc import Iterable, Sequence

from kvm_tuning.core.demands import (
    Demand,
    DeviceDemand,
    MemoryDemand,
    PoolDemand,
)
from kvm_tuning.core.guest import Guest, Numa
from kvm_tuning.core.placement import CellPlacement, Placement
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver import grid, sharing


def read(
    guest: Guest,
    demands: Iterable[Demand],
    site: Site,
    isolated: bool = False,
) -> Placement:
    """Return where ``guest`` is, and where its helper threads may run.

    A vCPU that is pinned to a single pCPU has it to itself; the others float.

    :param isolated: the emulator has its pCPU to itself, too.
    :raises Unsupported: a promised pool has no pCPU on this site.
    """
    asked = list(demands)
    cells = tuple(_cell(cell, guest, site) for cell in _cells(guest))
    pins = frozenset(p for cell in cells for p in cell.pins.values())
    floats = frozenset[int]().union(*(cell.shared for cell in cells))
    host_cells = _host_cells(guest, pins | floats, site)
    online = site.inventory.online
    pools, unkept = sharing.pools(
        [demand for demand in asked if isinstance(demand, PoolDemand)],
        sharing.Reach(
            grid.of(site.inventory, site.policy),
            site.ledger,
            pins & online,
            floats & online,
            host_cells,
        ),
    )
    bound = any(isinstance(demand, MemoryDemand) for demand in asked)
    return Placement(
        cells=cells,
        emulator=(guest.emulator_pin if isolated else None) or frozenset(),
        pools=pools,
        memory_cells=host_cells if bound else frozenset(),
        devices={
            demand.key: _devices(demand, guest, site)
            for demand in asked
            if isinstance(demand, DeviceDemand)
        },
        given=True,
        unkept=tuple(unkept),
    )


def _devices(
    demand: DeviceDemand, guest: Guest, site: Site
) -> tuple[str, ...]:
    """Return the guest's functions that satisfy ``demand``."""
    found = map(site.inventory.device.get, guest.passed_through)
    return tuple(
        function.address
        for function in found
        if function is not None
        and all(
            getattr(function, name) in allowed
            for name, allowed in demand.match.items()
        )
    )


def _cells(guest: Guest) -> Sequence[Numa]:
    if guest.cells:
        return guest.cells
    return (Numa(0, frozenset(range(guest.vcpus)), guest.memory_kib),)


def _cell(cell: Numa, guest: Guest, site: Site) -> CellPlacement:
    pins: dict[int, int] = {}
    shared: set[int] = set()
    for vcpu in sorted(cell.cpus):
        cpus = guest.pins.get(vcpu)
        if cpus is None:
            continue
        # A set of one pCPU may also be a shared set of one.
        if len(cpus) == 1 and not cpus <= (
            site.policy.shared_cpus or frozenset()
        ):
            (pins[vcpu],) = cpus
        else:
            shared |= cpus
    if not pins and not shared:
        shared |= guest.cpuset or frozenset()
    nodes = guest.memnodes.get(cell.id) or _of(
        frozenset(pins.values()) | shared, site
    )
    page_kib = None
    if len(guest.huge_pages_kib) == 1:
        (page_kib,) = guest.huge_pages_kib
    return CellPlacement(
        cell=cell.id,
        host_cell=min(nodes, default=0),
        pins=pins,
        shared=frozenset(shared),
        page_kib=page_kib,
        pages=0 if page_kib is None else -(-cell.memory_kib // page_kib),
        memory_kib=cell.memory_kib if guest.memory_nodes else 0,
    )


def _host_cells(
    guest: Guest, cpus: frozenset[int], site: Site
) -> frozenset[int]:
    """Return the host cells that the guest is bound to, else those where its
    vCPUs run, else all.
    """
    if guest.memory_nodes:
        return guest.memory_nodes
    found = _of(cpus, site)
    return found or frozenset(c.id for c in site.inventory.cells if c.cpus)


def _of(cpus: frozenset[int], site: Site) -> frozenset[int]:
    known = site.inventory.cpu
    return frozenset(known[cpu].cell for cpu in cpus if cpu in known)
