"""Yield assignments in order of cost, for a judge with the last word.

Some judges can only be asked about a complete answer (Nova's PCI tracker, its
network affinity). They get the cheapest answer first, then the next one.
"""

from collections.abc import Iterator, Sequence
import heapq
from itertools import count

from kvm_tuning.core.solver import matching

Costs = Sequence[Sequence[int | None]]


def assignments(costs: Costs) -> Iterator[list[int]]:
    """Yield a column of its own for each row, the cheapest first.

    Every set of columns appears at most once, in its cheapest order (Lawler
    1972: the rest is divided by which of the best columns it does not use).

    :param costs: by row and column; None where it is impossible.
    """
    order = count()
    heap: list[tuple[int, int, list[int], frozenset[int], frozenset[int]]] = []

    def offer(must: frozenset[int], banned: frozenset[int]) -> None:
        found = _assign(costs, must, banned)
        if found is not None:
            entry = (_price(costs, found), next(order), found, must, banned)
            heapq.heappush(heap, entry)

    offer(frozenset(), frozenset())
    while heap:
        _cost, _order, found, must, banned = heapq.heappop(heap)
        yield found
        for column in sorted(set(found) - must):
            offer(must, banned | {column})
            must |= {column}


def _price(costs: Costs, found: Sequence[int]) -> int:
    return sum(
        cost
        for line, column in zip(costs, found, strict=True)
        if (cost := line[column]) is not None
    )


def _assign(
    costs: Costs, must: frozenset[int], banned: frozenset[int]
) -> list[int] | None:
    """Return the cheapest assignment with all of ``must`` and none of
    ``banned``.
    """
    if not costs:
        return []
    columns = [c for c in range(len(costs[0])) if c not in banned]
    if len(columns) < len(costs):
        return None
    bonus = 0
    if must:
        most = max((abs(c) for line in costs for c in line if c), default=0)
        bonus = (most + 1) * 4 * len(costs)
    found = matching.assign(
        [
            [
                None
                if (cost := line[column]) is None
                else cost - bonus * (column in must)
                for column in columns
            ]
            for line in costs
        ]
    )
    if found is None:
        return None
    chosen = [columns[index] for index in found]
    return chosen if must <= set(chosen) else None
