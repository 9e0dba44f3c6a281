"""Who has how much in which L3 domain of a NUMA cell, and what it costs.

A row is what moves on its own: a part of a guest, or one group of a grouped
part. It is counted in *blocks* (a whole core: a vCPU on each thread, or one
vCPU of an isolated guest) and *singles* (a vCPU on a core that is not all its
guest's). A block is never taken apart. That whole cores and lone threads are
counted apart is what makes every table that fits one that has seats.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kvm_tuning.core.healing.cell import Cell, Core, Part

#: L3 domains more than the fewest, cores that two guests share, vCPUs in
#: another domain than at the start: compared in this order.
Cost = tuple[int, int, int]

#: Row, from domain, to domain, blocks, singles.
Move = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """What moves on its own."""

    #: Index of the part in the cell.
    part: int
    #: vCPUs of a block: the core's threads, or 1 for an isolated guest.
    weight: int
    #: It moves only as a whole, and into a domain without its kin.
    whole: bool
    #: Blocks and singles in each domain at the start.
    blocks: tuple[int, ...]
    singles: tuple[int, ...]


class Table:
    """The rows and where they are; moves are applied and taken back."""

    def __init__(self, cell: Cell) -> None:
        self.threads = cell.threads
        walls = cell.walls()
        count = range(len(cell.domains))
        self.walls = bool(walls)
        #: Cores of which all threads can be had, and lone threads.
        self.cores, self.lone = _room(cell.domains, walls, cell.threads)
        self.rows = _rows(cell)
        self.blocks = [list(row.blocks) for row in self.rows]
        self.singles = [list(row.singles) for row in self.rows]
        self.used_blocks = [sum(row[d] for row in self.blocks) for d in count]
        self.used_singles = [
            sum(row[d] for row in self.singles) for d in count
        ]
        capacity = _room(cell.domains, (), cell.threads)
        self.fewest = [
            _fewest(row.blocks, row.singles, *capacity, cell.threads)
            for row in self.rows
        ]
        self.spans = [
            sum(1 for d in count if row.blocks[d] or row.singles[d])
            for row in self.rows
        ]
        self.excess = sum(self.spans) - sum(self.fewest)
        self.moved = 0
        self._done: list[Move] = []

    @staticmethod
    def fewest_of_parts(cell: Cell) -> list[int]:
        """Return the fewest domains of this hardware that hold each part."""
        capacity = _room(cell.domains, (), cell.threads)
        return [
            _fewest(*_count(cell, part), *capacity, cell.threads)
            for part in cell.parts
        ]

    def size(self, row: int, domain: int) -> int:
        """Return how many threads a row takes in a domain."""
        blocks = self.blocks[row][domain]
        return blocks * self.threads + self.singles[row][domain]

    def free(self, domain: int) -> int:
        """Return how many threads of a domain are free."""
        whole = self.cores[domain] - self.used_blocks[domain]
        spare = self.lone[domain] - self.used_singles[domain]
        return whole * self.threads + spare

    def fits(self, domain: int) -> bool:
        """Return whether all that is in a domain has a seat."""
        whole = self.cores[domain] - self.used_blocks[domain]
        return whole >= 0 and self.free(domain) >= 0

    def over(self, row: int) -> int:
        """Return on how many domains more than the fewest a row is."""
        return self.spans[row] - self.fewest[row]

    def has_kin(self, row: int, domain: int) -> bool:
        """Return whether another group of a row's guest is in a domain."""
        part = self.rows[row].part
        return any(
            self.blocks[other][domain] or self.singles[other][domain]
            for other, each in enumerate(self.rows)
            if each.part == part and other != row
        )

    def move(
        self, row: int, source: int, target: int, blocks: int, singles: int
    ) -> None:
        """Move so much of a row; :meth:`back` takes it back."""
        self._move(row, source, target, blocks, singles)
        self._done.append((row, source, target, blocks, singles))

    def _move(
        self, row: int, source: int, target: int, blocks: int, singles: int
    ) -> None:
        self.moved += self.more_moved(row, source, target, blocks, singles)
        own_blocks, own_singles = self.blocks[row], self.singles[row]
        if not own_blocks[target] and not own_singles[target]:
            self.spans[row] += 1
            self.excess += 1
        own_blocks[source] -= blocks
        own_blocks[target] += blocks
        own_singles[source] -= singles
        own_singles[target] += singles
        if not own_blocks[source] and not own_singles[source]:
            self.spans[row] -= 1
            self.excess -= 1
        self.used_blocks[source] -= blocks
        self.used_blocks[target] += blocks
        self.used_singles[source] -= singles
        self.used_singles[target] += singles

    def more_moved(
        self, row: int, source: int, target: int, blocks: int, singles: int
    ) -> int:
        """Return how many vCPUs more would be moved; below 0: fewer."""
        each = self.rows[row]
        there, first = self.blocks[row], each.blocks
        count = 0
        if blocks:
            count = each.weight * (
                min(blocks, max(0, there[target] + blocks - first[target]))
                - min(blocks, max(0, there[source] - first[source]))
            )
        if singles:
            there, first = self.singles[row], each.singles
            count += min(
                singles, max(0, there[target] + singles - first[target])
            ) - min(singles, max(0, there[source] - first[source]))
        return count

    def mark(self) -> int:
        """Return the point that :meth:`back` can go back to."""
        return len(self._done)

    def back(self, mark: int) -> None:
        """Take back all moves since a mark."""
        while len(self._done) > mark:
            row, source, target, blocks, singles = self._done.pop()
            self._move(row, target, source, blocks, singles)

    def since(self, mark: int) -> list[Move]:
        """Return the moves since a mark."""
        return self._done[mark:]

    def apply(self, moves: Sequence[Move]) -> None:
        """Do these moves."""
        for move in moves:
            self.move(*move)

    def shared(self) -> int:
        """Return how many cores two guests will share, at the least."""
        return sum(self.shared_in(d) for d in range(len(self.cores)))

    def shared_in(self, domain: int) -> int:
        """Return how many cores of a domain two guests will share.

        Of SMT 2: on a core of 4 or 8 threads it depends on the seats.
        """
        if self.threads != 2:
            return 0
        pairs = odd = 0
        for row in self.singles:
            pairs += row[domain] >> 1
            odd += row[domain] & 1
        odd = max(0, odd - self.lone[domain])
        whole = self.used_blocks[domain] + pairs + odd
        return max(0, whole - self.cores[domain])

    def cost(self) -> Cost:
        """Return what this table costs."""
        return self.excess, self.shared(), self.moved


def _fewest(
    blocks: Sequence[int],
    singles: Sequence[int],
    cores: Sequence[int],
    lone: Sequence[int],
    threads: int,
) -> int:
    """Return the fewest domains that hold so many blocks and singles."""
    all_blocks, all_singles = sum(blocks), sum(singles)
    whole = rest = 0
    order = sorted(
        zip(cores, lone, strict=True),
        key=lambda pair: (pair[0] * threads + pair[1], pair),
        reverse=True,
    )
    for number, (more, alone) in enumerate(order, 1):
        whole += more
        rest += alone
        spare = (whole - all_blocks) * threads + rest
        if all_blocks <= whole and all_singles <= spare:
            return number
    return len(order)


def _room(
    domains: Sequence[Sequence[Core]], walls: Collection[int], threads: int
) -> tuple[list[int], list[int]]:
    """Return the whole cores and the lone threads of each domain."""
    cores, lone = [], []
    for domain in domains:
        left = [len(set(core).difference(walls)) for core in domain]
        cores.append(sum(1 for count in left if count == threads))
        lone.append(sum(count for count in left if count < threads))
    return cores, lone


def _rows(cell: Cell) -> list[Row]:
    rows = []
    for index, part in enumerate(cell.parts):
        if cell.stays(part) or not part.pins:
            continue
        blocks, singles = _count(cell, part)
        weight = 1 if part.isolated else cell.threads
        if not part.grouped:
            rows.append(Row(index, weight, False, blocks, singles))
            continue
        for domain in range(len(cell.domains)):
            if blocks[domain] or singles[domain]:
                rows.append(
                    Row(
                        index,
                        weight,
                        True,
                        _only(blocks, domain),
                        _only(singles, domain),
                    )
                )
    return rows


def _only(counts: Sequence[int], domain: int) -> tuple[int, ...]:
    return tuple(n if d == domain else 0 for d, n in enumerate(counts))


def _count(cell: Cell, part: Part) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the blocks and singles of a part in each domain."""
    held = set(part.pins.values())
    blocks, singles = [], []
    for domain in cell.domains:
        whole = alone = 0
        for core in domain:
            count = len(held & set(core))
            if part.isolated:
                whole += count
            elif is_block(core, count, cell.threads):
                whole += 1
            else:
                alone += count
        blocks.append(whole)
        singles.append(alone)
    return tuple(blocks), tuple(singles)


def is_block(core: Core, count: int, threads: int) -> bool:
    """Return whether a guest with ``count`` pCPUs of a core has all of it.

    Where there is no SMT no core is a block: nothing is to stay together.
    """
    return threads > 1 and count == len(core) == threads
