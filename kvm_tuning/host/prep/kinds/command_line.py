"""Parse the kernel's command line as the kernel does.

The last value of a parameter counts (the kernel's
Documentation/admin-guide/kernel-parameters.rst; each is parsed in turn).
Dashes and underscores in a name are the same. A value may be quoted.
Everything after ``--`` is for init. The text may have several lines, as the
``options`` of a boot entry; one that begins with ``#`` is a comment, as in
``/etc/kernel/cmdline`` (kernel-install(8)).
"""

from collections.abc import Callable, Iterable, Iterator
import re

#: An argument and, for huge pages, their size in bytes (0: the kernel's
#: default): a count belongs to the size before it.
Unit = tuple[str, int | None]

# An open quote extends to the end of the line (lib/cmdline.c, next_arg).
_WORD = re.compile(r'(?:"[^"]*"?|[^\s"])+')
_SIZE = re.compile(r'(\d{1,18})([KMGT]?)', re.IGNORECASE)


def words(text: str) -> list[str]:
    """Return the arguments up to ``--``, with their quotes."""
    found = [word for line in _lines(text) for word in line]
    return found[: found.index('--')] if '--' in found else found


def _lines(text: str) -> list[list[str]]:
    return [
        [] if is_comment(line) else _WORD.findall(line)
        for line in text.split('\n')
    ]


def is_comment(line: str) -> bool:
    """Tell whether a line is not for the kernel."""
    return line.lstrip().startswith('#')


def key(word: str) -> str:
    """Return an argument's name in the form that the kernel compares."""
    return word.partition('=')[0].strip('"').replace('-', '_')


def value(text: str, name: str) -> str | None:
    """Return the value in force; '' for a bare word, None for a parameter
    that is not given.
    """
    return next(reversed(values(text, name)), None)


def values(text: str, name: str) -> list[str]:
    """Return all values of a parameter, in order."""
    wanted = name.replace('-', '_')
    return [_value(word) for word in words(text) if key(word) == wanted]


def _value(word: str) -> str:
    return word.partition('=')[2].strip('"')


def units(text: str) -> Iterator[Unit]:
    """Yield the arguments as :func:`words`, those of huge pages with their
    size (mm/hugetlb.c, hugepagesz_setup and hugepages_setup).
    """
    size = page_size(value(text, 'default_hugepagesz') or '')
    for word in words(text):
        name = key(word)
        if name in ('hugepagesz', 'default_hugepagesz'):
            size = page_size(_value(word))
        paged = name in ('hugepagesz', 'hugepages')
        yield word, size if paged else None


def page_size(text: str) -> int:
    """Return the bytes of ``1G`` or ``2048K``; 0 when it is not a size."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return 0
    return int(match[1]) << 10 * ' KMGT'.index(match[2].upper() or ' ')


def edited(text: str, gone: Callable[[Unit], bool], more: str = '') -> str:
    """Return ``text`` without the arguments for which ``gone`` is true, and
    with ``more`` as the kernel's last arguments. The number of lines and
    init's arguments stay.
    """
    left = list(units(text))
    lines: list[list[str]] = []
    last = -1
    for line in text.split('\n'):
        if is_comment(line):
            lines.append([line])
        else:
            last = len(lines)
            lines.append(_WORD.findall(line))
    if last < 0:
        last = len(lines)
        lines.append([])
    ended = False
    for at, words in enumerate(lines):
        if is_comment(''.join(words)):
            continue
        kept = []
        for word in words:
            if not ended and word == '--':
                ended = True
                kept.append(more)
            if ended or not gone(left.pop(0)):
                kept.append(word)
        if not ended and at == last:
            kept.append(more)
        lines[at] = kept
    return '\n'.join(' '.join(filter(None, line)) for line in lines)


def without(text: str, names: Iterable[str]) -> str:
    """Return ``text`` without the parameters ``names``."""
    gone = {name.replace('-', '_') for name in names}
    return edited(text, lambda unit: key(unit[0]) in gone)
