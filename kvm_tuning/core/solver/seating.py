"""Seat all guest cells of a guest on host cells, with the devices
near them.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from kvm_tuning.core.demands import Affinity
from kvm_tuning.core.solver import costs, devices, matching, refusal
from kvm_tuning.core.solver.devices import Chosen, Offer
from kvm_tuning.core.solver.fit import Fit, Fitter

# Sets of host cells with devices that are tried for a guest of several
# cells; hosts have devices in few cells.
_MOST_SETS = 256
# Packages whose every combination is tried.
_MOST_PACKAGES = 4


class Seating(NamedTuple):
    """A host cell for each guest cell."""

    fits: tuple[Fit, ...]
    devices: Chosen
    cost: tuple[int, ...]
    #: Another host cell that lost, for a guest with one cell.
    second: Fit | None = None


def seat(fitter: Fitter) -> Seating:
    """Return the cheapest seating.

    :raises Refused: there is none; the message says what was free where.
    """
    wanted = fitter.wants.devices
    offered = devices.offers(wanted, fitter.site) if wanted else []
    if len(fitter.wants.cells) == 1:
        return _seat_one(fitter, offered)
    return _seat_several(fitter, offered)


def _seat_one(fitter: Fitter, offered: list[Offer]) -> Seating:
    cell = fitter.wants.cells[0]
    if not offered:
        best, second = fitter.best(cell)
        if best is None:
            raise refusal.no_host_cell(fitter, cell)
        return Seating((best,), devices.NONE, best.cost, second)
    fits = [fit for fit in fitter.fits(cell) if fit is not None]
    if not fits:
        raise refusal.no_host_cell(fitter, cell)
    found = [
        seating for fit in fits if (seating := _with(fitter, offered, [fit]))
    ]
    if not found:
        raise refusal.no_devices(offered)
    return min(found, key=_seating_cost)


def _seating_cost(seating: Seating) -> tuple[int, ...]:
    return seating.cost


def _with(
    fitter: Fitter, offered: Sequence[Offer], fits: Sequence[Fit]
) -> Seating | None:
    """Return the fits with devices near them and what they cost in total."""
    chosen = devices.choose(
        offered,
        frozenset(fit.row.cell for fit in fits),
        fitter.site.inventory,
    )
    if chosen is None:
        return None
    cost = [
        sum(entries) for entries in zip(*(f.cost for f in fits), strict=True)
    ]
    cost[costs.AWAY] = chosen.away
    cost[costs.PACKAGES] = len({fit.row.package for fit in fits}) - 1
    return Seating(tuple(fits), chosen, tuple(cost))


def _seat_several(fitter: Fitter, offered: list[Offer]) -> Seating:
    fits = _all_fits(fitter)
    short = matching.shortage([[f is not None for f in line] for line in fits])
    if short is not None:
        raise refusal.too_few_cells(fitter, *short)
    numbers: dict[int, list[int | None]] = {}
    matrix = []
    for line in fits:
        if id(line) not in numbers:
            numbers[id(line)] = [f and costs.number(f.cost) for f in line]
        matrix.append(numbers[id(line)])
    best: Seating | None = None
    for restrictions in _restrictions(fitter, offered):
        for allowed, must in restrictions:
            found = _assign(matrix, allowed, must)
            if found is None:
                continue
            chosen = [
                fit
                for line, column in zip(fits, found, strict=True)
                if (fit := line[column]) is not None
            ]
            seating = _with(fitter, offered, chosen)
            if seating and (best is None or seating.cost < best.cost):
                best = seating
        if best is not None and not any(best.cost[: costs.PACKAGES]):
            # More packages could only be worse.
            break
    if best is None:
        raise refusal.no_devices(offered)
    return best


def _all_fits(fitter: Fitter) -> list[list[Fit | None]]:
    """Return the fits of each guest cell; equal cells share one list."""
    own_limits = fitter.wants.strict and best_rows_are_short(fitter)
    known: dict[object, list[Fit | None]] = {}
    found = []
    for cell in fitter.wants.cells:
        key = (
            fitter.ask(cell),
            len(cell.vcpus),
            cell.memory_kib,
            fitter.wants.sizes_kib.get(cell.cell),
        )
        if key not in known:
            known[key] = fitter.fits(cell, own_limits)
        found.append(known[key])
    return found


def best_rows_are_short(fitter: Fitter) -> bool:
    """Return whether guest cells outnumber the host cells that allow the
    fewest L3 domains of all, even with nobody else on the host.
    """
    rows = []
    for cell in fitter.wants.cells:
        limits = fitter.fewest(fitter.ask(cell))
        best = min([n for n in limits if n is not None], default=None)
        rows.append([n is not None and n == best for n in limits])
    return matching.shortage(rows) is not None


def _restrictions(
    fitter: Fitter, offered: Sequence[Offer]
) -> Iterator[list[tuple[frozenset[int], frozenset[int]]]]:
    """Yield (rows that may be used, rows that must be), by package count.

    The costs of packages and of devices are not sums over guest cells: for
    each combination of them the rest is one assignment.
    """
    rows = fitter.grid.rows
    packages = sorted({row.package for row in rows})
    sizes = (
        range(1, len(packages) + 1)
        if len(packages) <= _MOST_PACKAGES
        else (1, 2, len(packages))
    )
    with_devices = _rows_with_devices(fitter, offered)
    count = len(fitter.wants.cells)
    for size in sizes:
        found = []
        for chosen in combinations(packages, size):
            inside = frozenset(
                [row.index for row in rows if row.package in chosen]
            )
            if len(inside) >= count:
                found += [
                    (inside - (with_devices - must), must)
                    for must in _subsets(sorted(with_devices & inside), count)
                ]
        yield found


def _rows_with_devices(
    fitter: Fitter, offered: Sequence[Offer]
) -> frozenset[int]:
    """Return the rows that make a difference for the devices."""
    if not offered:
        return frozenset()
    rows = fitter.grid.rows
    cells = {device.cell for offer in offered for device in offer.free}
    found = {i for i, row in enumerate(rows) if row.cell in cells}
    if any(offer.demand.affinity is Affinity.SOCKET for offer in offered):
        packages = {rows[i].package for i in found}
        found |= {i for i, row in enumerate(rows) if row.package in packages}
    return frozenset(found)


def _subsets(rows: Sequence[int], most: int) -> Iterator[frozenset[int]]:
    left = _MOST_SETS
    for size in range(min(len(rows), most) + 1):
        for chosen in combinations(rows, size):
            left -= 1
            if left < 0:
                return
            yield frozenset(chosen)


def _assign(
    matrix: Sequence[Sequence[int | None]],
    allowed: frozenset[int],
    must: frozenset[int],
) -> list[int] | None:
    """Return the cheapest column of each row under a restriction."""
    columns = sorted(allowed)
    if len(columns) < len(matrix):
        return None
    if not must and all(line is matrix[0] for line in matrix):
        return _cheapest(matrix[0], columns, len(matrix))
    bonus = 1 << costs.ENTRY_BITS * (len(costs.WORDS) + 1)
    narrowed = [
        [
            None
            if (cost := line[column]) is None
            else cost - bonus
            if column in must
            else cost
            for column in columns
        ]
        for line in matrix
    ]
    found = matching.assign(narrowed)
    if found is None:
        return None
    chosen = [columns[index] for index in found]
    return chosen if must <= set(chosen) else None


def _cheapest(
    line: Sequence[int | None], columns: Sequence[int], count: int
) -> list[int] | None:
    """Return the columns for rows that are all equal."""
    ranked = sorted(
        (cost, column)
        for column in columns
        if (cost := line[column]) is not None
    )
    if len(ranked) < count:
        return None
    return sorted(column for _, column in ranked[:count])
