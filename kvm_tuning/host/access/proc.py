"""Read one process in /proc, and say what is hidden and why.

Paths are below a root, so that a recorded /proc can be read as well. A file
that may not be read comes back as an
:class:`~kvm_tuning.core.observed.Unknown` that names the capability it takes
(see proc(5) for each file).
"""

from collections.abc import Iterable, Iterator
import errno
import os

from kvm_tuning.core import whole
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Unknown

#: Most bytes read from one file. The smaps of a guest with a few hundred
#: mappings is 300 KiB.
MAX_BYTES = 64 << 20
#: What reading a process of another user takes (ptrace(2), "Ptrace access
#: mode").
PTRACE = 'CAP_SYS_PTRACE'
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.ENOTDIR})
_CHUNK = 1 << 20


class Process:
    """The process ``pid`` below ``root``.

    :raises InventoryUnreadable: there is no such process. All methods raise
        it once the process has ended.
    """

    __slots__ = ('_path', 'pid', 'root')

    def __init__(self, pid: int, root: str = '/') -> None:
        self.pid = pid
        self.root = root
        self._path = os.path.join(root, 'proc', str(pid))
        self._alive()

    def raw(self, name: str, limit: int = MAX_BYTES) -> bytes | Unknown:
        """Return what is in a file.

        :param limit: bytes after which no more is read.
        """
        try:
            return self._read(name, limit)
        except OSError as error:
            return self._unknown(name, error)

    def text(self, name: str) -> str | Unknown:
        """Return the text of a file; a thread's name may be any bytes."""
        raw = self.raw(name)
        if isinstance(raw, Unknown):
            return raw
        return raw.decode('utf-8', 'backslashreplace')

    def fields(self, name: str) -> dict[str, str] | Unknown:
        """Return the ``Key: value`` or ``Key value`` lines of a file."""
        text = self.text(name)
        if isinstance(text, Unknown):
            return text
        return fields(text)

    def names(self, name: str) -> list[int] | Unknown:
        """Return the numeric names in a directory, sorted."""
        try:
            found = os.listdir(os.path.join(self._path, name))
        except OSError as error:
            return self._unknown(name, error)
        return _numbers(found)

    def links(self) -> dict[int, str] | Unknown:
        """Return where each descriptor leads, by its number."""
        numbers = self.names('fd')
        if isinstance(numbers, Unknown):
            return numbers
        found = {}
        for number in numbers:
            path = f'fd/{number}'
            try:
                found[number] = os.readlink(os.path.join(self._path, path))
            except OSError as error:
                # Descriptors come and go.
                if error.errno not in _GONE:
                    return self._unknown(path, error)
        return found

    def _read(self, name: str, limit: int) -> bytes:
        with open(os.path.join(self._path, name), 'rb', buffering=0) as file:
            pieces = []
            size = 0
            while size < limit and (piece := file.read(_CHUNK)):
                pieces.append(piece)
                size += len(piece)
        return b''.join(pieces)

    def _unknown(self, name: str, error: OSError) -> Unknown:
        where = f'/proc/{self.pid}/{name}'
        if error.errno in _DENIED:
            return Unknown(f'{where}: {error.strerror}', PTRACE)
        if error.errno in _GONE:
            self._alive()
            return Unknown(f'this kernel does not have {where}')
        return Unknown(f'{where}: {error.strerror}')

    def _alive(self) -> None:
        if not os.path.isdir(self._path):
            raise InventoryUnreadable(
                f'process {self.pid} does not exist below '
                f'{os.path.dirname(self._path)}: the guest has ended'
            )


def fields(text: str) -> dict[str, str]:
    """Return the ``Key: value`` or ``Key value`` lines of ``text``."""
    found = {}
    for line in text.splitlines():
        key, _space, value = line.partition(' ' if ':' not in line else ':')
        found[key.strip()] = value.strip()
    return found


def processes(root: str = '/') -> Iterator[int]:
    """Yield the numbers of all processes below ``root``, sorted."""
    try:
        names = os.listdir(os.path.join(root, 'proc'))
    except OSError:
        names = []
    yield from _numbers(names)


def _numbers(names: Iterable[str]) -> list[int]:
    found = map(whole.number, names)
    return sorted(number for number in found if number is not None)
