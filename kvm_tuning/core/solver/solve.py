"""One decision for all demands of a guest: which cells, pCPUs, pages, VFs."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import (
    CellDemand,
    Demand,
    Locality,
    ThreadPolicy,
)
from kvm_tuning.core.exceptions import Exhausted, Unsupported
from kvm_tuning.core.placement import CellPlacement, Placement, Unkept
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver import (
    costs,
    devices,
    pages,
    pinning,
    refusal,
    seating,
    sharing,
)
from kvm_tuning.core.solver import grid as grids
from kvm_tuning.core.solver.fit import Fit, Fitter
from kvm_tuning.core.solver.grid import Grid
from kvm_tuning.core.solver.pinning import Pins
from kvm_tuning.core.solver.seating import Seating
from kvm_tuning.core.solver.wants import Wants, sort

__all__ = ['COST', 'CellPlacement', 'Placement', 'Unkept', 'solve']

#: The entries of a cost, in words.
COST = costs.WORDS


def solve(demands: Iterable[Demand], site: Site) -> Placement:
    """Return the best placement for all demands of one guest.

    Every guest cell has a host cell of its own, and spans the fewest L3
    domains that can hold it there as the host cell is now, with the kinds of
    core that it uses. Among those the placement with the lowest cost
    (:mod:`~kvm_tuning.core.solver.costs`) is taken, and among equals the one
    on the lowest cells and pCPUs. Pure: equal demands and sites give equal
    placements.

    :raises Unsupported: this host could not do it even with nobody else there.
    :raises Exhausted: there is not enough left; it says what was free where.
    """
    wants = sort(demands)
    grid = grids.of(site.inventory, site.policy)
    _check(wants, site, grid)
    if not wants.cells:
        return _without_cells(wants, site, grid)
    if wants.whole:
        return _whole(wants, site, grid)
    fitter = Fitter(wants, site, grid)
    return _placement(fitter, seating.seat(fitter))


def _check(wants: Wants, site: Site, grid: Grid) -> None:
    """Raise Unsupported for requests that no amount of free capacity could
    satisfy.
    """
    if not wants.emulator:
        for cell in wants.cells:
            if cell.dedicated:
                break
        else:
            return
    if not grid.dedicated:
        raise Unsupported(
            'dedicated vCPUs need pCPUs that may be dedicated: set '
            '[placement] dedicated_cpus'
            + (' to online CPUs' if grid.dedicates else '')
        )
    if wants.threads is ThreadPolicy.REQUIRE and not grid.smt:
        raise Unsupported(
            'hw:cpu_thread_policy=require: this host has no thread siblings '
            '(SMT is off or absent)'
        )
    if wants.strict and not grid.l3 and wants.locality is not None:
        raise Unsupported(
            f'{wants.locality.asked_by}: the kernel of this host shows no L3 '
            f'cache, so L3 locality cannot be promised'
        )


def _placement(fitter: Fitter, seated: Seating) -> Placement:
    """Return the placement of a seating."""
    wants, site, grid = fitter.wants, fitter.site, fitter.grid
    cells = []
    reasons = []
    unkept: list[Unkept] = []
    emulator: frozenset[int] = frozenset()
    for cell, fit in zip(wants.cells, seated.fits, strict=True):
        pins = pinning.pin(
            fitter.stock, fit.packing, fit.ask, fit.kinds.mask, fit.row
        )
        if pins.emulator is not None:
            emulator = frozenset((pins.emulator,))
        cells.append(_cell(fitter, cell, fit, pins))
        reasons.append(_reason(cell, fit))
        if wants.l3 and cell.dedicated:
            unkept += _unkept_locality(fitter, cell, fit)
    if seated.second is not None:
        reasons.append(_runner_up(seated.cost, seated.second))
    host_cells: frozenset[int] = frozenset()
    pools: dict[str, frozenset[int]] = {}
    if wants.pools or wants.memory is not None:
        host_cells = frozenset(cell.host_cell for cell in cells)
    if wants.pools:
        pools, more = sharing.pools(
            wants.pools,
            sharing.Reach(
                grid,
                site.ledger,
                frozenset(p for cell in cells for p in cell.pins.values()),
                frozenset().union(*(cell.shared for cell in cells)),
                host_cells,
            ),
        )
        unkept += more
    return Placement(
        tuple(cells),
        emulator,
        pools,
        host_cells if wants.memory is not None else frozenset(),
        seated.devices.devices,
        seated.cost,
        tuple(reasons),
        tuple(unkept),
    )


def _cell(
    fitter: Fitter, cell: CellDemand, fit: Fit, pins: Pins
) -> CellPlacement:
    shared: frozenset[int] = frozenset()
    if fit.floats is not None:
        shared = fit.floats.cpus
        if cell.dedicated and fitter.wants.l3:
            near = frozenset[int]().union(
                *(p.domain.shared for p in fit.packing.domains)
            )
            shared = (near - fitter.site.ledger.pcpus) or shared
    return CellPlacement(
        cell.cell,
        fit.row.cell,
        dict(zip(sorted(cell.dedicated), pins.pcpus, strict=True)),
        shared.difference(pins.pcpus, pins.idle),
        frozenset(pins.idle),
        fit.pages.size_kib,
        fit.pages.number,
        cell.memory_kib,
    )


def _reason(cell: CellDemand, fit: Fit) -> str:
    """Say where a guest cell went."""
    domains = fit.packing.domains
    if len(domains) == 1:
        free, names = domains[0].free, domains[0].domain.name
    elif domains:
        free = sum(profile.free for profile in domains)
        names = ' and '.join(profile.domain.name for profile in domains)
    else:
        return f'guest cell {cell.cell} is on host cell {fit.row.cell}'
    return (
        f'guest cell {cell.cell} is on host cell {fit.row.cell}: '
        f'{len(cell.dedicated)} of {free} free pCPUs in {names}'
    )


def _runner_up(cost: tuple[int, ...], second: Fit) -> str:
    """Say why another host cell lost."""
    for what, one, other in zip(costs.WORDS, cost, second.cost, strict=True):
        if one != other:
            return (
                f'host cell {second.row.cell} would also do, but costs more: '
                f'{other} {what}, against {one}'
            )
    return f'host cell {second.row.cell} is as good, but comes later'


def _unkept_locality(
    fitter: Fitter, cell: CellDemand, fit: Fit
) -> list[Unkept]:
    """Return the L3 preference if this guest cell could not have it."""
    locality = fitter.wants.locality
    if locality is None or locality.strict:
        return []
    if not fitter.grid.l3:
        return [
            Unkept(
                locality.asked_by,
                'l3',
                f'host cell {fit.row.cell}',
                'the kernel of this host shows no L3 cache',
            )
        ]
    spans = fit.packing.spans
    if spans <= fit.fewest:
        return []
    return [
        Unkept(
            locality.asked_by,
            _domains(fit.fewest),
            _domains(spans),
            f'guest cell {cell.cell} needs {len(cell.dedicated)} pCPUs; '
            + refusal.what_is_free(fitter, cell),
        )
    ]


def _domains(count: int) -> str:
    return f'{count} L3 domain' + 's' * (count != 1)


def _whole(wants: Wants, site: Site, grid: Grid) -> Placement:
    """Place a guest that has no cells and no dedicated vCPU."""
    (cell,) = wants.cells
    held = site.ledger.pcpus
    level = wants.locality.level if wants.locality else Locality.ANY
    if level is Locality.L3 and grid.l3:
        sets = [domain.shared - held for domain in grid.domains]
    elif level is Locality.ANY:
        sets = [grid.shared - held]
    else:
        sets = [row.shared - held for row in grid.rows]
    sets = _with_memory(cell, sets, site, grid)
    found = sharing.least_loaded(site.ledger, sets, len(cell.vcpus))
    if found is None:
        raise Exhausted(
            f'guest cell {cell.cell} needs shared pCPUs for '
            f'{len(cell.vcpus)} vCPUs: '
            + (
                'guests hold every one on this host'
                if grid.shared
                else (
                    'this host has none, as [placement] dedicated_cpus and '
                    'shared_cpus leave it none'
                )
            )
        )
    host_cells = frozenset(grid.domain_of[cpu].cell for cpu in found.cpus)
    memory = (
        _bound_memory(cell, host_cells, site) if wants.memory_is_bound else {}
    )
    offered = devices.offers(wants.devices, site)
    chosen = devices.choose(offered, None, site.inventory)
    if chosen is None:
        raise refusal.no_devices(offered)
    unkept = []
    if level is Locality.L3 and not grid.l3 and wants.locality is not None:
        unkept.append(
            Unkept(
                wants.locality.asked_by,
                'l3',
                f'host cell {min(host_cells)}',
                'the kernel of this host shows no L3 cache',
            )
        )
    pools, more = sharing.pools(
        wants.pools,
        sharing.Reach(grid, site.ledger, frozenset(), found.cpus, host_cells),
    )
    cost = [0] * len(costs.WORDS)
    cost[costs.LOAD] = found.load
    return Placement(
        (
            CellPlacement(
                cell.cell,
                min(host_cells),
                shared=found.cpus,
                memory_kib=cell.memory_kib,
            ),
        ),
        pools=pools,
        memory_cells=host_cells if wants.memory is not None else frozenset(),
        memory_kib=memory,
        devices=chosen.devices,
        cost=tuple(cost),
        reasons=(
            f'the guest floats over shared pCPUs '
            f'{cpuset.format(found.cpus)}, the least loaded',
        ),
        unkept=(*unkept, *more),
    )


def _with_memory(
    cell: CellDemand, sets: list[frozenset[int]], site: Site, grid: Grid
) -> list[frozenset[int]]:
    """Return the sets of pCPUs whose host cells have the guest's memory free.

    All of them where none has: then the kernel takes it from elsewhere, too.
    """
    fitting = []
    for cpus in sets:
        cells = {grid.domain_of[cpu].cell for cpu in cpus}
        free = sum(_free_kib(site, host_cell) for host_cell in cells)
        if free >= cell.memory_kib:
            fitting.append(cpus)
    return fitting if any(fitting) else sets


def _free_kib(site: Site, host_cell: int) -> int:
    return max(0, pages.small_free_kib(site, site.inventory.cell[host_cell]))


def _bound_memory(
    cell: CellDemand, host_cells: frozenset[int], site: Site
) -> dict[int, int]:
    """Return how many KiB each of the cells counts for, by what is free there:
    the kernel takes memory from any of them.

    :raises Exhausted: the memory does not fit into them together.
    """
    free = {
        host_cell: _free_kib(site, host_cell)
        for host_cell in sorted(host_cells)
    }
    total = sum(free.values())
    if cell.memory_kib > total:
        names = cpuset.format(host_cells)
        raise Exhausted(
            f'the guest needs {cell.memory_kib // 1024} MiB of memory on host '
            f'cells {names}, and only {total // 1024} MiB are free there'
        )
    # Rounded up: not less than the whole.
    return {
        host_cell: -(-cell.memory_kib * kib // total)
        for host_cell, kib in free.items()
        if kib
    }


def _without_cells(wants: Wants, site: Site, grid: Grid) -> Placement:
    """Answer demands that are not about a vCPU."""
    offered = devices.offers(wants.devices, site)
    chosen = devices.choose(offered, None, site.inventory)
    if chosen is None:
        raise refusal.no_devices(offered)
    none: frozenset[int] = frozenset()
    pools, unkept = sharing.pools(
        wants.pools, sharing.Reach(grid, site.ledger, none, none, none)
    )
    return Placement(
        pools=pools,
        devices=chosen.devices,
        cost=(0,) * len(costs.WORDS),
        unkept=tuple(unkept),
    )
