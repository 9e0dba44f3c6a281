"""Read small files below a root, and never outside it.

A root is ``/``, or a directory with another machine's ``sys`` and ``proc``.
Symbolic links are resolved as after chroot(2): absolute ones start at the
root, and ``..`` stops there.
"""

from collections.abc import Callable
from contextvars import ContextVar
import errno
import os
import stat

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import InventoryUnreadable

#: Most bytes of one file. Most are at most a page; /proc/meminfo and the CPU
#: masks of very large machines are longer.
MAX_BYTES = 1 << 18
#: Most bytes of a file that grows with the host: /proc/cpuinfo (up to 2 KiB
#: for each CPU: 8192 CPUs), routes, boot menus, our own journal (about
#: 330 bytes for each interrupt).
LARGE_BYTES = 1 << 24
#: Told what is read, ``files``, ``folders`` or ``links``, and its path; None:
#: nobody is.
observer: ContextVar[Callable[[str, str], None] | None] = ContextVar(
    'observer', default=None
)
# The kernel's own limit (path_resolution(7)).
_MAX_LINKS = 40
# What open and read return for something that does not exist, or that a
# driver does not know at the moment (the speed of a link that is down:
# EINVAL).
_ABSENT = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EINVAL,
        errno.ENODEV,
        errno.ENXIO,
        errno.EOPNOTSUPP,
    }
)
# NONBLOCK: a named pipe in the tree must not stop us.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Tree:
    """The files below ``root``. All paths are relative to it, without a
    leading slash.

    :raises InventoryUnreadable: ``root`` is not a directory. Every method
        raises it for a file that exists and cannot be read.
    """

    __slots__ = ('_directories', '_prefix', 'root')

    def __init__(self, root: str = '/') -> None:
        if not os.path.isdir(root):
            raise InventoryUnreadable(f'{root} is not a directory')
        self.root = root
        self._prefix = os.path.realpath(root).rstrip('/') + '/'
        # The real path of each directory; None: it does not exist.
        self._directories: dict[str, str | None] = {'': ''}

    @property
    def is_this_host(self) -> bool:
        """Whether the root is ``/``, under whatever name."""
        return self._prefix == '/'

    def text(self, path: str, *, limit: int = MAX_BYTES) -> str | None:
        """Return the text of a file, stripped; None when there is none. That
        of an attribute of sysfs ends at a NUL, as it does for the kernel.

        :param limit: most bytes that are read.
        """
        raw = self.raw(path, limit=limit)
        if raw is None:
            return None
        if path.startswith('sys/'):
            raw = raw.partition(b'\0')[0]
        try:
            return raw.decode().strip()
        except UnicodeDecodeError:
            raise self._unreadable(path, 'it is not text') from None

    def foreign(self, path: str) -> str | None:
        """Return the text of a file that others write; None when missing.

        Comments may be in any encoding: bytes that are not UTF-8 are replaced.
        """
        raw = self.raw(path, limit=LARGE_BYTES)
        return None if raw is None else raw.decode(errors='replace').strip()

    def raw(self, path: str, *, limit: int = MAX_BYTES) -> bytes | None:
        """Return the contents of a file; None when it is missing.

        :param limit: most bytes to read; a longer file is an error.
        """
        directory, _slash, name = path.rpartition('/')
        _told('files', path)
        real = self._directory(directory)
        if real is None or name in ('', '.', '..'):
            return None
        try:
            return self._read(f'{real}/{name}' if real else name, limit)
        except OSError as error:
            if error.errno == errno.ELOOP:
                target = self.real(path)
                if target is None:
                    return None
                return self.raw(target, limit=limit)
            if error.errno in _ABSENT:
                return None
            raise self._unreadable(path, str(error.strerror)) from error

    def part(self, path: str, offset: int, size: int) -> bytes | None:
        """Return ``size`` bytes of a file from ``offset`` on, fewer at its
        end; None when there is no such file.
        """
        _told('files', path)
        real = self.real(path)
        if real is None:
            return None
        try:
            handle = os.open(self._prefix + real, _FLAGS)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return b''
                return os.pread(handle, size, offset)
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise self._unreadable(path, str(error.strerror)) from error

    def number(self, path: str) -> int | None:
        """Return the decimal or ``0x`` number in a file; None when missing."""
        text = self.text(path)
        if not text:
            return None
        try:
            return int(text, 16 if text.startswith('0x') else 10)
        except ValueError:
            raise self._unreadable(
                path, f'{text[:40]!r} is not a number'
            ) from None

    def cpus(self, listed: str, mask: str) -> frozenset[int] | None:
        """Return the CPUs in the file ``listed``, or on an old kernel without
        it in ``mask``; None when both are missing.
        """
        path = listed
        try:
            text = self.text(path)
            if text is not None:
                return cpuset.parse(text)
            path = mask
            text = self.text(path)
            return None if text is None else cpuset.parse_mask(text)
        except ValueError as error:
            raise self._unreadable(path, str(error)) from None

    def names(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; none when it is missing."""
        _told('folders', path)
        real = self._directory(path)
        if real is None:
            return []
        try:
            names = os.listdir(self._prefix + real)
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise self._unreadable(path, str(error.strerror)) from error
        for name in names:
            self._check_name(path, name)
        return sorted(names)

    def link_name(self, path: str) -> str | None:
        """Return the last part of a link's target, which need not exist;
        None when there is no such link.
        """
        target = self.target(path)
        if target is None:
            return None
        found = target.rstrip('/').rpartition('/')[2]
        self._check_name(path, found)
        return found

    def target(self, path: str) -> str | None:
        """Return a link's target, unresolved; None when there is no link.

        The same for a file descriptor of another process that was closed or
        is hidden, once its directory could be read.
        """
        directory, _slash, name = path.rpartition('/')
        _told('links', path)
        real = self._directory(directory)
        if real is None:
            return None
        try:
            return os.readlink(f'{self._prefix}{real}/{name}')
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise self._unreadable(path, str(error.strerror)) from error

    def real(self, path: str) -> str | None:
        """Return ``path`` with all links resolved, relative to the root; None
        when it does not exist.
        """
        _told('links', path)
        return self._resolve(path, _MAX_LINKS)

    def _read(self, path: str, limit: int) -> bytes:
        handle = os.open(self._prefix + path, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return b''
            content = bytearray()
            # proc files come in pieces.
            while more := os.read(handle, MAX_BYTES + 1):
                content += more
                if len(content) > limit:
                    break
        finally:
            os.close(handle)
        if len(content) > limit:
            raise self._unreadable(path, f'it is longer than {limit} bytes')
        return bytes(content)

    def _directory(self, path: str) -> str | None:
        """Return the real path of a directory, resolved once."""
        try:
            return self._directories[path]
        except KeyError:
            real = self._resolve(path, _MAX_LINKS)
            self._directories[path] = real
            return real

    def _resolve(self, path: str, links: int) -> str | None:
        real = ''
        for name in path.split('/'):
            if name in ('', '.'):
                continue
            if name == '..':
                real = real.rpartition('/')[0]
                continue
            step = f'{real}/{name}' if real else name
            if step in self._directories:
                known = self._directories[step]
            else:
                known = self._directories[step] = self._step(step, real, links)
            if known is None:
                return None
            real = known
        return real

    def _step(self, step: str, parent: str, links: int) -> str | None:
        """Resolve ``step``, of which only the last part may be a link."""
        try:
            mode = os.lstat(self._prefix + step).st_mode
            if not stat.S_ISLNK(mode):
                return step
            if links == 0:
                raise self._unreadable(step, 'too many links')
            target = os.readlink(self._prefix + step)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise self._unreadable(step, str(error.strerror)) from error
        if not target.startswith('/'):
            target = f'{parent}/{target}'
        return self._resolve(target, links - 1)

    def _check_name(self, path: str, name: str) -> None:
        # Names are printed, and Python's surrogates for bytes that are not
        # UTF-8 are not printable.
        if not name.isprintable():
            raise self._unreadable(
                path, f'the name {name!a} is not printable text'
            )

    def _unreadable(self, path: str, why: str) -> InventoryUnreadable:
        return InventoryUnreadable(
            f'{os.path.join(self.root, path)} cannot be read: {why}'
        )


def _told(kind: str, path: str) -> None:
    tell = observer.get()
    if tell is not None:
        tell(kind, path)
