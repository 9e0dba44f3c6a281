"""The journal: what each setting was before we changed it, and since.

An entry is on disk before its setting is first written, so that after a crash
the value before, the values that may be there now and the target are known.
The file is replaced as a whole, and only root may read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
import enum
import errno
import os
from typing import Any

from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access import owned
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep import journal_text
from kvm_tuning.host.prep.goals import Address, Value
from kvm_tuning.host.prep.journal_text import Strange

#: Below the root.
PATH = 'var/lib/kvm-tuning/journal.json'
LOCK = 'var/lib/kvm-tuning/lock'
VERSION = journal_text.VERSION
# How many parts that cannot be read a message names.
_NAMED = 5


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

    def __init__(
        self,
        entries: tuple[Entry, ...] = (),
        strange: tuple[Strange, ...] = (),
        version: int = VERSION,
    ) -> None:
        """:param strange: what cannot be read, and is kept as it is.
        :param version: of the file that it is kept in.
        """
        self._entries = {entry.address: entry for entry in entries}
        self._loaded = dict(self._entries)
        self._saved = dict(self._entries)
        self._version = version
        self.strange = strange
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
        if self._entries or self.strange:
            text = journal_text.encode(
                self._version, [_plain(each) for each in self], self.strange
            )
            # A longer file could not be read again.
            if len(text) > LARGE_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            system.replace(PATH, text, mode=0o600)
        else:
            system.remove(PATH)
        self.written = True
        self._saved = dict(self._entries)


def load(tree: Tree, tolerant: bool = False) -> Journal:
    """Return the journal below a root; an empty one when there is no file.

    :param tolerant: take what can be read of it, for an undo of that.
    :raises JournalFailed: it cannot be read; without ``tolerant``, all of it.
    """
    raw = _raw(tree)
    if raw is None:
        return Journal()
    document = journal_text.parse(raw)
    if document.strange and not tolerant:
        what = '; '.join(map(str, document.strange[:_NAMED]))
        raise JournalFailed(
            f'{tree.root}: {PATH} is not a journal of version {VERSION} '
            f'({what}); host undo restores what it can read of it and names '
            f'the rest; move it away to start over: the changes it records '
            f'can then no longer be undone'
        )
    return Journal(
        tuple(_decode(each) for each in document.entries),
        document.strange,
        max(VERSION, document.version),
    )


def _raw(tree: Tree) -> bytes | None:
    """:raises JournalFailed: it cannot be read, or is not root's."""
    try:
        return owned.read(PATH, LARGE_BYTES, tree.root)
    except OSError as error:
        raise JournalFailed(
            f'{tree.root}: {PATH} cannot be read: {error.strerror}'
        ) from error


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
    """Return the entry of fields that have been checked."""
    return Entry(
        **{key: raw[key] for key in (*_TEXTS, *_VALUES)},
        via=tuple(raw['via']),
        state=State(raw['state']),
        volatile=raw['volatile'],
    )
