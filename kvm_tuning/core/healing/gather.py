"""Bring guests together one after the other, the cheapest first.

1. While a row is on more L3 domains than the fewest: of the rows with the
   fewest threads outside of their best domains per domain won,
2. try the target domains in which the row has most already;
3. move in what is outside: into free room first, then in exchange for pieces
   of other rows, which go where the row comes from. A piece of a row that is
   there already costs nothing, a whole piece no domain, a part of a piece one.
4. Take the step with the fewest moved vCPUs per domain won.

The steps, in their order, are the answer to any budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kvm_tuning.core.healing.exchange import exchange
from kvm_tuning.core.healing.table import Move, Table

#: Rows and target sets that are tried before a step is taken.
_ROWS = 6
_TARGETS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """The moves that bring a row together."""

    #: vCPUs that it moves per domain that it wins; lower is better.
    price: float
    moved: int
    moves: list[Move]


def gather(table: Table) -> None:
    """Apply step after step to the table; its excess falls with each."""
    while step := cheapest(table):
        table.apply(step.moves)


def cheapest(table: Table, most: int | None = None) -> Step | None:
    """Return the cheapest step; the table is as it was.

    :param most: vCPUs that it may move at the most; None: any number.
    """
    mark, excess, moved = table.mark(), table.excess, table.moved
    best: Step | None = None
    least: tuple[float, int] | None = None
    tried = 0
    for row in _candidates(table):
        if tried == _ROWS:
            break
        won = False
        for targets in _targets(table, row):
            done = _bring(table, row, targets)
            gain, more = excess - table.excess, table.moved - moved
            if done and gain > 0 and (most is None or more <= most):
                won = True
                if least is None or (more / gain, -gain) < least:
                    least = more / gain, -gain
                    best = Step(more / gain, more, table.since(mark))
            table.back(mark)
        tried += won
    return best


def _candidates(table: Table) -> list[int]:
    """Return the rows that are on too many domains, the cheapest first."""
    found = []
    count = range(len(table.cores))
    for row, each in enumerate(table.rows):
        over = table.over(row)
        if over > 0 and not each.whole:
            sizes = sorted((table.size(row, d) for d in count), reverse=True)
            found.append((sum(sizes[table.fewest[row] :]) / over, row))
    return [row for _price, row in sorted(found)]


def _targets(table: Table, row: int) -> list[tuple[int, ...]]:
    """Return sets of domains that could hold a row, the best first."""
    count = table.fewest[row]
    each = table.rows[row]
    size = sum(each.blocks) * table.threads + sum(each.singles)
    capacity = [
        whole * table.threads + lone
        for whole, lone in zip(table.cores, table.lone, strict=True)
    ]
    order = sorted(
        range(len(capacity)),
        key=lambda d: (-table.size(row, d), -table.free(d)),
    )
    base = order[:count]
    sets = [base]
    for place in range(count - 1, -1, -1):
        for other in order[count : count + _TARGETS - 1]:
            sets.append([*base[:place], other, *base[place + 1 :]])
    return [
        tuple(targets)
        for targets in sets
        if sum(capacity[d] for d in targets) >= size
    ][:_TARGETS]


def _bring(table: Table, row: int, targets: Sequence[int]) -> bool:
    """Bring a row into the target domains; return whether all of it is."""
    order = sorted(targets, key=lambda d: -table.size(row, d))
    for source in range(len(table.cores)):
        if source in targets or not table.size(row, source):
            continue
        for target in order:
            _into_free_room(table, row, source, target)
            if table.size(row, source):
                exchange(table, row, source, target)
        if table.size(row, source):
            return False
    return True


def _into_free_room(table: Table, row: int, source: int, target: int) -> None:
    blocks = min(
        table.blocks[row][source],
        table.cores[target] - table.used_blocks[target],
        table.free(target) // table.threads,
    )
    if blocks > 0:
        table.move(row, source, target, blocks, 0)
    singles = min(table.singles[row][source], table.free(target))
    if singles > 0:
        table.move(row, source, target, 0, singles)
