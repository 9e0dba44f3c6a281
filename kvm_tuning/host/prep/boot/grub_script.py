"""GRUB's menu language, as far as a menu needs it (GRUB's manual, "Writing
full configuration files directly").
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
import re

#: Ends a block, or parts it.
_CLOSERS = ('then', 'elif', 'else', 'fi', 'do', 'done', '}')
#: What grub-mkconfig(8) writes around the output of each of its scripts.
_MARK = re.compile(r'### (BEGIN|END) (\S+) ###')
_VARIABLE = re.compile(r'\$(?:\{([\w?*@#]+)\}|(\w+|[?*@#]))')
#: The name of the pseudo command that :data:`_MARK` becomes.
SECTION = '###'


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a word: a text, or a variable's name."""

    text: str
    variable: bool = False
    quoted: bool = False


Word = tuple[Part, ...]


@dataclass(slots=True)
class Command:
    """A command with its words, and the blocks that belong to it: the
    conditions and bodies of ``if`` in turn, the body of an entry.
    """

    words: tuple[Word, ...]
    blocks: list[list['Command']] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first word, where it is plain."""
        return plain(self.words[0]) if self.words else ''


def plain(word: Word) -> str:
    """Return a word's text; empty when it has a variable."""
    if any(part.variable for part in word):
        return ''
    return ''.join(part.text for part in word)


def parse(text: str) -> list[Command]:
    """Return the commands of a menu. What is odd is skipped: GRUB, too, goes
    on with the next command.
    """
    return _Parser(list(_tokens(text))).block(())[0]


class _Parser:
    def __init__(self, tokens: list[Word | str]) -> None:
        self._tokens = tokens
        self._at = 0

    def block(self, closers: tuple[str, ...]) -> tuple[list[Command], str]:
        """Return the commands up to one of ``closers``, and that one."""
        found: list[Command] = []
        while self._at < len(self._tokens):
            words = self._words(closers)
            if not words:
                if self._closes(closers):
                    return found, self._take()
                self._at += 1
                continue
            found.append(self._with_blocks(words))
        return found, ''

    def _closes(self, closers: tuple[str, ...]) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        name = token if isinstance(token, str) else plain(token)
        return name in closers

    def _take(self) -> str:
        token = self._tokens[self._at]
        self._at += 1
        return token if isinstance(token, str) else plain(token)

    def _words(self, closers: tuple[str, ...]) -> tuple[Word, ...]:
        found: list[Word] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if isinstance(token, str):
                break
            if not found and plain(token) in closers:
                break
            found.append(token)
            self._at += 1
            if plain(token) == 'if' and len(found) == 1:
                break
        return tuple(found)

    def _with_blocks(self, words: tuple[Word, ...]) -> Command:
        command = Command(words)
        if command.name == 'if':
            closer = ''
            while closer != 'fi':
                block, closer = self.block(('then', 'elif', 'else', 'fi'))
                command.blocks.append(block)
                if not closer:
                    break
        elif command.name in ('for', 'while', 'until'):
            self.block(('do',))
            block, _closer = self.block(('done',))
            command.blocks.append(block)
        elif self._at < len(self._tokens) and self._tokens[self._at] == '{':
            self._at += 1
            block, _closer = self.block(('}',))
            command.blocks.append(block)
        return command


def _tokens(text: str) -> Iterator[Word | str]:
    """Yield words, and separators as strings."""
    at = 0
    while at < len(text):
        char = text[at]
        if char in ' \t':
            at += 1
        elif text.startswith('\\\n', at):
            at += 2
        elif char == '#':
            end = text.find('\n', at)
            end = len(text) if end < 0 else end
            mark = _MARK.match(text, at)
            if mark:
                name = mark[2] if mark[1] == 'BEGIN' else ''
                yield '\n'
                yield (Part(SECTION),)
                yield (Part(name),)
                yield '\n'
            at = end
        elif char in '{}|&;<>\n':
            yield char
            at += 1
        else:
            word, at = _word(text, at)
            yield word


def _word(text: str, at: int) -> tuple[Word, int]:
    parts: list[Part] = []
    while at < len(text) and text[at] not in '{}|&;<> \t\n':
        char = text[at]
        if char == '\\':
            if text[at + 1 : at + 2] != '\n':
                parts.append(Part(text[at + 1 : at + 2], quoted=True))
            at += 2
        elif char == "'":
            end = text.find("'", at + 1)
            end = len(text) if end < 0 else end
            parts.append(Part(text[at + 1 : end], quoted=True))
            at = end + 1
        elif char == '"':
            found, at = _double(text, at + 1)
            parts += found
        elif char == '$':
            part, at = _variable(text, at, False)
            parts.append(part)
        else:
            parts.append(Part(char))
            at += 1
    return tuple(parts), at


def _variable(text: str, at: int, quoted: bool) -> tuple[Part, int]:
    match = _VARIABLE.match(text, at)
    if match is None:
        return Part('$', quoted=quoted), at + 1
    return Part(match[1] or match[2], True, quoted), match.end()


def _double(text: str, at: int) -> tuple[list[Part], int]:
    parts = [Part('', quoted=True)]
    while at < len(text) and text[at] != '"':
        char = text[at]
        if char == '\\' and text[at + 1 : at + 2] in '"$\\\n':
            if text[at + 1 : at + 2] != '\n':
                parts.append(Part(text[at + 1 : at + 2], quoted=True))
            at += 2
        elif char == '$':
            part, at = _variable(text, at, True)
            parts.append(part)
        else:
            parts.append(Part(char, quoted=True))
            at += 1
    return parts, at + 1
