"""Give each vCPU of a table a pCPU, and leave alone whoever can stay.

In each L3 domain: who stays in it keeps its pCPUs, as far as it can; blocks
that come take cores that are free, for which lone singles make room; singles
that come join one of their own guest, then take an empty core, then a lone
thread, then a core with another guest. At last guests that share a core are
parted where an exchange of two threads does it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kvm_tuning.core.healing.cell import Cell, Core
from kvm_tuning.core.healing.table import Row, Table, is_block

#: Part and vCPU.
Vcpu = tuple[int, int]
#: The vCPUs of a block, by the threads of its core.
Block = tuple[Vcpu, ...]


@dataclass(slots=True)
class _Waiting:
    """What of a row has left its domain and has no seat yet."""

    blocks: list[Block] = field(default_factory=list)
    singles: list[Vcpu] = field(default_factory=list)


def seat(cell: Cell, table: Table, part: bool = True) -> list[dict[int, int]]:
    """Return the pins of each part of the cell, as the table has it.

    :param part: whether guests are moved that only share a core.
    """
    seats = [_Seats(cell, domain) for domain in range(len(cell.domains))]
    waiting = [_Waiting() for _ in table.rows]
    for row, each in enumerate(table.rows):
        for domain, seated in enumerate(seats):
            # Another group of the same guest may be here.
            if not each.blocks[domain] and not each.singles[domain]:
                continue
            blocks, singles = seated.of(each)
            left = seated.keep_blocks(blocks, table.blocks[row][domain], each)
            waiting[row].blocks += left
            waiting[row].singles += seated.keep_singles(
                singles, table.singles[row][domain]
            )
    for domain, seated in enumerate(seats):
        for row, each in enumerate(table.rows):
            came = table.blocks[row][domain] - each.blocks[domain]
            for _ in range(came):
                seated.take_core(waiting[row].blocks.pop(0), each)
        for row, each in enumerate(table.rows):
            came = table.singles[row][domain] - each.singles[domain]
            if came > 0:
                seated.take_threads(
                    [waiting[row].singles.pop(0) for _ in range(came)]
                )
        if part:
            seated.part()
    pins: list[dict[int, int]] = [
        dict(each.pins) if cell.stays(each) else {} for each in cell.parts
    ]
    for seated in seats:
        for cpu, (index, vcpu) in seated.holder.items():
            pins[index][vcpu] = cpu
    return [dict(sorted(each.items())) for each in pins]


class _Seats:
    """The pCPUs of one domain, and who has them in the end."""

    def __init__(self, cell: Cell, domain: int) -> None:
        self.cores: Sequence[Core] = cell.domains[domain]
        self.threads = cell.threads
        self.cell = cell
        self.holder: dict[int, Vcpu] = {}
        #: Cores of blocks, and of isolated vCPUs, which nobody else may join.
        self.blocks: set[Core] = set()
        self.first = {
            cpu: (part, vcpu)
            for part, each in enumerate(cell.parts)
            for vcpu, cpu in each.pins.items()
        }
        self.walls = cell.walls()

    def of(self, row: Row) -> tuple[list[tuple[Core, Block]], list[Vcpu]]:
        """Return the blocks and singles that a row has here at first."""
        blocks: list[tuple[Core, Block]] = []
        singles: list[Vcpu] = []
        isolated = self.cell.parts[row.part].isolated
        for core in self.cores:
            here = tuple(
                self.first[cpu]
                for cpu in core
                if cpu in self.first and self.first[cpu][0] == row.part
            )
            if not here:
                continue
            if isolated or is_block(core, len(here), self.threads):
                blocks.append((core, here))
            else:
                singles += here
        return blocks, singles

    def keep_blocks(
        self, blocks: Sequence[tuple[Core, Block]], count: int, row: Row
    ) -> list[Block]:
        """Seat so many blocks where they are, and return the others."""
        for core, block in blocks[:count]:
            self._seat_block(core, block, row)
        return [block for _core, block in blocks[count:]]

    def _seat_block(self, core: Core, block: Block, row: Row) -> None:
        self.blocks.add(core)
        pins = self.cell.parts[row.part].pins
        stays = all(pins[vcpu] in core for _part, vcpu in block)
        cpus = [pins[vcpu] for _part, vcpu in block] if stays else list(core)
        for cpu, vcpu in zip(cpus, block, strict=False):
            self.holder[cpu] = vcpu

    def keep_singles(self, singles: Sequence[Vcpu], count: int) -> list[Vcpu]:
        """Seat so many singles where they are, those alone first."""
        cpu_of = {vcpu: cpu for cpu, vcpu in self.first.items()}
        order = sorted(
            singles,
            key=lambda vcpu: (self._neighbours(cpu_of[vcpu]), cpu_of[vcpu]),
        )
        for vcpu in order[:count]:
            self.holder[cpu_of[vcpu]] = vcpu
        return order[count:]

    def _neighbours(self, cpu: int) -> int:
        core = next(core for core in self.cores if cpu in core)
        return sum(1 for other in core if other in self.first) - 1

    def take_core(self, block: Block, row: Row) -> None:
        """Seat a block that comes on a core of its own."""
        core = next(iter(self._empty()), None)
        if core is None:
            core = self._make_empty()
        self._seat_block(core, block, row)

    def _whole(self) -> Iterator[Core]:
        """Yield the cores that a block could have."""
        for core in self.cores:
            usable = len(core) == self.threads and not self.walls & set(core)
            if usable and core not in self.blocks:
                yield core

    def _empty(self) -> Iterator[Core]:
        for core in self._whole():
            if not any(cpu in self.holder for cpu in core):
                yield core

    def _make_empty(self) -> Core:
        """Let the singles of a core move over, and return the core."""
        core = min(
            self._whole(),
            key=lambda each: (sum(cpu in self.holder for cpu in each), each),
        )
        singles = [self.holder.pop(cpu) for cpu in core if cpu in self.holder]
        self.blocks.add(core)
        self.take_threads(singles)
        return core

    def take_threads(self, singles: Sequence[Vcpu]) -> None:
        """Seat singles of one or several guests that come."""
        left = list(singles)
        while left:
            vcpu = left.pop(0)
            kin = [other for other in left if other[0] == vcpu[0]]
            cpu = self._thread(vcpu[0], bool(kin))
            self.holder[cpu] = vcpu

    def _thread(self, part: int, more: bool) -> int:
        """Return the best free thread for a single of a guest.

        :param more: another one of the same guest comes, too.
        """
        return min(self._free(), key=lambda cpu: self._rank(cpu, part, more))

    def _free(self) -> Iterator[int]:
        for core in self.cores:
            if core in self.blocks:
                continue
            for cpu in core:
                if cpu not in self.holder and cpu not in self.walls:
                    yield cpu

    def _rank(self, cpu: int, part: int, more: bool) -> tuple[int, int]:
        core = next(core for core in self.cores if cpu in core)
        others = {self.holder[c][0] for c in core if c in self.holder}
        if others == {part}:
            return 0, cpu
        if others or self.walls & set(core):
            return 3, cpu
        lone = len(core) < self.threads
        return (2 if lone == more else 1), cpu

    def part(self) -> None:
        """Part guests that share a core, by moves and exchanges of singles."""
        while shared := [
            core for core in self.cores if self._guests(core) > 1
        ]:
            if not any(self._part(core) for core in shared):
                return

    def _guests(self, core: Core) -> int:
        """Return how many guests have a thread of a core."""
        found = {self.holder[cpu][0] for cpu in core if cpu in self.holder}
        found |= {
            self.first[cpu][0]
            for cpu in core
            if cpu in self.walls and cpu in self.first
        }
        return len(found)

    def _part(self, core: Core) -> bool:
        for other in self.cores:
            if other == core or other in self.blocks:
                continue
            before = (self._guests(core) > 1) + (self._guests(other) > 1)
            for cpu in core:
                for place in other:
                    if cpu not in self.holder or place in self.walls:
                        continue
                    self._exchange(cpu, place)
                    if self._guests(core) + self._guests(other) and (
                        (self._guests(core) > 1) + (self._guests(other) > 1)
                        < before
                    ):
                        return True
                    self._exchange(cpu, place)
        return False

    def _exchange(self, one: int, other: int) -> None:
        first, second = (
            self.holder.pop(one, None),
            self.holder.pop(other, None),
        )
        if first is not None:
            self.holder[other] = first
        if second is not None:
            self.holder[one] = second


def shared_cores(cell: Cell, pins: Sequence[Mapping[int, int]]) -> int:
    """Return on how many cores two guests are."""
    holder = {
        cpu: cell.parts[part].guest
        for part, each in enumerate(pins)
        for cpu in each.values()
    }
    return sum(
        len({holder[cpu] for cpu in core if cpu in holder}) > 1
        for domain in cell.domains
        for core in domain
    )
