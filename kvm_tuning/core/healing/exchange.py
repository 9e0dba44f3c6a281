"""Exchange a piece of a row for pieces of other rows in another domain.

Which pieces go is a knapsack over the threads of one L3 domain: of each
number of threads the cheapest choice, by domains won or lost first and by
vCPUs moved second.
"""

from collections.abc import Iterator

from kvm_tuning.core.healing.table import Table

#: (domains, vCPUs moved): lower is better.
_Price = tuple[int, int]
#: Row, blocks, singles.
_Piece = tuple[int, int, int]
_Choice = tuple[_Price, tuple[_Piece, ...]]

#: Choices that are tried, the cheapest first.
_TRIED = 6


def exchange(table: Table, row: int, source: int, target: int) -> bool:
    """Move what a row has in ``source`` into ``target``, others back.

    Where the row is to fill several domains it may be a part of it. Return
    whether something was moved; the table is as it was where nothing was.
    """
    blocks, singles = table.blocks[row][source], table.singles[row][source]
    room = table.free(target) + sum(
        table.size(other, target)
        for other in range(len(table.rows))
        if other != row
    )
    if blocks * table.threads + singles > room:
        blocks = min(blocks, room // table.threads)
        singles = min(singles, room - blocks * table.threads)
    size = blocks * table.threads + singles
    if not size:
        return False
    need = size - max(0, table.free(target))
    limit = size + max(0, table.free(source))
    choices = _knapsack(table, row, target, source, limit)
    found = sorted(
        (price, threads, pieces)
        for threads, (price, pieces) in choices.items()
        if threads >= need
    )
    mark = table.mark()
    for _price, _threads, pieces in found[:_TRIED]:
        table.move(row, source, target, blocks, singles)
        for other, more, alone in pieces:
            table.move(other, target, source, more, alone)
        if table.fits(target) and table.fits(source):
            return True
        table.back(mark)
    return False


def _knapsack(
    table: Table, row: int, source: int, target: int, limit: int
) -> dict[int, _Choice]:
    """Return the cheapest pieces to move, by the threads that they take."""
    best: dict[int, _Choice] = {0: ((0, 0), ())}
    for other, each in enumerate(table.rows):
        if other == row or not table.size(other, source):
            continue
        if each.whole and table.has_kin(other, target):
            continue
        options = [
            (blocks * table.threads + singles, price, piece)
            for price, piece in _options(table, other, source, target)
            for _row, blocks, singles in (piece,)
        ]
        grown = dict(best)
        for threads, (price, pieces) in best.items():
            for size, more, piece in options:
                total = threads + size
                if total > limit:
                    continue
                sum_ = price[0] + more[0], price[1] + more[1]
                if total not in grown or sum_ < grown[total][0]:
                    grown[total] = sum_, (*pieces, piece)
        best = grown
    return best


def _options(
    table: Table, row: int, source: int, target: int
) -> Iterator[tuple[_Price, _Piece]]:
    """Yield the pieces of a row that could move, with their prices."""
    blocks, singles = table.blocks[row][source], table.singles[row][source]
    there = bool(table.size(row, target))
    price = (
        -1 if there else 0,
        table.more_moved(row, source, target, blocks, singles),
    )
    yield price, (row, blocks, singles)
    if table.rows[row].whole:
        return
    for some in range(blocks + 1):
        for alone in sorted({0, min(1, singles), singles}):
            if (some, alone) in ((0, 0), (blocks, singles)):
                continue
            moved = table.more_moved(row, source, target, some, alone)
            yield (0 if there else 1, moved), (row, some, alone)
