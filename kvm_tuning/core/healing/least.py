"""The fewest L3 domains that any arrangement needs, proven.

1. Draw guests and domains as a graph, with an edge where a guest is. A
   connected group of m guests on k domains has at least m + k - 1 edges: so a
   group costs k - 1 splits, and the spans of all guests sum up to their number
   plus the splits of all groups.
2. A group of k domains holds no more threads than k domains have. Whatever
   the guests are called, only how many there are of each size matters.
3. A dynamic programme over these counts finds the fewest splits: some group
   has the largest guest that is left; try each size of group and each largest
   set of guests that fits.

The answer bounds every arrangement from below, as it ignores that cores are
whole. It is exact where a packing of these groups has seats. It is known for
domains of one size, and where nobody stays as a wall.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from kvm_tuning.core.healing.table import Table

#: States after which the answer is given up as not proven.
_MOST_STATES = 20_000

#: Domains of a group, and how many guests of each size are in it.
Group = tuple[int, tuple[int, ...]]
_Counts = tuple[int, ...]
_NEVER = 1 << 30


def excess(table: Table) -> int | None:
    """Return the least excess of a table; None where it is not proven."""
    if not table.excess:
        return 0
    found = groups(table)
    if found is None:
        return None
    splits = sum(count - 1 for count, _sizes in found[1])
    return max(0, len(table.rows) + splits - sum(table.fewest))


def groups(table: Table) -> tuple[list[int], list[Group]] | None:
    """Return the sizes and the groups of a packing with the fewest splits.

    :returns: sizes in threads, the largest first, and of each group the
        number of domains and of guests of each size; None where it is not
        known.
    """
    if not _is_even(table):
        return None
    capacity = table.cores[0] * table.threads + table.lone[0]
    counted = Counter(
        sum(row.blocks) * table.threads + sum(row.singles)
        for row in table.rows
    )
    sizes = sorted(counted, reverse=True)
    search = _Search(sizes, capacity)
    counts = tuple(counted[size] for size in sizes)
    domains = len(table.cores)
    try:
        splits = search.fewest(counts, domains)
    except _TooManyError:
        return None
    if splits >= _NEVER:
        return None
    return sizes, search.chosen(counts, domains)


def _is_even(table: Table) -> bool:
    """Return whether all domains are equal and nobody is a wall."""
    alike = len(set(zip(table.cores, table.lone, strict=True))) == 1
    return (
        bool(table.rows)
        and alike
        and not table.walls
        and not any(row.whole for row in table.rows)
    )


class _TooManyError(Exception):
    """The search has seen more states than it may."""


class _Search:
    def __init__(self, sizes: Sequence[int], capacity: int) -> None:
        self.sizes = sizes
        self.capacity = capacity
        self._known: dict[tuple[_Counts, int], tuple[int, Group]] = {}

    def fewest(self, counts: _Counts, domains: int) -> int:
        """Return the fewest splits of these guests on so many domains."""
        if not any(counts):
            return 0
        known = self._known.get((counts, domains))
        if known is not None:
            return known[0]
        if len(self._known) >= _MOST_STATES:
            raise _TooManyError
        best: tuple[int, Group] = _NEVER, (0, ())
        # Also ends the recursion of a state within itself: there is none.
        self._known[counts, domains] = best
        if self._threads(counts) <= domains * self.capacity:
            best = self._best(counts, domains)
        self._known[counts, domains] = best
        return best[0]

    def _best(self, counts: _Counts, domains: int) -> tuple[int, Group]:
        best: tuple[int, Group] = _NEVER, (0, ())
        largest = next(n for n, count in enumerate(counts) if count)
        smallest = -(-self.sizes[largest] // self.capacity)
        for group in range(smallest, domains + 1):
            if group - 1 >= best[0]:
                break
            room = group * self.capacity
            for taken in self._largest_sets(counts, largest, room):
                rest = tuple(a - b for a, b in zip(counts, taken, strict=True))
                splits = self.fewest(rest, domains - group) + group - 1
                if splits < best[0]:
                    best = splits, (group, taken)
        return best

    def _largest_sets(
        self, counts: _Counts, largest: int, room: int
    ) -> Iterator[_Counts]:
        """Yield the sets with a largest guest to which none can be added."""

        def grow(at: int, room: int, taken: _Counts) -> Iterator[_Counts]:
            if at == len(counts):
                if not any(
                    left > has and size <= room
                    for left, has, size in zip(
                        counts, taken, self.sizes, strict=True
                    )
                ):
                    yield taken
                return
            size = self.sizes[at]
            most = min(counts[at], room // size)
            for count in range(most, (at == largest) - 1, -1):
                yield from grow(at + 1, room - count * size, (*taken, count))

        yield from grow(0, room, ())

    def _threads(self, counts: _Counts) -> int:
        return sum(n * s for n, s in zip(counts, self.sizes, strict=True))

    def chosen(self, counts: _Counts, domains: int) -> list[Group]:
        """Return the groups that :meth:`fewest` has found best."""
        found = []
        while any(counts):
            self.fewest(counts, domains)
            group = self._known[counts, domains][1]
            found.append(group)
            counts = tuple(
                a - b for a, b in zip(counts, group[1], strict=True)
            )
            domains -= group[0]
        return found
