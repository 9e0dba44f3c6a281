"""Tables and lines for people: wrapped between words, coloured by verdict."""

import argparse
from collections.abc import Iterable, Sequence
import os
import re
import shutil
from typing import Any, TextIO

from cliff.formatters import table as cliff_table
from rich import cells
from rich.console import Console
from rich.text import Text

#: What a cell or the first word of a line is coloured by on a terminal.
STYLES = {
    'as wanted': 'green',
    'error': 'bold red',
    'failed': 'bold red',
    'info': 'cyan',
    'ok': 'green',
    'refused': 'bold red',
    'unknown': 'magenta',
    'warning': 'yellow',
}
#: Between two columns.
_GAP = 2
#: A row higher than this reads better as a list of its columns.
_HIGHEST = 12
_NARROWEST = 40
#: A list can be broken behind each comma, a path behind each slash.
_PIECES = re.compile(r'[^,/]*[,/]|[^,/]+')
_PIECE_WIDTH = 24


class Formatter(cliff_table.TableFormatter):
    """cliff's format ``table``, in which no line is wider than the terminal
    and no word is broken, as long as it is not wider than a line.

    :param spare: columns that are left out where there is no room for them.
    """

    def __init__(self, spare: Sequence[str] = ()) -> None:
        self._spare = spare

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        rows = [tuple(row) for row in data]
        if rows or parsed_args.print_empty:
            write(
                stdout,
                column_names,
                rows,
                width(parsed_args.max_width),
                self._spare,
                keep=bool(parsed_args.columns),
            )

    def emit_one(
        self,
        column_names: Sequence[str],
        data: Sequence[Any],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        console = _console(stdout, width(parsed_args.max_width))
        _write_record(console, column_names, data)


def width(most: int = 0) -> int:
    """Return how many columns a line may take: those of the terminal (or of
    ``$COLUMNS``; 80 where the output is not a terminal).

    :param most: columns that the caller allows; 0: any number.
    """
    columns = shutil.get_terminal_size((80, 24)).columns
    return max(_NARROWEST, min(columns, most) if most > 0 else columns)


def write(
    stdout: TextIO,
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    columns: int,
    spare: Sequence[str] = (),
    keep: bool = False,
) -> None:
    """Write a table, without columns that hold nothing; as a list of records
    where its words do not fit next to each other.

    :param columns: how wide a line may be.
    :param spare: columns that are left out where they do not fit.
    :param keep: whether every column is written.
    """
    kept = [
        index
        for index in range(len(names))
        if keep or not rows or any(_filled(row[index]) for row in rows)
    ]
    if not keep and _widths_of(names, rows, kept, columns) is None:
        kept = [index for index in kept if names[index] not in spare]
    widths = _widths_of(names, rows, kept, columns)
    names = [names[index] for index in kept]
    right = [isinstance(rows[0][i], int | float) for i in kept] if rows else []
    texts = [[_text(row[index]) for index in kept] for row in rows]
    console = _console(stdout, columns)
    if widths is None:
        for number, row in enumerate(texts):
            if number:
                console.print()
            _write_record(console, names, row)
        return
    aligned = list(zip(widths, right or [False] * len(widths), strict=True))
    _write_row(console, [Text(name, 'bold') for name in names], aligned)
    rule = '-' * (sum(widths) + _GAP * (len(widths) - 1))
    console.print(rule, soft_wrap=True)
    for row in texts:
        parts = [
            wrap(text, size) for text, size in zip(row, widths, strict=True)
        ]
        for height in range(max(map(len, parts), default=0)):
            _write_row(
                console,
                [
                    Text(
                        part[height] if height < len(part) else '',
                        STYLES.get(text, ''),
                    )
                    for part, text in zip(parts, row, strict=True)
                ],
                aligned,
            )


def _write_row(
    console: Console,
    texts: Sequence[Text],
    aligned: Sequence[tuple[int, bool]],
) -> None:
    """Write one line of a table.

    :param aligned: how wide each column is, and whether it is flush right.
    """
    line = Text()
    for number, (text, (size, right)) in enumerate(
        zip(texts, aligned, strict=True)
    ):
        space = ' ' * (size - text.cell_len)
        line.append(' ' * _GAP * bool(number) + space * right)
        line.append_text(text)
        line.append(space * (not right))
    line.rstrip()
    console.print(line, soft_wrap=True)


def write_line(stdout: TextIO, line: str) -> None:
    """Write a line of text, wrapped behind its indent."""
    console = _console(stdout, width())
    indent = line[: len(line) - len(line.lstrip())]
    hanging = '  ' if indent or line.startswith('- ') else ''
    parts = wrap(line.strip(), console.width - len(indent + hanging))
    for number, part in enumerate(parts or ['']):
        text = Text(f'{indent}{hanging * bool(number)}{part}')
        word = re.match(r'\s*(?:- )?([a-z]+)[ :]', text.plain)
        if word and not number and word[1] in STYLES:
            text.stylize(STYLES[word[1]], *word.span(1))
        console.print(text, soft_wrap=True)


def wrap(text: str, columns: int) -> list[str]:
    """Return ``text`` in lines of at most ``columns``, broken between words.

    A word that is wider than a line is broken behind a comma or a slash;
    where there is neither, anywhere.
    """
    lines: list[str] = []
    for paragraph in text.splitlines():
        current = ''
        for word in paragraph.split():
            joined = f'{current} {word}' if current else word
            if cells.cell_len(joined) <= columns:
                current = joined
                continue
            if current:
                lines.append(current)
            *whole, current = _fitting(word, columns)
            lines += whole
        lines.append(current)
    return lines


def _fitting(word: str, columns: int) -> list[str]:
    """Return a word in parts, none of them wider than ``columns``."""
    if cells.cell_len(word) <= columns:
        return [word]
    parts = ['']
    for piece in _PIECES.findall(word):
        if cells.cell_len(parts[-1] + piece) <= columns:
            parts[-1] += piece
        else:
            folded = cells.chop_cells(piece, columns)
            parts = [*(part for part in parts if part), *folded]
    return parts


def _widths_of(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    kept: Sequence[int],
    columns: int,
) -> list[int] | None:
    return _widths(
        [names[index] for index in kept],
        [[_text(row[index]) for index in kept] for row in rows],
        columns,
    )


def _widths(
    names: Sequence[str], rows: Sequence[Sequence[str]], columns: int
) -> list[int] | None:
    """Return how wide each column is; None: they do not fit."""
    free = columns - _GAP * (len(names) - 1)
    cells_of = list(zip(names, *rows, strict=True))
    natural = [max(map(_line_width, each)) for each in cells_of]
    if sum(natural) <= free:
        return natural
    least = [max(map(_word_width, each)) for each in cells_of]
    if sum(least) > free:
        return None
    widths = least
    for cap in range(1, columns):
        wider = [
            min(most, max(few, cap))
            for most, few in zip(natural, least, strict=True)
        ]
        if sum(wider) > free:
            break
        widths = wider
    high = max(
        len(wrap(text, size))
        for row in rows
        for text, size in zip(row, widths, strict=True)
    )
    return widths if high <= _HIGHEST or len(names) < 3 else None


def _line_width(text: str) -> int:
    return max(map(cells.cell_len, text.splitlines()), default=0)


def _word_width(text: str) -> int:
    return max(map(_least, text.split()), default=0)


def _least(word: str) -> int:
    """Return how narrow a column can be that holds ``word``: it may be broken
    behind a comma or a slash, but not into pieces shorter than needed.
    """
    pieces = max(map(cells.cell_len, _PIECES.findall(word)))
    return max(pieces, min(cells.cell_len(word), _PIECE_WIDTH))


def _write_record(
    console: Console, names: Sequence[str], row: Sequence[Any]
) -> None:
    """Write each column of a row in a line of its own."""
    label = max(map(cells.cell_len, names), default=0)
    room = max(console.width - label - _GAP, _PIECE_WIDTH)
    for name, value in zip(names, row, strict=True):
        lines = wrap(_text(value), room) or ['']
        for number, line in enumerate(lines):
            text = Text(f'{"" if number else name:{label + _GAP}}{line}')
            text.stylize('bold', 0, label)
            text.stylize(STYLES.get(_text(value), ''), label)
            text.rstrip()
            console.print(text, soft_wrap=True)


def _cell(text: str, columns: int) -> Text:
    return Text('\n'.join(wrap(text, columns)), STYLES.get(text, ''))


def _filled(value: Any) -> bool:
    return value not in (None, '', '-')


def _text(value: Any) -> str:
    return '-' if value is None else str(value).replace('\r', ' ')


def _console(stdout: TextIO, columns: int) -> Console:
    plain = bool(os.environ.get('NO_COLOR')) or not stdout.isatty()
    return Console(
        file=stdout,
        width=columns,
        color_system=None if plain else 'auto',
        force_terminal=not plain,
        highlight=False,
        markup=False,
        emoji=False,
    )
