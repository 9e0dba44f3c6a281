"""Draw a host for a terminal."""

from collections.abc import Iterator, Sequence

from kvm_tuning.cmd.command import escaped
from kvm_tuning.cmd.drawing import wording
from kvm_tuning.core.picture.model import Cell, Domain, Picture

#: Corners (top left, top right, bottom left, bottom right), lines, free.
_UNICODE = ('╭', '╮', '╰', '╯', '─', '│', '·')
_ASCII = ('+', '+', '+', '+', '-', '|', '.')
#: ANSI colours of guests: those of the 256 that show on black and on white.
_COLOURS = (33, 166, 35, 127, 136, 61, 160, 30, 98, 64, 202, 25)


class Terminal:
    """Draws pictures as lines of text."""

    def __init__(self, width: int, unicode: bool, colour: bool) -> None:
        self._width = width
        self._unicode = unicode
        self._signs = _UNICODE if unicode else _ASCII
        self._colour = colour

    def lines(self, picture: Picture) -> Iterator[str]:
        """Yield the lines of a picture."""
        wide = max((len(each.mark) for each in picture.guests), default=1)
        for cell in picture.cells:
            yield from self._folded(wording.cell(cell), '')
            yield from self._folded(wording.memory(cell), '  ')
            yield from self._blocks(picture, cell, wide)
            for device in cell.devices:
                yield from self._folded(wording.device(picture, device), '  ')
            yield ''
        if picture.elsewhere:
            yield 'Devices whose cell is not known'
            for device in picture.elsewhere:
                yield from self._folded(wording.device(picture, device), '  ')
            yield ''
        yield from self._legend(picture, wide)

    def _legend(self, picture: Picture, wide: int) -> Iterator[str]:
        free = self._signs[-1]
        yield from self._folded(
            f'{free} free or not pinned, lower case: helper threads, '
            f'+ several guests, ! a finding is about it',
            '',
        )
        for number, guest in enumerate(picture.guests):
            text = f'{guest.name}: {"; ".join(wording.facts(guest, picture))}'
            first = True
            for line in self._folded(text, ' ' * (wide + 1)):
                if first:
                    mark = self._painted(guest.mark.ljust(wide), number)
                    line = f'{mark} {line[wide + 1 :]}'
                first = False
                yield line
            for each in guest.findings:
                if each.severity != 'unknown':
                    yield from self._folded(
                        f'{each.severity} {each.code}: {each.evidence}',
                        ' ' * (wide + 3),
                    )

    def _folded(self, text: str, indent: str) -> Iterator[str]:
        """Yield ``text`` in lines that fit."""
        import textwrap

        text = escaped(text)
        if not self._unicode:
            text = text.encode('ascii', 'backslashreplace').decode()
        yield from textwrap.wrap(
            text,
            self._width,
            initial_indent=indent,
            subsequent_indent=f'{indent}  ',
            break_on_hyphens=False,
        )

    def _blocks(
        self, picture: Picture, cell: Cell, wide: int
    ) -> Iterator[str]:
        """Yield the L3 domains of a cell, next to each other."""
        row: list[list[tuple[str, str]]] = []
        used = 0
        for domain in cell.domains:
            block = self._block(picture, domain, wide)
            needed = len(block[0][0])
            if row and used + needed > self._width:
                yield from _joined(row)
                row, used = [], 0
            row.append(block)
            used += needed
        yield from _joined(row)

    def _block(
        self, picture: Picture, domain: Domain, wide: int
    ) -> list[tuple[str, str]]:
        """Return the lines of a domain: as they measure, and coloured."""
        left, right, low_left, low_right, line, side, _free = self._signs
        most = (self._width - 3) // (wide + 1)
        title = 'L3 ?' if domain.number is None else f'L3 {domain.number}'
        inner = max(
            min(len(domain.cores), most) * (wide + 1) + 1, len(title) + 1
        )
        top = f'{left}{title}{line * (inner - len(title))}{right}'
        found = [(top, top)]
        for start in range(0, len(domain.cores), most):
            cores = domain.cores[start : start + most]
            for level in range(max(map(len, cores))):
                plain, painted = '', ''
                for core in cores:
                    one = self._thread(picture, core, level, wide)
                    plain += one[0]
                    painted += one[1]
                space = ' ' * (inner - len(plain) - 1)
                found.append(
                    (
                        f'{side} {plain}{space}{side}',
                        f'{side} {painted}{space}{side}',
                    )
                )
        bottom = f'{low_left}{line * inner}{low_right}'
        return [*found, (bottom, bottom)]

    def _thread(
        self, picture: Picture, core: tuple[int, ...], level: int, wide: int
    ) -> tuple[str, str]:
        """Return one pCPU as text, and the same coloured."""
        if level >= len(core):
            return ' ' * (wide + 1), ' ' * (wide + 1)
        text, owner = self._occupant(picture, core[level])
        plain = text.ljust(wide)
        flag = '!' if core[level] in picture.flagged else ' '
        painted = plain if owner is None else self._painted(plain, owner)
        return plain + flag, painted + flag

    def _occupant(self, picture: Picture, cpu: int) -> tuple[str, int | None]:
        """Return the sign of a pCPU, and the number of its one guest."""
        number = {each.key: n for n, each in enumerate(picture.guests)}
        guests = {each.key: each for each, _vcpu in picture.vcpus.get(cpu, ())}
        small = not guests
        if small:
            guests = {e.key: e for e, _name in picture.helpers.get(cpu, ())}
        if len(guests) > 1:
            return '+', None
        for key, guest in guests.items():
            mark = guest.mark.lower() if small else guest.mark
            return mark, number[key]
        return self._signs[-1], None

    def _painted(self, text: str, number: int) -> str:
        if not self._colour:
            return text
        return f'\x1b[38;5;{_COLOURS[number % len(_COLOURS)]}m{text}\x1b[0m'


def _joined(blocks: Sequence[list[tuple[str, str]]]) -> Iterator[str]:
    """Yield the lines of blocks that stand next to each other."""
    for level in range(max(map(len, blocks), default=0)):
        parts = []
        for block in blocks:
            if level < len(block):
                parts.append(block[level][1])
            else:
                parts.append(' ' * len(block[0][0]))
        yield ''.join(parts).rstrip()
