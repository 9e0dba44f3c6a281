"""GRUB's menu as GRUB will show it: its entries with all variables filled in,
and the one that starts by itself.

A variable that is set on a condition which only GRUB can judge is unknown.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
import re

from kvm_tuning.core import whole
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.prep.boot import grub_script, grubenv
from kvm_tuning.host.prep.boot.grub_script import Command, Word

#: Where the menu is: Debian's and Arch's place, and that of the families of
#: Red Hat and SUSE.
PATHS = ('boot/grub/grub.cfg', 'boot/grub2/grub.cfg')
_VENDORS = ('boot/efi/EFI', 'efi/EFI')

_LINUX = ('linux', 'linux16', 'linuxefi')
_SOURCES = ('source', '.', 'configfile')
#: Variables of GRUB's own, which no file sets.
_OWN = frozenset({'root', 'prefix', 'cmdpath', 'grub_platform', 'grub_cpu'})
_DEEPEST = 3
_BLANKS = re.compile(r'\s+')


@dataclass(slots=True)
class Entry:
    """One entry that starts a kernel, or a submenu."""

    title: str
    id: str
    #: The script of /etc/grub.d that wrote it; empty: none is named.
    section: str
    kernel: str = ''
    #: The kernel's arguments; None: it starts no Linux.
    arguments: str | None = None
    #: Variables in the arguments of which the value is not known.
    unknown: tuple[str, ...] = ()
    entries: list['Entry'] | None = None


@dataclass(slots=True)
class Menu:
    """A menu."""

    path: str
    entries: list[Entry] = field(default_factory=list)
    #: Whether it takes entries from /boot/loader/entries (``blscfg``).
    bls: bool = False
    variables: dict[str, str | None] = field(default_factory=dict)

    def kernels(self) -> list[Entry]:
        """Return all entries that start a Linux, those of submenus, too."""
        return [e for e in _flat(self.entries) if e.arguments is not None]

    def default(self) -> Entry | None:
        """Return the entry that starts by itself; None: it is not one of
        this menu's, or is not known.
        """
        chosen = self.variables.get('default', '0')
        if chosen is None:
            return None
        return _chosen(self.entries, chosen or '0')


def _flat(entries: Iterable[Entry]) -> Iterable[Entry]:
    for entry in entries:
        yield entry
        yield from _flat(entry.entries or ())


def _chosen(entries: list[Entry], text: str) -> Entry | None:
    name, _mark, rest = text.replace('>>', '\0').partition('>')
    name = name.replace('\0', '>')
    found = None
    index = whole.number(name)
    if index is not None:
        found = entries[index] if index < len(entries) else None
    else:
        for entry in entries:
            if name in (entry.title, entry.id) and name:
                found = entry
                break
    if found is not None and found.entries is not None:
        return _chosen(found.entries, rest.replace('\0', '>>') or '0')
    return found


def find(tree: Tree) -> str | None:
    """Return where the menu is; None when there is none. A file on the ESP
    that only leads to another one is not it.

    :raises InventoryUnreadable: it cannot be told.
    """
    for path in PATHS:
        if tree.real(path) is not None:
            return path
    for base in _VENDORS:
        for vendor in tree.names(base):
            path = f'{base}/{vendor}/grub.cfg'
            text = tree.foreign(path)
            if text and re.search(r'^\s*(linux|blscfg)', text, re.MULTILINE):
                return path
    return None


def read(tree: Tree, path: str) -> Menu:
    """Return the menu of a file.

    :raises InventoryUnreadable: it, or a file of it, cannot be read.
    """
    reader = _Reader(tree, Menu(path), grubenv.read(tree))
    reader.source(path, 0)
    reader.fill()
    return reader.menu


class _Reader:
    def __init__(
        self, tree: Tree, menu: Menu, environment: Mapping[str, str]
    ) -> None:
        self._tree = tree
        self.menu = menu
        self._environment = environment
        self._section = ''
        self._bodies: list[tuple[Entry, list[Command]]] = []

    def source(self, path: str, depth: int) -> None:
        text = self._text(path)
        if text is not None and depth < _DEEPEST:
            commands = grub_script.parse(text)
            self._run(commands, self.menu.entries, True, depth)

    def _text(self, path: str) -> str | None:
        raw = self._tree.raw(path, limit=LARGE_BYTES)
        return None if raw is None else raw.decode(errors='surrogateescape')

    def fill(self) -> None:
        """Give entries their arguments: GRUB runs them when all is read."""
        for entry, body in self._bodies:
            self._started(entry, body)

    def _run(
        self,
        commands: Iterable[Command],
        entries: list[Entry],
        certain: bool,
        depth: int,
    ) -> None:
        for command in commands:
            name = command.name
            if name == grub_script.SECTION:
                self._section = grub_script.plain(command.words[1])
            elif name == 'if':
                self._if(command, entries, certain, depth)
            elif name in ('menuentry', 'submenu'):
                self._entry(command, entries, depth)
            elif name in _SOURCES and len(command.words) > 1:
                self.source(self._path(command.words[1]), depth + 1)
            elif name in ('for', 'while', 'until'):
                self._run(command.blocks[0], entries, False, depth)
            elif name != 'function':
                self._simple(command, certain)

    def _path(self, word: Word) -> str:
        """Return a file's path below the root: ``$prefix`` and others stand
        for the menu's own directory.
        """
        text = ''.join('' if part.variable else part.text for part in word)
        directory = self.menu.path.rpartition('/')[0]
        return f'{directory}/{text.rpartition("/")[2]}'

    def _simple(self, command: Command, certain: bool) -> None:
        words = command.words
        if command.name == 'blscfg':
            self.menu.bls = True
        elif command.name == 'load_env':
            self.menu.variables.update(self._environment)
        elif command.name == 'unset' and len(words) > 1:
            self._set(grub_script.plain(words[1]), '', certain)
        else:
            if command.name == 'set':
                words = words[1:]
            if words and '=' in self._literal(words[0]):
                self._assign(words[0], certain)

    def _assign(self, word: Word, certain: bool) -> None:
        """Carry out ``name=value``; of a value that falls apart, GRUB takes
        the first word.
        """
        name = self._literal(word).partition('=')[0]
        if not name.isidentifier():
            return
        value = None
        if not self._expanded(word)[1]:
            value = _pieces(word, self._value)[0].partition('=')[2]
        self._set(name, value, certain)

    def _literal(self, word: Word) -> str:
        return ''.join('\0' if part.variable else part.text for part in word)

    def _set(self, name: str, value: str | None, certain: bool) -> None:
        if not certain and self.menu.variables.get(name) != value:
            value = None
        self.menu.variables[name] = value

    def _if(
        self,
        command: Command,
        entries: list[Entry],
        certain: bool,
        depth: int,
    ) -> None:
        blocks = list(command.blocks)
        while blocks:
            if len(blocks) == 1:
                # What follows ``else``, or an empty rest.
                self._run(blocks[0], entries, certain, depth)
                return
            condition, body = blocks[0], blocks[1]
            blocks = blocks[2:]
            holds = self._holds(condition)
            if holds is not False:
                sure = certain and holds is True
                self._run(body, entries, sure, depth)
            if holds:
                return
            certain = certain and holds is False

    def _holds(self, condition: list[Command]) -> bool | None:
        """Tell whether a condition holds; None: only GRUB can."""
        if len(condition) != 1 or condition[0].name not in ('[', 'test'):
            return None
        words = list(condition[0].words[1:])
        if condition[0].name == '[' and words:
            words.pop()
        texts = [self._expanded(word)[0] for word in words]
        if self._literal(words[-1]).endswith('/grubenv') if words else False:
            return bool(self._environment)
        if None in texts:
            return None
        return _test([text or '' for text in texts])

    def _entry(
        self, command: Command, entries: list[Entry], depth: int
    ) -> None:
        if not command.blocks:
            return
        words = [self._expanded(word)[0] or '' for word in command.words]
        words += [''] if len(words) < 2 else []
        mark = words.index('--id') + 1 if '--id' in words else 0
        entry = Entry(
            words[1], words[mark] if mark < len(words) and mark else '',
            self._section,
        )  # fmt: skip
        entries.append(entry)
        if command.name == 'submenu':
            entry.entries = []
            self._run(command.blocks[0], entry.entries, True, depth)
        else:
            self._bodies.append((entry, command.blocks[0]))

    def _started(self, entry: Entry, body: Iterable[Command]) -> None:
        for command in body:
            if command.name in _LINUX and len(command.words) > 1:
                found: list[str] = []
                unknown: list[str] = []
                for word in command.words[1:]:
                    unknown += self._expanded(word)[1]
                    found += _split(word, self._value)
                entry.kernel = found[0] if found else ''
                entry.arguments = ' '.join(found[1:])
                entry.unknown = tuple(unknown)
            for block in command.blocks:
                self._started(entry, block)

    def _expanded(self, word: Word) -> tuple[str | None, list[str]]:
        """Return a word's text, None where a variable's value is not known,
        and the names of those.
        """
        found, unknown = '', []
        for part in word:
            if not part.variable:
                found += part.text
                continue
            value = self._value(part.text)
            if value is None:
                unknown.append(part.text)
            else:
                found += value
        return (None if unknown else found), unknown

    def _value(self, name: str) -> str | None:
        if name.startswith('feature_'):
            return 'y'
        if name in _OWN and name not in self.menu.variables:
            return None
        return self.menu.variables.get(name, '')


def _split(word: Word, value: Callable[[str], str | None]) -> list[str]:
    """Return the words of a kernel's command line that GRUB makes of one; one
    with blanks comes to the kernel in quotes.
    """
    found = _pieces(word, value)
    return [f'"{text}"' if _BLANKS.search(text) else text for text in found]


def _pieces(word: Word, value: Callable[[str], str | None]) -> list[str]:
    """Return the words that GRUB makes of one. A variable outside of quotes
    falls apart at the blanks within its value; those at its ends go, and its
    ends stay joined to what is next to them.
    """
    found = ['']
    quoted = False
    for part in word:
        quoted = quoted or part.quoted
        text = value(part.text) or '' if part.variable else part.text
        if part.variable and not part.quoted:
            first, *more = text.split() or ['']
            found[-1] += first
            found += more
        else:
            found[-1] += text
    if found == [''] and not quoted:
        return []
    return found


def _test(words: list[str]) -> bool | None:
    if words and words[0] == '!':
        rest = _test(words[1:])
        return None if rest is None else not rest
    match words:
        case [text]:
            return bool(text)
        case ['-n', text]:
            return bool(text)
        case ['-z', text]:
            return not text
        case [one, '=' | '==', other]:
            return one == other
        case [one, '!=', other]:
            return one != other
    return None
