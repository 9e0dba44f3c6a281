"""Parses udev's rules (udev(7))."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.writers import precedence, target

DIRECTORIES = precedence.below('udev/rules.d')
_TOKEN = re.compile(
    r'[\s,]*([A-Z]+)(?:\{([^}]*)\})?\s*(==|!=|\+=|-=|:=|=)\s*'
    r'(e|i|ei|ie)?"((?:[^"\\]|\\.)*)"'
)


@dataclass(frozen=True, slots=True)
class Token:
    """``KEY{attribute}operator"value"``."""

    key: str
    attribute: str
    operator: str
    value: str
    #: Whether case is ignored (``i"..."``, systemd 256).
    folded: bool = False

    @property
    def is_match(self) -> bool:
        return self.operator in ('==', '!=')


@dataclass(frozen=True, slots=True)
class Rule:
    """A line; a file's lines may jump forward within the file."""

    path: str
    line: int
    tokens: tuple[Token, ...]

    @property
    def name(self) -> str:
        """The file's name, by which files are sorted."""
        return self.path.rpartition('/')[2]

    def value(self, key: str) -> str | None:
        """Return what is assigned to a key such as GOTO or LABEL."""
        for token in self.tokens:
            if token.key == key and not token.is_match:
                return token.value
        return None


def read(tree: Tree, leave_out: str = '') -> list[Rule]:
    """Return all rules in the order in which udev applies them.

    :param leave_out: the path of a file that is not read.
    :raises InventoryUnreadable: a file cannot be read, or is not text.
    """
    found: list[Rule] = []
    for path in precedence.files(tree, DIRECTORIES, '.rules').values():
        if path != leave_out:
            text = target.text(tree, path) or ''
            found += [Rule(path, *each) for each in _parse(text)]
    return found


def unreadable(tree: Tree) -> Iterator[str]:
    """Yield why a file of rules cannot be read, one sentence a file."""
    for path in precedence.files(tree, DIRECTORIES, '.rules').values():
        try:
            target.text(tree, path)
        except InventoryUnreadable as error:
            yield str(error)


@lru_cache(maxsize=512)
def _parse(text: str) -> tuple[tuple[int, tuple[Token, ...]], ...]:
    found = []
    for number, line in _lines(text):
        tokens = _tokens(line)
        if tokens:
            found.append((number, tokens))
    return tuple(found)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each rule with the number of its first line."""
    pieces: list[str] = []
    first = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith('#') or (not line and not pieces):
            continue
        first = first or number
        if line.endswith('\\'):
            pieces.append(line[:-1])
            continue
        yield first, ' '.join([*pieces, line])
        pieces, first = [], 0
    if pieces:
        yield first, ' '.join(pieces)


def _tokens(line: str) -> tuple[Token, ...]:
    """Return the tokens of a line; none when udev would not take it."""
    found = []
    position = 0
    while match := _TOKEN.match(line, position):
        key, attribute, operator, prefix, value = match.groups()
        if 'e' in (prefix or ''):
            value = value.encode().decode('unicode_escape', 'replace')
        else:
            value = value.replace('\\"', '"')
        found.append(
            Token(key, attribute or '', operator, value, 'i' in (prefix or ''))
        )
        position = match.end()
    return () if line[position:].strip(' \t,') else tuple(found)
