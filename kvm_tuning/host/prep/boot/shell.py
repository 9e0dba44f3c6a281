"""A conservative reader of shell files that only set variables.

It follows what POSIX (Shell Command Language, 2.2, 2.6 and 2.9.1) says of
quoting, parameters and assignments. A value that takes a command to know is
:data:`UNKNOWN`; whatever may do something else than set a variable makes the
whole file not understood.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import re

#: A variable's value where only the shell could say it.
UNKNOWN = None

_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
_ASSIGNMENT = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)=')
_BLANK = re.compile(r'(?:[ \t]|\\\n)+')
_BRACED = re.compile(r'\{([A-Za-z_][A-Za-z0-9_]*)(?::?([-+])([^}{"\'`]*))?\}')
# A length or a part of a value.
_CUT = re.compile(r'\{(?:#\w+|[A-Za-z_]\w*(?:%%?|##?)[^}{"\'`$]*)\}')
#: What ends a word that is not quoted, and what only a command has.
_ENDS = frozenset(' \t\n;')
_CONTROL = frozenset('&|<>()')
#: Parameters of which no assignment is known: those of the caller.
_SPECIAL = frozenset('0123456789?$!#@*-')
#: What a backslash escapes between double quotes.
_ESCAPABLE = frozenset('$`"\\')


class NotUnderstood(Exception):
    """A file that may do more than set variables; says which line."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One assignment, as it was carried out."""

    name: str
    #: None: :data:`UNKNOWN`.
    value: str | None
    #: Whether the former value is part of it.
    keeps: bool


def assignments(
    text: str, variables: Mapping[str, str | None]
) -> Iterator[Assignment]:
    """Yield the assignments of a file, in their order.

    :param variables: what is set before it; a name that is in it and not
        set has an empty value, any other an unknown one.
    :raises NotUnderstood: the file may do more than set variables.
    """
    reader = _Reader(text, dict(variables))
    try:
        yield from reader.file()
    except IndexError:
        raise NotUnderstood('it ends within quotes') from None


class _Reader:
    def __init__(self, text: str, variables: dict[str, str | None]) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._used: set[str] = set()

    def file(self) -> Iterator[Assignment]:
        if '\0' in self._text:
            raise NotUnderstood('it is not a text')
        while self._skip():
            if self._text.startswith('unset', self._at):
                yield self._unset()
                continue
            found = list(self._assigned())
            if not found:
                raise self._odd()
            yield from found

    def _odd(self) -> NotUnderstood:
        number = self._text.count('\n', 0, self._at) + 1
        line = self._text.split('\n')[number - 1].strip()
        return NotUnderstood(f'line {number} does more than set: {line[:60]}')

    def _skip(self) -> bool:
        """Go to the next command; tell whether there is one."""
        text = self._text
        while self._at < len(text):
            self._blanks()
            if self._at >= len(text):
                break
            char = text[self._at]
            if char == '#':
                end = text.find('\n', self._at)
                self._at = len(text) if end < 0 else end
            elif char in '\n;':
                self._at += 1
            else:
                return True
        return False

    def _blanks(self) -> None:
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _ended(self) -> bool:
        return self._at >= len(self._text) or self._text[self._at] in '\n;'

    def _unset(self) -> Assignment:
        match = re.compile(
            r'unset[ \t]+([A-Za-z_]\w*)[ \t]*(?=[\n;]|$)'
        ).match(self._text, self._at)
        if match is None:
            raise self._odd()
        self._at = match.end()
        self._variables[match[1]] = ''
        return Assignment(match[1], '', False)

    def _assigned(self) -> Iterator[Assignment]:
        """Yield the assignments of one command."""
        match = re.compile(r'export(?=[ \t])').match(self._text, self._at)
        if match:
            self._at = match.end()
            self._blanks()
        while not self._ended():
            found = _ASSIGNMENT.match(self._text, self._at)
            if found is None:
                name = _NAME.match(self._text, self._at)
                if match is None or name is None:
                    if self._text[self._at] == '#':
                        return
                    raise self._odd()
                self._at = name.end()
            else:
                self._at = found.end()
                self._used = set()
                value = self._word()
                self._variables[found[1]] = value
                yield Assignment(found[1], value, found[1] in self._used)
            if not self._ended() and self._text[self._at] not in ' \t\\':
                raise self._odd()
            self._blanks()

    def _word(self) -> str | None:
        """Read a value up to its end."""
        parts: list[str | None] = []
        if self._text.startswith('~', self._at):
            parts.append(UNKNOWN)
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in _ENDS:
                break
            if char in _CONTROL:
                raise self._odd()
            parts.append(self._part(char))
        return _joined(parts)

    def _part(self, char: str) -> str | None:
        self._at += 1
        if char == "'":
            return self._quoted()
        if char == '"':
            return self._double()
        if char == '\\':
            part = self._text[self._at]
            self._at += 1
            return '' if part == '\n' else part
        if char == '$':
            return self._parameter()
        if char == '`':
            return self._backquoted()
        return char

    def _double(self) -> str | None:
        parts: list[str | None] = []
        while True:
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                return _joined(parts)
            if char == '\\':
                following = self._text[self._at]
                if following in _ESCAPABLE or following == '\n':
                    self._at += 1
                    char = '' if following == '\n' else following
                parts.append(char)
            elif char == '$':
                parts.append(self._parameter())
            elif char == '`':
                parts.append(self._backquoted())
            else:
                parts.append(char)

    def _parameter(self) -> str | None:
        """Read what follows a dollar sign."""
        if self._text.startswith('(', self._at):
            self._at += 1
            return self._substituted()
        if self._text.startswith('{', self._at):
            match = _CUT.match(self._text, self._at)
            if match is not None:
                self._at = match.end()
                return UNKNOWN
            match = _BRACED.match(self._text, self._at)
            if match is None:
                raise self._odd()
            self._at = match.end()
            return self._braced(match[0], match[1], match[2], match[3] or '')
        name = _NAME.match(self._text, self._at)
        if name is not None:
            self._at = name.end()
            return self._value(name[0])
        if self._text[self._at : self._at + 1] in _SPECIAL - {''}:
            self._at += 1
            return UNKNOWN
        return '$'

    def _value(self, name: str) -> str | None:
        self._used.add(name)
        return self._variables.get(name)

    def _braced(
        self, whole: str, name: str, sign: str | None, word: str
    ) -> str | None:
        value = self._value(name)
        if sign is None or value is UNKNOWN:
            return value
        if not value and ':' not in whole:
            # Whether it is set, and empty, or not is not kept.
            return UNKNOWN
        if bool(value) == (sign == '-'):
            return value if sign == '-' else ''
        reader = _Reader(f'"{word}"', self._variables)
        reader._at = 1
        found = reader._double()
        self._used |= reader._used
        return found

    def _substituted(self) -> str | None:
        """Skip a command substitution, which cannot set a variable."""
        depth = 1
        while depth:
            char = self._text[self._at]
            self._at += 1
            if char in '()':
                depth += 1 if char == '(' else -1
            elif char == '\\':
                self._at += 1
            elif char == '"':
                self._double()
            elif char == "'":
                self._quoted()
            elif char == '#' and self._text[self._at - 2] in ' \t\n;':
                raise self._odd()
        return UNKNOWN

    def _quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise IndexError
        part = self._text[self._at : end]
        self._at = end + 1
        return part

    def _backquoted(self) -> str | None:
        while True:
            char = self._text[self._at]
            self._at += 1
            if char == '`':
                return UNKNOWN
            if char == '\\':
                self._at += 1


def _joined(parts: list[str | None]) -> str | None:
    found = []
    for part in parts:
        if part is UNKNOWN:
            return UNKNOWN
        found.append(part)
    return ''.join(found)
