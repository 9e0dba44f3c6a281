"""Open only what no stranger can have put there.

Whatever root reads, writes or locks by a path is opened here, part by part
and without following links, and each part is checked on the open handle: who
owns it and who else may write to it. One rule serves files, directories and
queues: root's, or the caller's own.
"""

from collections.abc import Callable
import contextlib
import errno
import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MAX_LINKS = 8
_PIECE = 1 << 16


class Untrusted(OSError):
    """A file or directory that a stranger owns or could have replaced."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.EPERM, why, path)


class Owners:
    """Who is trusted below a root: root, the caller, and the root's owner."""

    __slots__ = ('users',)

    def __init__(self, root: str = '/') -> None:
        self.users = frozenset({0, os.geteuid(), os.stat(root).st_uid})

    def check(
        self, found: os.stat_result, path: str, sticky: bool = False
    ) -> None:
        """See that nobody else owns a file or may write to it.

        A caller that is not root may share its own group, as with a umask
        of 002.

        :param found: of the open handle, or of a name in a directory that
            has been checked.
        :param sticky: whether a directory such as /tmp is taken, in which
            others can make files but not replace them.
        :raises Untrusted: the reason, in one line.
        """
        if found.st_uid not in self.users:
            raise Untrusted(
                path, f'{path} belongs to uid {found.st_uid}, not to root'
            )
        if sticky and found.st_mode & stat.S_ISVTX:
            return
        if found.st_mode & stat.S_IWOTH:
            raise Untrusted(path, f'{path} is writable by everybody')
        if found.st_mode & stat.S_IWGRP and not _own_group(found.st_gid):
            raise Untrusted(
                path, f'{path} is writable by the group {found.st_gid}'
            )


def open_directory(
    path: str,
    root: str = '/',
    *,
    create: bool = False,
    mode: int = 0o755,
    links: bool = False,
    sync: Callable[[int], None] = os.fsync,
) -> int:
    """Open a directory below ``root`` and return its handle.

    :param create: make what is missing; each new name is on disk when this
        returns.
    :param mode: of the directories that are made.
    :param links: follow links that only root can have made: root's, with
        nothing but directories of root above them.
    :raises OSError: it cannot be opened; Untrusted: it is not safe to.
    """
    return _Walk(root, create, mode, links, sync).to(path)


def open_file(
    path: str,
    flags: int,
    root: str = '/',
    *,
    mode: int = 0o600,
    create: bool = False,
    directory_mode: int = 0o755,
    links: bool = False,
    sync: Callable[[int], None] = os.fsync,
) -> int:
    """Open a regular file below ``root`` and return its handle.

    :param flags: of open(2); ``O_CREAT`` makes the file with ``mode``.
    :param create: make missing directories, with ``directory_mode``.
    :param links: as in :func:`open_directory`; the file is never a link.
    :raises OSError: it cannot be opened; Untrusted: it is not safe to.
    """
    directory = open_directory(
        os.path.dirname(path),
        root,
        create=create,
        mode=directory_mode,
        links=links,
        sync=sync,
    )
    try:
        return open_in(
            directory, os.path.basename(path), flags, root, mode=mode
        )
    finally:
        os.close(directory)


def open_in(
    directory: int, name: str, flags: int, root: str = '/', mode: int = 0o600
) -> int:
    """Open a regular file in an open directory, as :func:`open_file` does."""
    try:
        handle = os.open(name, flags | _FILE, mode, dir_fd=directory)
    except OSError as error:
        raise _clearer(error, directory, name) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Untrusted(name, f'{name} is not a regular file')
        if flags & (os.O_WRONLY | os.O_RDWR) and found.st_nlink > 1:
            raise Untrusted(name, f'{name} has {found.st_nlink} hard links')
        Owners(root).check(found, name)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read(path: str, limit: int, root: str = '/') -> bytes | None:
    """Return what is in a file; None when there is none.

    :param limit: most bytes; more is an error.
    :raises OSError: it cannot be read; Untrusted: it is not safe to.
    """
    try:
        handle = open_file(path, os.O_RDONLY, root)
    except FileNotFoundError:
        return None
    try:
        return read_handle(handle, limit)
    finally:
        os.close(handle)


def read_handle(handle: int, limit: int) -> bytes:
    """Return what is left in an open file.

    :raises OSError: it is longer than ``limit`` bytes.
    """
    content = bytearray()
    while more := os.read(handle, min(_PIECE, limit + 1)):
        content += more
        if len(content) > limit:
            raise OSError(errno.EFBIG, f'it is longer than {limit} bytes')
    return bytes(content)


def check(path: str, root: str = '/') -> None:
    """See that what another library opens by ``path`` is ours.

    Links are followed where root or the caller made them and nobody else
    could have.

    :raises OSError: it cannot be looked at; Untrusted: a stranger owns it or
        a link on the way, or could have replaced it.
    """
    owners = Owners(root)
    for _each in range(_MAX_LINKS):
        base, name = os.path.split(path.rstrip('/'))
        handle = open_directory(base, root, links=True)
        try:
            found = os.lstat(name, dir_fd=handle)
            if not stat.S_ISLNK(found.st_mode):
                owners.check(found, path)
                return
            if found.st_uid not in owners.users:
                raise Untrusted(
                    path, f'{path} is a link of uid {found.st_uid}'
                )
            path = os.path.join(base, os.readlink(name, dir_fd=handle))
        finally:
            os.close(handle)
        path = os.path.normpath(path)
    raise Untrusted(path, f'{path}: too many links')


def _own_group(group: int) -> bool:
    return group == 0 or (os.geteuid() != 0 and group == os.getegid())


class _Walk:
    """The way from a root to a directory."""

    def __init__(
        self,
        root: str,
        create: bool,
        mode: int,
        links: bool,
        sync: Callable[[int], None],
    ) -> None:
        self._root = root
        self._owners = Owners(root)
        self._create = create
        self._mode = mode
        self._links = _MAX_LINKS if links else 0
        self._sync = sync
        # Whether nobody but root can have made any name on the way.
        self._roots_alone = True

    def to(self, path: str) -> int:
        """Return a handle of the last directory, which must be ours."""
        parts = _parts(path)
        handle = self._start()
        way = self._root.rstrip('/')
        try:
            self._look(handle, way or '/', last=not parts)
            while parts:
                name = parts.pop(0)
                target = self._link(handle, name)
                if target is not None:
                    parts[:0] = _parts(target)
                    if target.startswith('/'):
                        handle = _instead(handle, self._start())
                        way = self._root.rstrip('/')
                    continue
                handle = _instead(handle, self._step(handle, name))
                way = f'{way}/{name}'
                self._look(handle, way, last=not parts)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _start(self) -> int:
        return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _look(self, handle: int, way: str, last: bool) -> None:
        found = os.fstat(handle)
        self._owners.check(found, way, sticky=not last)
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self._roots_alone = False

    def _link(self, handle: int, name: str) -> str | None:
        """Return where a link leads that may be followed; None for others."""
        if not self._links or not self._roots_alone:
            return None
        try:
            found = os.lstat(name, dir_fd=handle)
        except FileNotFoundError:
            return None
        if not stat.S_ISLNK(found.st_mode) or found.st_uid != 0:
            return None
        self._links -= 1
        return os.readlink(name, dir_fd=handle)

    def _step(self, handle: int, name: str) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=handle)
        except FileNotFoundError:
            if not self._create:
                raise
        except OSError as error:
            raise _clearer(error, handle, name) from error
        try:
            os.mkdir(name, self._mode, dir_fd=handle)
        except FileExistsError:
            # Somebody was faster, and what they made is checked.
            pass
        else:
            self._sync(handle)
        return os.open(name, _DIRECTORY, dir_fd=handle)


def _parts(path: str) -> list[str]:
    """:raises Untrusted: the path climbs."""
    parts = [part for part in path.split('/') if part not in ('', '.')]
    if '..' in parts:
        raise Untrusted(path, f'{path} has a part ".."')
    return parts


def _clearer(error: OSError, directory: int, name: str) -> OSError:
    """Return an error that says of a link that it is one."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode):
                return Untrusted(name, f'{name} is a link: not followed')
    return error


def _instead(old: int, new: int) -> int:
    os.close(old)
    return new
