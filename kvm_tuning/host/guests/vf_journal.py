"""Record what VFs had before guests got them, in one file for the host.

An entry is on disk before its attribute is written. It is removed when the
guest has ended and the attribute is restored. A reboot creates all VFs again,
so entries of an earlier boot are ignored.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
import json

from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access import owned
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.access.system import System

#: Below the root.
PATH = 'var/lib/kvm-tuning/vf-attributes.json'
VERSION = 1

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


class VfJournal:
    """The entries of this boot. Whoever uses it holds the lock."""

    def __init__(self, system: System, path: str = PATH) -> None:
        """Read the file.

        :param path: of the file, below the root.
        :raises JournalFailed: it is not one that this version wrote.
        """
        self._system = system
        self._path = path
        tree = system.tree()
        self.boot = tree.text('proc/sys/kernel/random/boot_id') or ''
        self._entries = {
            entry.address: entry
            for entry in _read(tree, path)
            if entry.boot == self.boot
        }

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def get(self, address: Address) -> Entry | None:
        return self._entries.get(address)

    def put(self, entry: Entry) -> None:
        """Add or replace an entry, on disk.

        :raises JournalFailed: it cannot be written.
        """
        self._entries[entry.address] = entry
        self._save()

    def drop(self, entry: Entry) -> None:
        """Forget an entry, on disk.

        :raises JournalFailed: it cannot be written.
        """
        self._entries.pop(entry.address, None)
        self._save()

    def _save(self) -> None:
        try:
            if not self._entries:
                self._system.remove(self._path)
                return
            document = {
                'version': VERSION,
                'entries': [asdict(entry) for entry in self],
            }
            text = json.dumps(document, indent=1) + '\n'
            self._system.replace(self._path, text, mode=0o600)
        except OSError as error:
            raise JournalFailed(
                f'/{self._path} cannot be written, so no VF is changed: '
                f'{error.strerror}'
            ) from error


def _read(tree: Tree, path: str) -> Iterator[Entry]:
    try:
        text = owned.read(path, LARGE_BYTES, tree.root)
    except OSError as error:
        raise JournalFailed(
            f'{tree.root}: {path} cannot be read: {error.strerror}'
        ) from error
    if text is None:
        return
    try:
        document = json.loads(text)
        if document['version'] != VERSION:
            raise ValueError(f'its version is {document["version"]!r}')
        for raw in document['entries']:
            entry = Entry(**{**raw, 'index': int(raw['index'])})
            if not all(isinstance(v, str | int) for v in raw.values()):
                raise ValueError('an entry has a value of the wrong type')
            yield entry
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalFailed(
            f'{tree.root}: {path} is not a journal of version {VERSION} '
            f'({error}); move it away to start over: what VFs had before is '
            f'then lost, and a reboot resets them'
        ) from error
