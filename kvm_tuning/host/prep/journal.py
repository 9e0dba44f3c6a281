"""The journal: what each setting was before we changed it, and since.

An entry is on disk before its setting is first written, so that after a crash
the value before, the values that may be there now and the target are known.
The file is replaced as a whole, and only root may read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
import enum
import errno
import json
import os
from typing import Any

from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access import owned
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep.goals import Address, Value

#: Below the root.
PATH = 'var/lib/kvm-tuning/journal.json'
LOCK = 'var/lib/kvm-tuning/lock'
VERSION = 1


class State(enum.Enum):
    """The state of an entry."""

    WRITING = 'writing'
    DONE = 'done'
    UNDOING = 'undoing'


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting that we have changed or are about to change."""

    kind: str
    name: str
    concern: str
    title: str
    #: The value before our first change.
    before: Value
    wanted: Value
    #: The value read back; not ``wanted`` where the kernel gave less.
    got: Value
    #: Other values that may be found after an interrupted write.
    via: tuple[str, ...]
    state: State
    volatile: bool
    #: The boot in which it was written.
    boot: str
    #: Where it is kept across a reboot.
    place: str

    @property
    def address(self) -> Address:
        return self.kind, self.name

    @property
    def open(self) -> bool:
        """Whether its write has not finished."""
        return self.state is not State.DONE

    @property
    def untouched(self) -> bool:
        """Whether it only records what was found, and nothing was written."""
        return not self.open and self.before == self.wanted == self.got

    def fell_short(self, found: Value) -> bool:
        """Return whether its write finished with less than was wanted."""
        return (
            self.state is State.WRITING
            and self.got is not None
            and found == self.got != self.wanted
        )

    def ours(self, found: Value) -> bool:
        """Return whether a value may be of our making."""
        if found in (self.wanted, self.got):
            return True
        return self.open and (
            found is None or found == self.before or found in self.via
        )

    def forgotten(self, boot: str, found: Value) -> bool:
        """Return whether a reboot has undone it."""
        return (
            self.volatile
            and self.boot != boot
            and found not in (self.wanted, self.got)
        )


class Journal:
    """The entries, oldest first. Changes reach the disk by :meth:`save`."""

    def __init__(self, entries: tuple[Entry, ...] = ()) -> None:
        self._entries = {entry.address: entry for entry in entries}
        self._loaded = dict(self._entries)
        self._saved = dict(self._entries)
        #: Whether it was saved by this run, which may then have changed the
        #: host.
        self.written = False

    @property
    def standing(self) -> tuple[str, ...]:
        """Titles of the entries saved since it was loaded."""
        return tuple(
            entry.title
            for address, entry in self._saved.items()
            if entry != self._loaded.get(address)
        )

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, address: Address) -> Entry | None:
        return self._entries.get(address)

    def put(self, entry: Entry) -> None:
        self._entries[entry.address] = entry

    def drop(self, address: Address) -> None:
        self._entries.pop(address, None)

    def close(self, address: Address, got: Value) -> None:
        """Mark an entry as done, or drop it when nothing is left to undo."""
        entry = self._entries[address]
        if entry.wanted == entry.before == got:
            self.drop(address)
        else:
            self.put(replace(entry, got=got, via=(), state=State.DONE))

    def save(self, system: System) -> None:
        """Write the file if anything has changed; remove it when empty.

        :raises OSError: it cannot be written.
        """
        if self._entries == self._saved:
            return
        if self._entries:
            text = _encode(tuple(self))
            # A longer file could not be read again.
            if len(text) > LARGE_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            system.replace(PATH, text, mode=0o600)
        else:
            system.remove(PATH)
        self.written = True
        self._saved = dict(self._entries)


def load(tree: Tree) -> Journal:
    """Return the journal below a root; an empty one when there is no file.

    :raises JournalFailed: it cannot be read, or has another format.
    """
    raw = _raw(tree)
    if raw is None:
        return Journal()
    try:
        document = json.loads(raw)
        if document['version'] != VERSION:
            raise ValueError(f'its version is {document["version"]!r}')
        return Journal(tuple(_decode(each) for each in document['entries']))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalFailed(
            f'{tree.root}: {PATH} is not a journal of version {VERSION} '
            f'({error}); move it away to start over: the changes it records '
            f'can then no longer be undone'
        ) from error


def _raw(tree: Tree) -> bytes | None:
    """:raises JournalFailed: it cannot be read, or is not root's."""
    try:
        return owned.read(PATH, LARGE_BYTES, tree.root)
    except OSError as error:
        raise JournalFailed(
            f'{tree.root}: {PATH} cannot be read: {error.strerror}'
        ) from error


def _encode(entries: tuple[Entry, ...]) -> str:
    """Return the document, one entry a line."""
    lines = ',\n'.join(json.dumps(_plain(entry)) for entry in entries)
    return f'{{"version": {VERSION}, "entries": [\n{lines}\n]}}\n'


def _plain(entry: Entry) -> dict[str, Any]:
    found = {key: getattr(entry, key) for key in (*_TEXTS, *_VALUES)}
    return {
        **found,
        'via': entry.via,
        'state': entry.state.value,
        'volatile': entry.volatile,
    }


_TEXTS = ('kind', 'name', 'concern', 'title', 'boot', 'place')
_VALUES = ('before', 'wanted', 'got')


def _decode(raw: dict[str, Any]) -> Entry:
    for key in _TEXTS:
        if not isinstance(raw[key], str):
            raise ValueError(f'{key} is not a string')
    for key in _VALUES:
        if raw[key] is not None and not isinstance(raw[key], str):
            raise ValueError(f'{key} is not a string')
    via = tuple(raw['via'])
    if not all(isinstance(value, str) for value in via):
        raise ValueError('via has a value that is not a string')
    return Entry(
        **{key: raw[key] for key in (*_TEXTS, *_VALUES)},
        via=via,
        state=State(raw['state']),
        volatile=bool(raw['volatile']),
    )
