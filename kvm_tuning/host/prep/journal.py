"""The journal: what was found before we changed it, and what became of it.

An entry is on disk before the first write of its setting, so that whoever
comes after a crash knows what was there, what it may be now and what it
should have become. The file is replaced as a whole and only root may read it.
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
    """How far an entry has come."""

    WRITING = 'writing'
    DONE = 'done'
    UNDOING = 'undoing'


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting that we have changed, or are about to change."""

    kind: str
    name: str
    concern: str
    title: str
    #: What was there, that was not ours.
    before: Value
    wanted: Value
    #: What was read after the write; differs from ``wanted`` where the
    #: kernel gave less.
    got: Value
    #: Other values that may be found if the write was interrupted.
    via: tuple[str, ...]
    state: State
    volatile: bool
    #: The boot in which it was written.
    boot: str
    #: Where it is kept over a reboot.
    place: str

    @property
    def address(self) -> Address:
        return self.kind, self.name

    @property
    def open(self) -> bool:
        """Whether its write was never finished."""
        return self.state is not State.DONE

    @property
    def untouched(self) -> bool:
        """Whether it only says what was found: nothing was written."""
        return not self.open and self.before == self.wanted == self.got

    def fell_short(self, found: Value) -> bool:
        """Tell whether its write came to an end, with something else."""
        return (
            self.state is State.WRITING
            and self.got is not None
            and found == self.got != self.wanted
        )

    def ours(self, found: Value) -> bool:
        """Tell whether a value can be of our making."""
        if found in (self.wanted, self.got):
            return True
        return self.open and (
            found is None or found == self.before or found in self.via
        )

    def forgotten(self, boot: str, found: Value) -> bool:
        """Tell whether a reboot has undone it."""
        return (
            self.volatile
            and self.boot != boot
            and found not in (self.wanted, self.got)
        )


class Journal:
    """The entries, oldest first. Changes are on disk after :meth:`save`."""

    def __init__(self, entries: tuple[Entry, ...] = ()) -> None:
        self._entries = {entry.address: entry for entry in entries}
        self._loaded = dict(self._entries)
        self._saved = dict(self._entries)
        #: Whether it has been saved: from then on the host may be changed.
        self.written = False

    @property
    def standing(self) -> tuple[str, ...]:
        """Titles of what is on disk now and was not when it was loaded."""
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
        """Mark an entry as done; drop it when nothing is left to undo."""
        entry = self._entries[address]
        if entry.wanted == entry.before == got:
            self.drop(address)
        else:
            self.put(replace(entry, got=got, via=(), state=State.DONE))

    def save(self, system: System) -> None:
        """Write it, if anything has changed; an empty one is removed.

        :raises OSError: it cannot be written.
        """
        if self._entries == self._saved:
            return
        if self._entries:
            text = _encode(tuple(self))
            # What could not be read again is of no use.
            if len(text) > LARGE_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            system.replace(PATH, text, mode=0o600)
        else:
            system.remove(PATH)
        self.written = True
        self._saved = dict(self._entries)


def load(tree: Tree) -> Journal:
    """Return the journal below a root; an empty one when there is none.

    :raises JournalFailed: it is not one that this version wrote.
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
            f'({error}); move it away to start anew, and nothing that it '
            f'tells of can be undone'
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
    """Return the document, an entry a line."""
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
            raise ValueError(f'{key} is no text')
    for key in _VALUES:
        if raw[key] is not None and not isinstance(raw[key], str):
            raise ValueError(f'{key} is no text')
    via = tuple(raw['via'])
    if not all(isinstance(value, str) for value in via):
        raise ValueError('via holds what is no text')
    return Entry(
        **{key: raw[key] for key in (*_TEXTS, *_VALUES)},
        via=via,
        state=State(raw['state']),
        volatile=bool(raw['volatile']),
    )
