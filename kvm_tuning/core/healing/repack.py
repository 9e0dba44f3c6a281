"""Pack a NUMA cell from nothing, as near to the present as it can be.

1. The groups of ``least`` are filled with guests of the right sizes; the
   guests of a group stand in a row that is cut into domains, so that each cut
   splits one guest at the most.
2. The bins are given to the domains so that most vCPUs stay where they are
   (the Hungarian method).

It is what finds the least where step after step has come to an end too soon.
"""

from collections.abc import Sequence

from kvm_tuning.core.healing import least
from kvm_tuning.core.healing.table import Move, Table
from kvm_tuning.core.solver import matching

#: Blocks and singles of a row.
_Share = tuple[int, int]
_Bin = dict[int, _Share]


def repack(table: Table) -> bool:
    """Pack the table again; return whether that could be done.

    The table is as it was where it could not.
    """
    found = least.groups(table)
    if found is None:
        return False
    bins = _bins(table, *found)
    if bins is None:
        return False
    count = len(table.cores)
    bins += [{} for _ in range(count - len(bins))]
    costs = [
        [-_kept(table, each, domain) for domain in range(count)]
        for each in bins
    ]
    domains = matching.assign(costs)
    if domains is None:
        return False
    mark = table.mark()
    wanted = {domain: bins[n] for n, domain in enumerate(domains)}
    table.apply(_moves(table, wanted))
    if all(table.fits(domain) for domain in range(count)):
        return True
    table.back(mark)
    return False


def _bins(
    table: Table, sizes: Sequence[int], groups: Sequence[least.Group]
) -> list[_Bin] | None:
    """Return what each domain is to hold; None where a cut is impossible."""
    waiting: dict[int, list[int]] = {size: [] for size in sizes}
    for row, each in enumerate(table.rows):
        size = sum(each.blocks) * table.threads + sum(each.singles)
        waiting[size].append(row)
    bins: list[_Bin] = []
    for count, taken in groups:
        rows = [
            waiting[size].pop()
            for size, number in zip(sizes, taken, strict=True)
            for _ in range(number)
        ]
        cut = _cut(table, rows, count)
        if cut is None:
            return None
        bins += cut
    return bins


def _cut(table: Table, rows: Sequence[int], count: int) -> list[_Bin] | None:
    """Fill one bin after the other with the rows of a group."""
    capacity = table.cores[0] * table.threads + table.lone[0]
    bins: list[_Bin] = [{} for _ in range(count)]
    at, room = 0, capacity
    for row in rows:
        blocks = sum(table.rows[row].blocks)
        singles = sum(table.rows[row].singles)
        while blocks or singles:
            more = min(blocks, room // table.threads)
            alone = min(singles, room - more * table.threads)
            if more or alone:
                bins[at][row] = more, alone
                blocks, singles = blocks - more, singles - alone
                room -= more * table.threads + alone
            if blocks or singles:
                at, room = at + 1, capacity
                if at == count:
                    return None
    return bins


def _kept(table: Table, each: _Bin, domain: int) -> int:
    kept = 0
    for row, (blocks, singles) in each.items():
        first = table.rows[row]
        kept += min(blocks, first.blocks[domain]) * first.weight
        kept += min(singles, first.singles[domain])
    return kept


def _moves(table: Table, wanted: dict[int, _Bin]) -> list[Move]:
    """Return the moves that make the table what is wanted."""
    moves: list[Move] = []
    for row in range(len(table.rows)):
        shares = [wanted[domain].get(row, (0, 0)) for domain in sorted(wanted)]
        blocks = [share[0] for share in shares]
        singles = [share[1] for share in shares]
        moves += [
            (row, source, target, count, 0)
            for source, target, count in _flows(table.blocks[row], blocks)
        ]
        moves += [
            (row, source, target, 0, count)
            for source, target, count in _flows(table.singles[row], singles)
        ]
    return moves


def _flows(
    now: Sequence[int], wanted: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Return what goes from where to where: source, target, how much."""
    over = [
        [d, a - b]
        for d, (a, b) in enumerate(zip(now, wanted, strict=True))
        if a > b
    ]
    under = [
        [d, b - a]
        for d, (a, b) in enumerate(zip(now, wanted, strict=True))
        if b > a
    ]
    flows = []
    while over and under:
        count = min(over[0][1], under[0][1])
        flows.append((over[0][0], under[0][0], count))
        for ends in (over, under):
            ends[0][1] -= count
            if not ends[0][1]:
                ends.pop(0)
    return flows
