"""Match guest cells to host cells: whether each can have one, and the cheapest
way.

Both work by augmenting paths, in polynomial time: there are half a thousand
million ways to give 8 guest cells 16 host cells.
"""

from collections.abc import Sequence


def shortage(
    rows: Sequence[Sequence[bool]],
) -> tuple[list[int], list[int]] | None:
    """Return None when every row can have a column of its own.

    :param rows: for each row, whether each column would do.
    :returns: otherwise rows and all the columns that would do for any of them,
        which are fewer (Hall's theorem).
    """
    owner: dict[int, int] = {}

    def augment(row: int, seen: set[int]) -> bool:
        for column, fits in enumerate(rows[row]):
            if fits and column not in seen:
                seen.add(column)
                if column not in owner or augment(owner[column], seen):
                    owner[column] = row
                    return True
        return False

    for row in range(len(rows)):
        seen: set[int] = set()
        if not augment(row, seen):
            return sorted({row} | {owner[c] for c in seen}), sorted(seen)
    return None


def assign(costs: Sequence[Sequence[int | None]]) -> list[int] | None:
    """Assign each row a column of its own at the least sum of costs.

    The Hungarian method with potentials (Kuhn 1955, Munkres 1957), one
    shortest augmenting path per row: O(rows^2 * columns).

    :param costs: by row and column; None where it is impossible.
    :returns: None when there is no way at all.
    """
    if not costs:
        return []
    columns = len(costs[0])
    row_potential = [0] * len(costs)
    potential = [0] * columns
    owner: list[int | None] = [None] * columns
    for start in range(len(costs)):
        best: list[int | None] = [None] * columns
        before: list[int | None] = [None] * columns
        done = [False] * columns
        row, at = start, None
        while True:
            base = row_potential[row]
            line = costs[row]
            near: int | None = None
            step: int | None = None
            for column in range(columns):
                if done[column]:
                    continue
                cost = line[column]
                if cost is not None:
                    reduced = cost - base - potential[column]
                    known = best[column]
                    if known is None or reduced < known:
                        best[column] = reduced
                        before[column] = at
                known = best[column]
                if known is not None and (step is None or known < step):
                    step, near = known, column
            if near is None or step is None:
                return None
            row_potential[start] += step
            for column in range(columns):
                if done[column]:
                    held = owner[column]
                    if held is not None:
                        row_potential[held] += step
                    potential[column] -= step
                else:
                    known = best[column]
                    if known is not None:
                        best[column] = known - step
            done[near] = True
            at = near
            held = owner[near]
            if held is None:
                break
            row = held
        while at is not None:
            previous = before[at]
            owner[at] = start if previous is None else owner[previous]
            at = previous
    found = [-1] * len(costs)
    for column, held in enumerate(owner):
        if held is not None:
            found[held] = column
    return found
