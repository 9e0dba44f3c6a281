"""Record what VFs had before guests got them, in one file for the host.

An entry is on disk before its attribute is written. It is removed when the
guest has ended and the attribute is restored. A reboot creates all VFs again,
so entries of an earlier boot are ignored.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
import json
import re
from typing import Any

from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access import owned
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.access.system import System

#: Below the root.
PATH = 'var/lib/kvm-tuning/vf-attributes.json'
VERSION = 1

_PF = re.compile(r'[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z')
_NAME = re.compile(r'[a-z_]{1,32}\Z')
_MOST = 255
# sriov_numvfs has 16 bits (PCI Express Base Specification, "VF Enable").
_MOST_INDEX = 65535

#: (PF's address, index, name).
Address = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One attribute of one VF that was changed for a guest."""

    #: The guest's UUID and name.
    owner: str
    guest: str
    pf: str
    index: int
    name: str
    before: str
    wanted: str
    #: The boot in which it was written.
    boot: str

    @property
    def address(self) -> Address:
        return self.pf, self.index, self.name

    @property
    def title(self) -> str:
        """The name of its setting."""
        return f'{self.pf}/{self.index}/{self.name}'


_FIELDS = {field.name for field in fields(Entry)}


class VfJournal:
    """The entries of this boot. Changes reach the disk by :meth:`save`.
    Whoever uses it holds the lock.
    """

    def __init__(
        self,
        entries: tuple[Entry, ...] = (),
        strange: tuple[Any, ...] = (),
        boot: str = '',
        path: str = PATH,
    ) -> None:
        """:param strange: what is not an entry, and is kept as it is.
        :param boot: the kernel's name for this boot.
        :param path: of the file, below the root.
        """
        self._entries = {entry.address: entry for entry in entries}
        self._path = path
        self.strange = strange
        self.boot = boot

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def get(self, address: Address) -> Entry | None:
        return self._entries.get(address)

    def put(self, entry: Entry) -> None:
        self._entries[entry.address] = entry

    def drop(self, address: Address) -> None:
        self._entries.pop(address, None)

    def save(self, system: System) -> None:
        """Write the file; remove it when empty.

        :raises JournalFailed: it cannot be written.
        """
        try:
            if not self._entries and not self.strange:
                system.remove(self._path)
                return
            document = {
                'version': VERSION,
                'entries': [*(asdict(e) for e in self), *self.strange],
            }
            text = json.dumps(document, indent=1) + '\n'
            system.replace(self._path, text, mode=0o600)
        except OSError as error:
            raise JournalFailed(
                f'/{self._path} cannot be written, so no VF is changed: '
                f'{error.strerror}'
            ) from error


def load(tree: Tree, path: str = PATH) -> VfJournal:
    """Return the journal below a root, without entries of earlier boots; an
    empty one when there is no file.

    :raises JournalFailed: it cannot be read, or has another format.
    """
    boot = tree.text('proc/sys/kernel/random/boot_id') or ''
    entries, strange = _read(tree, path)
    return VfJournal(
        tuple(entry for entry in entries if entry.boot == boot),
        tuple(strange),
        boot,
        path,
    )


def _read(tree: Tree, path: str) -> tuple[list[Entry], list[Any]]:
    """Return the entries, and whatever else the file has."""
    try:
        text = owned.read(path, LARGE_BYTES, tree.root)
    except OSError as error:
        raise JournalFailed(
            f'{tree.root}: {path} cannot be read: {error.strerror}'
        ) from error
    if text is None:
        return [], []
    try:
        document = json.loads(text)
        if document['version'] != VERSION:
            raise ValueError(f'its version is {document["version"]!r}')
        raws = list(document['entries'])
    except (
        KeyError, TypeError, ValueError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        raise JournalFailed(
            f'{tree.root}: {path} is not a journal of version {VERSION} '
            f'({error}); move it away to start over: what VFs had before is '
            f'then lost, and a reboot resets them'
        ) from error
    found = [(raw, _entry(raw)) for raw in raws]
    return (
        [entry for _raw, entry in found if entry is not None],
        [raw for raw, entry in found if entry is None],
    )


def _entry(raw: Any) -> Entry | None:
    """Return an entry; None for what is not one that we write."""
    if not isinstance(raw, dict) or raw.keys() != _FIELDS:
        return None
    index = raw['index']
    texts = [value for key, value in raw.items() if key != 'index']
    if (
        type(index) is not int
        or not 0 <= index <= _MOST_INDEX
        or not all(isinstance(t, str) and len(t) <= _MOST for t in texts)
        or not _PF.match(raw['pf'])
        or not _NAME.match(raw['name'])
    ):
        return None
    return Entry(**raw)
