"""Exchange whole pieces between two domains until nothing gets better.

One piece of a domain against the best set of pieces of another: the set is a
knapsack over the threads of a domain. What counts is the whole cost: domains
first, then cores that two guests share, then moved vCPUs.
"""

from kvm_tuning.core.healing.table import Cost, Table

#: Weighs a domain against any number of moved vCPUs.
_DOMAIN = 1 << 20
_TRIED = 3
_ANY = 1 << 30


def polish(table: Table, most: int | None = None) -> None:
    """Lower the table's cost by exchanges of whole pieces.

    :param most: vCPUs that may be moved in all; None: any number.
    """
    while _round(table, _ANY if most is None else most):
        pass


def _round(table: Table, limit: int) -> bool:
    better = False
    cost = table.cost()
    count = len(table.cores)
    for source in range(count):
        for target in range(count):
            if source == target:
                continue
            for row in range(len(table.rows)):
                if table.size(row, source):
                    lower = _try(table, row, source, target, cost, limit)
                    if lower is not None:
                        cost, better = lower, True
    return better


def _try(
    table: Table, row: int, source: int, target: int, cost: Cost, limit: int
) -> Cost | None:
    """Exchange a piece where that costs less than ``cost``."""
    blocks, singles = table.blocks[row][source], table.singles[row][source]
    if table.rows[row].whole and table.has_kin(row, target):
        return None
    size = table.size(row, source)
    price = _price(table, row, source, target)
    # Who shares a core may come to do without, at the price of a move.
    most = _DOMAIN if cost[1] and _shares(table, source, target) else 0
    mark = table.mark()
    for more, others in _sets(table, row, source, target, size):
        if more + price > most:
            break
        table.move(row, source, target, blocks, singles)
        for other in others:
            table.move(
                other,
                target,
                source,
                table.blocks[other][target],
                table.singles[other][target],
            )
        if table.fits(source) and table.fits(target):
            lower = table.cost()
            if lower < cost and lower[2] <= limit:
                return lower
        table.back(mark)
    return None


def _shares(table: Table, source: int, target: int) -> bool:
    return bool(table.shared_in(source) or table.shared_in(target))


def _sets(
    table: Table, row: int, source: int, target: int, size: int
) -> list[tuple[int, tuple[int, ...]]]:
    """Return sets of pieces of ``target`` that make room, the best first."""
    need = size - table.free(target)
    limit = size + table.free(source)
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for other, each in enumerate(table.rows):
        threads = table.size(other, target)
        if other == row or not threads or threads > limit:
            continue
        if each.whole and table.has_kin(other, source):
            continue
        price = _price(table, other, target, source)
        grown = dict(best)
        for total, (sum_, others) in best.items():
            more = total + threads
            if more <= limit and (
                more not in grown or sum_ + price < grown[more][0]
            ):
                grown[more] = sum_ + price, (*others, other)
        best = grown
    return sorted(choice for total, choice in best.items() if total >= need)[
        :_TRIED
    ]


def _price(table: Table, row: int, source: int, target: int) -> int:
    moved = table.more_moved(
        row,
        source,
        target,
        table.blocks[row][source],
        table.singles[row][source],
    )
    return moved - (_DOMAIN if table.size(row, target) else 0)
