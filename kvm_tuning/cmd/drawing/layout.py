"""Where everything of a picture goes, in pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kvm_tuning.cmd.command import escaped
from kvm_tuning.cmd.drawing import colours, wording
from kvm_tuning.core.picture.model import Cell, Domain, Picture, Resident

#: Width of a picture, its margin, and between boxes.
WIDTH = 1120
MARGIN = 24
_GAP = 12
_PAD = 10
#: Height of a line of text, and most that a character of it is wide: DejaVu
#: Sans Mono, the widest of the usual monospaced fonts, has 0.602 em.
_LINE = 16
_EM = 0.61
_FONT = 11
#: Width of a pCPU by the most CPUs of a host that has it.
_SIZES = ((8, 44), (32, 34), (96, 28), (288, 21), (10**9, 17))
#: Columns of the list of guests.
_COLUMNS = 2
_MOST_DEVICES = 6


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; ``y`` is its base line."""

    x: float
    y: float
    text: str
    style: str = 'note'


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    style: str
    #: Number of the guest whose colour it has; None: of no guest.
    guest: int | None = None
    #: What is written on it, and what a pointer shows.
    text: str = ''
    title: str = ''
    flagged: bool = False


@dataclass
class Layout:
    """Everything of one picture."""

    height: float = 0
    boxes: list[Box] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    size: int = 0


def of(picture: Picture) -> Layout:
    """Lay a picture out."""
    return _Maker(picture).make()


class _Maker:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        cpus = sum(len(core) for cell in picture.cells for domain in
                   cell.domains for core in domain.cores)  # fmt: skip
        self._size = next(s for most, s in _SIZES if cpus <= most)
        self._numbers = {g.key: n for n, g in enumerate(picture.guests)}
        self._made = Layout(size=self._size)

    def make(self) -> Layout:
        y = self._cells(0)
        y = self._elsewhere(y)
        y = self._guests(y)
        self._made.height = y
        return self._made

    def _cells(self, y: float) -> float:
        """Put the cells next to each other where they are small."""
        count = len(self._picture.cells)
        widest = max(
            (
                self._domain_size(domain, WIDTH)[0]
                for cell in self._picture.cells
                for domain in cell.domains
            ),
            default=0,
        )
        columns = min(count, 4 if widest < 200 else 2)
        while columns > 1 and self._inner(columns) < widest:
            columns -= 1
        self._size = self._made.size = self._grown(self._inner(columns))
        for start in range(0, count, max(columns, 1)):
            row = self._picture.cells[start : start + columns]
            outer = self._inner(columns) + 2 * _PAD
            tops = len(self._made.boxes)
            bottoms = [
                self._cell(cell, MARGIN + n * (outer + _GAP), y, outer)
                for n, cell in enumerate(row)
            ]
            # Cells of one row are as high as the highest.
            for n, box in enumerate(self._made.boxes[tops:], tops):
                if box.style == 'cell':
                    self._made.boxes[n] = Box(
                        box.x, box.y, box.width, max(bottoms) - y, 'cell'
                    )
            y = max(bottoms) + _GAP
        return y

    def _grown(self, width: float) -> int:
        """Return the largest size of a pCPU that takes no more rows."""
        least = self._size
        rows = [self._rows(cell, width) for cell in self._picture.cells]
        for size in range(_SIZES[0][1], least, -1):
            self._size = size
            if rows == [self._rows(c, width) for c in self._picture.cells]:
                return size
        return least

    def _rows(self, cell: Cell, width: float) -> tuple[int, ...]:
        """Return how many rows the L3 domains of a cell take, and the rows
        of cores in each domain.
        """
        right, rows, cores = 0.0, 1, []
        for domain in cell.domains:
            wide, _high = self._domain_size(domain, width)
            if right and right + wide > width:
                right, rows = 0.0, rows + 1
            right += wide + 6
            columns, _threads = self._grid(domain, width)
            cores.append(-(-len(domain.cores) // columns))
        return (rows, *cores)

    def _inner(self, columns: int) -> float:
        outer = (WIDTH - 2 * MARGIN - (columns - 1) * _GAP) / columns
        return outer - 2 * _PAD

    def _cell(self, cell: Cell, x: float, y: float, width: float) -> float:
        """Draw one cell, and return where it ends."""
        self._made.boxes.append(Box(x, y, width, 0, 'cell'))
        left, inner = x + _PAD, width - 2 * _PAD
        y = self._lines([wording.cell(cell)], left, y + 6, inner, 'name')
        y = self._memory(cell, left, y + 4, inner)
        y = self._lines([wording.memory(cell)], left, y, inner) + 8
        right, row = left, 0.0
        for domain in cell.domains:
            wide, high = self._domain_size(domain, inner)
            if right > left and right + wide > left + inner:
                right, y, row = left, y + row + 6, 0.0
            self._domain(domain, right, y, wide, high)
            right, row = right + wide + 6, max(row, high)
        y += row + 4
        shown = cell.devices[:_MOST_DEVICES]
        lines = [wording.device(self._picture, each) for each in shown]
        if more := len(cell.devices) - len(shown):
            lines.append(f'and {more} more devices')
        return self._lines(lines, left, y, inner) + 8

    def _memory(self, cell: Cell, x: float, y: float, width: float) -> float:
        """Draw a bar of whose memory it is."""
        if not cell.memory_bytes:
            return y
        boxes = self._made.boxes
        boxes.append(Box(x, y, width, 8, 'free'))
        scale = width / cell.memory_bytes
        used = cell.memory_bytes - cell.free_bytes
        boxes.append(
            Box(x, y, min(width, used * scale), 8, 'used', title='in use')
        )
        at, end = x, x + width
        for number, guest in enumerate(self._picture.guests):
            kib = (guest.cells_kib or {}).get(cell.id, 0)
            wide = min(kib * 1024 * scale, end - at)
            if wide > 0:
                title = f'{guest.name}: {kib / (1 << 20):.1f} GiB'
                boxes.append(
                    Box(at, y, wide, 8, 'part', number, title=escaped(title))
                )
                at += wide
        return y + 8

    def _grid(self, domain: Domain, width: float) -> tuple[int, int]:
        """Return how many cores go into a row, and the threads of each."""
        threads = max(map(len, domain.cores))
        room = max(1, int((width - 12) // (self._size + 2)))
        count = len(domain.cores)
        # Square-ish blocks: eight cores of two threads as four by two.
        best = count if count * threads <= 8 else -(-count // 2)
        while best > 16:
            best = -(-best // 2)
        return max(1, min(best, room)), threads

    def _domain_size(
        self, domain: Domain, width: float
    ) -> tuple[float, float]:
        columns, threads = self._grid(domain, width)
        rows = -(-len(domain.cores) // columns)
        wide = columns * (self._size + 2) - 2 + 12
        high = 20 + rows * (threads * (self._size + 1) + 4)
        return max(wide, 50), high + 2

    def _domain(
        self, domain: Domain, x: float, y: float, wide: float, high: float
    ) -> None:
        self._made.boxes.append(Box(x, y, wide, high, 'domain'))
        name = 'no L3' if domain.number is None else f'L3 {domain.number}'
        self._made.texts.append(Text(x + 6, y + 14, name))
        columns, threads = self._grid(domain, wide + 2)
        for number, core in enumerate(domain.cores):
            row, column = divmod(number, columns)
            left = x + 6 + column * (self._size + 2)
            top = y + 20 + row * (threads * (self._size + 1) + 4)
            for level, cpu in enumerate(core):
                self._pcpu(cpu, left, top + level * (self._size + 1))

    def _pcpu(self, cpu: int, x: float, y: float) -> None:
        vcpus = self._picture.vcpus.get(cpu, ())
        helpers = self._picture.helpers.get(cpu, ())
        titles = [
            *(f'vCPU {n} of {guest.name}' for guest, n in vcpus),
            *(f'{name} of {guest.name}' for guest, name in helpers),
        ]
        keys = {g.key: g for g, _n in vcpus} or {g.key: g for g, _n in helpers}
        style, mark, number = 'free', '', None
        if len(keys) > 1:
            style, mark = 'several', '+'
        for key, guest in keys.items() if len(keys) == 1 else ():
            style = 'vcpu' if vcpus else 'helper'
            mark = guest.mark if vcpus else guest.mark.lower()
            number = self._numbers[key]
        title = f'pCPU {cpu}: {", ".join(titles) or "free"}'
        self._made.boxes.append(
            Box(
                x,
                y,
                self._size,
                self._size,
                style,
                number,
                mark,
                escaped(title),
                cpu in self._picture.flagged,
            )  # fmt: skip
        )

    def _elsewhere(self, y: float) -> float:
        devices = self._picture.elsewhere
        if not devices:
            return y
        lines = [wording.device(self._picture, each) for each in devices[:4]]
        if len(devices) > len(lines):
            lines.append(f'and {len(devices) - len(lines)} more devices')
        y = self._lines(
            ['Devices whose cell is not known'], MARGIN, y, 800, 'name'
        )
        return self._lines(lines, MARGIN, y, WIDTH - 2 * MARGIN) + _GAP

    def _guests(self, y: float) -> float:
        """List the guests in columns."""
        guests = self._picture.guests
        if not guests:
            return y
        width = (WIDTH - 2 * MARGIN - _GAP) / _COLUMNS
        per = -(-len(guests) // _COLUMNS)
        ends = [y]
        for column in range(_COLUMNS):
            top = y + 4
            for number in range(
                column * per, min(len(guests), (column + 1) * per)
            ):
                x = MARGIN + column * (width + _GAP)
                top = self._guest(guests[number], number, x, top, width)
            ends.append(top)
        return max(ends)

    def _guest(
        self, guest: Resident, number: int, x: float, y: float, width: float
    ) -> float:
        self._made.boxes.append(
            Box(x, y, 28, 18, 'key', number, guest.mark, escaped(guest.name))
        )
        count = wording.finding_count(guest)
        plural = '' if count == 1 else 's'
        name = (
            f'{guest.name} ({count} finding{plural})' if count else guest.name
        )
        room = width - 40
        most = int(room / (13 * _EM))
        end = self._lines([shortened(name, most)], x + 36, y - 3, room, 'name')
        facts = '; '.join([*wording.facts(guest, self._picture)][:4])
        most = int(room / (_FONT * _EM))
        return self._lines([shortened(facts, most)], x + 36, end, room) + 6

    def _lines(
        self,
        lines: Sequence[str],
        x: float,
        y: float,
        width: float,
        style: str = 'note',
    ) -> float:
        """Write lines below ``y``, folded to a width, and return their end."""
        size = 13 if style == 'name' else _FONT
        for line in lines:
            for part in _folded(escaped(line), int(width / (size * _EM))):
                y += _LINE
                self._made.texts.append(Text(x, y - 3, part, style))
        return y


def _folded(text: str, most: int) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(text, max(most, 8)) or ['']


def shortened(text: str, most: int) -> str:
    """Return ``text`` with its middle left out where it is too long."""
    text = escaped(text)
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f'{text[:head]}…{text[len(text) - (most - 1 - head) :]}'


def colour_rules(count: int) -> list[tuple[int, str, str]]:
    """Return number, fill and text colour of each guest."""
    return [(number, *colours.of(number)) for number in range(count)]
