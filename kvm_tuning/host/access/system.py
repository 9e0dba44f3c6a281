"""Every write to a host: attributes, files and commands.

No link that could lead out of the root is followed: a path is resolved below
the root first, as after chroot(2), and then opened part by part without
following links. A file is replaced as a whole or not at all.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import errno
import logging
import os
import shutil
import stat
import subprocess

from kvm_tuning.host.access import blocking, locks, owned
from kvm_tuning.host.access.programs import ProgramMissing
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree

LOG = logging.getLogger(__name__)

#: Suffix of a file that is not complete yet. modprobe, udev, GRUB and systemd
#: read only names with their own suffix.
UNFINISHED = '.kvm-tuning-new'

_COMMAND_SECONDS = 300.0
_KILLED_SECONDS = 1.0
#: What programs of the host are run with.
ENVIRONMENT = {
    'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'LC_ALL': 'C',
}


class System:
    """The host below ``root``. Paths are relative to it."""

    def __init__(self, root: str = '/') -> None:
        self.root = root

    def tree(self) -> Tree:
        """Return a reader without anything cached."""
        return Tree(self.root)

    def write(self, path: str, text: str, timeout: float = 120.0) -> None:
        """Write ``text`` to an existing attribute of sysfs or procfs.

        :raises OSError: the kernel's answer; TimeoutError: none came in time.
        """
        real = self.tree().real(path)
        if real is None:
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), path
            )
        LOG.debug('write %r to /%s', text, path.lstrip('/'))
        self._reach(f'write {path}')
        self._patiently(lambda: self._deliver(real, text), timeout)
        self._reach(f'wrote {path}')

    def replace(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace ``path`` by a file with ``text``, atomically; it is on disk
        when this returns. An existing file keeps its mode.

        :raises OSError: it cannot be written, or a link is in the way.
        """
        LOG.debug('write the file /%s', path.lstrip('/'))
        with _naming(path):
            self._replace(path, text, mode)
        self._reach(f'wrote {path}')

    def _replace(self, path: str, text: str, mode: int) -> None:
        directory = self._open_directory(os.path.dirname(path), create=True)
        name = os.path.basename(path)
        unfinished = f'.{name}{UNFINISHED}'
        try:
            kept = _mode(directory, name)
            self._reach(f'start {path}')
            _remove(directory, unfinished)
            handle = os.open(
                unfinished,
                os.O_WRONLY
                | os.O_CREAT
                | os.O_EXCL
                | os.O_NOFOLLOW
                | os.O_CLOEXEC,
                0o600,
                dir_fd=directory,
            )
            with open(
                handle, 'w', encoding='utf-8', errors='surrogateescape'
            ) as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(handle, mode if kept is None else kept)
                self._sync(handle)
            self._reach(f'rename {path}')
            os.replace(
                unfinished, name, src_dir_fd=directory, dst_dir_fd=directory
            )
            self._sync(directory)
        finally:
            os.close(directory)

    def remove(self, path: str) -> None:
        """Remove a file, if it exists, and what is left of an unfinished
        :meth:`replace`.
        """
        try:
            directory = self._open_directory(os.path.dirname(path))
        except FileNotFoundError:
            return
        name = os.path.basename(path)
        try:
            LOG.debug('remove the file /%s', path.lstrip('/'))
            self._reach(f'remove {path}')
            with _naming(path):
                _remove(directory, f'.{name}{UNFINISHED}')
                _remove(directory, name)
                self._sync(directory)
        finally:
            os.close(directory)
        self._reach(f'removed {path}')

    def tidy(self, path: str) -> None:
        """Remove what an interrupted :meth:`replace` may have left."""
        unfinished = os.path.join(
            os.path.dirname(path), f'.{os.path.basename(path)}{UNFINISHED}'
        )
        if self.tree().raw(unfinished, limit=LARGE_BYTES) is not None:
            self.remove(unfinished)

    def run(self, command: Sequence[str]) -> None:
        """Run a command of the host.

        :raises OSError: it failed or took too long; ProgramMissing: it is not
            installed.
        """
        self.require(command[0])
        LOG.debug('run %s', ' '.join(command))
        self._reach(f'run {command[0]}')
        self._execute(command)
        self._reach(f'ran {command[0]}')

    def require(self, program: str) -> None:
        """Check that a program can be run, before a change that depends on it.

        :raises OSError: it cannot; ProgramMissing: it is not installed.
        """
        if os.path.realpath(self.root) != '/':
            raise OSError(
                errno.EPERM, f'{program} cannot be run for a root other than /'
            )
        path = ENVIRONMENT['PATH']
        if shutil.which(program, path=path) is None:
            raise ProgramMissing(program, path)

    def lock(self, path: str, timeout: float = 0.0) -> int:
        """Take an exclusive lock; closing the handle releases it.

        :param timeout: seconds to wait for another process.
        :raises BlockingIOError: another process holds it.
        :raises OSError: it cannot be opened; owned.Untrusted: it is not safe.
        """
        return locks.take(path, self.root, timeout=timeout, sync=self._sync)

    def _reach(self, point: str) -> None:
        """Called before and after each change; tests override it."""

    def _patiently(self, act: Callable[[], None], timeout: float) -> None:
        blocking.call(act, timeout)

    def _sync(self, handle: int) -> None:
        os.fsync(handle)

    def _deliver(self, real: str, text: str) -> None:
        directory = self._open_directory(os.path.dirname(real))
        try:
            handle = os.open(
                os.path.basename(real),
                os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=directory,
            )
        finally:
            os.close(directory)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    def _execute(self, command: Sequence[str]) -> None:
        # Not subprocess.run: it waits for a process it has killed, and a
        # modprobe that sleeps in the kernel (a driver hangs) does not end.
        running = subprocess.Popen(
            list(command),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors='replace',
        )
        try:
            output, errors = running.communicate(timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.communicate(timeout=_KILLED_SECONDS)
            raise TimeoutError from None
        if running.returncode:
            said = ' '.join((errors or output).split())[-200:]
            raise OSError(errno.EIO, f'{" ".join(command)} failed: {said}')

    def _open_directory(self, path: str, create: bool = False) -> int:
        return owned.open_directory(
            path, self.root, create=create, sync=self._sync
        )


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Have errors name ``path``, not the entry of the directory that is open.

    :raises OSError: what was raised.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and '/' not in str(error.filename):
            error.filename = os.path.join('/', path)
        raise


def _mode(directory: int, name: str) -> int | None:
    """Return the mode of a regular file; None when it is missing.

    :raises OSError: it is something else, such as a link.
    """
    try:
        found = os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ELOOP, 'is not a regular file', name)
    return stat.S_IMODE(found.st_mode)


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
