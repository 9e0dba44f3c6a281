"""Install files of this package on a host, and a unit that boots with it.

A file that somebody else made is never touched: before the first write, or
the first removal, each path is looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import os
import shlex

from kvm_tuning.core.exceptions import SettingRejected
from kvm_tuning.host.access.system import System

UNITS = 'etc/systemd/system'
WANTED = f'{UNITS}/multi-user.target.wants'


@dataclass(frozen=True, slots=True)
class File:
    """One file to install, below the root."""

    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Mark:
    """How files of ours are known."""

    is_in: Callable[[bytes], bool]
    #: What a file of somebody else lacks, for people.
    lacks: str


def in_unit(program: str) -> str:
    """Return a program's path as a unit's ExecStart= takes it
    (systemd.service(5): a percent sign starts a specifier).
    """
    return shlex.quote(program).replace('%', '%%')


def install(
    system: System, files: Sequence[File], mark: Mark, unit: str | None
) -> list[str]:
    """Write the files that differ, have ``unit`` start at boot, and return
    the paths of what was written.

    :param unit: None: none of them starts at boot.
    :raises SettingRejected: a file that is not ours is in the way and was
        left alone, or a file cannot be written; what was written before it
        is taken back.
    """
    changed = [each for each in files if _differs(system, each, mark)]
    link = f'{WANTED}/{unit}'
    linked = unit is None or system.tree().target(link) is not None
    if not linked:
        _check_real(system)
    paths = [each.path for each in changed] + ([] if linked else [link])
    before = _Before(system, changed, paths)
    try:
        for each in changed:
            _write(system, each)
        if not linked:
            os.makedirs(os.path.join(system.root, WANTED), exist_ok=True)
            os.symlink(f'/{UNITS}/{unit}', os.path.join(system.root, link))
    except OSError as error:
        said = f'{error.filename or link}: {error.strerror}'
        left = before.restore()
        if left:
            said += f'; this could not be taken back: {", ".join(left)}'
        raise SettingRejected(said) from error
    return paths


def _write(system: System, file: File) -> None:
    system.replace(file.path, file.text, file.mode)
    # An existing file keeps its mode otherwise.
    os.chmod(os.path.join(system.root, file.path), file.mode)


class _Before:
    """What was there before an installation."""

    def __init__(
        self, system: System, files: Sequence[File], paths: Sequence[str]
    ) -> None:
        self._system = system
        tree = system.tree()
        #: Files that were there, by path: older ones of ours.
        self._files = {}
        for path in (each.path for each in files):
            raw = tree.raw(path)
            if raw is not None:
                real = os.path.join(system.root, path)
                mode = os.stat(real).st_mode & 0o777
                self._files[path] = File(
                    path, raw.decode(errors='surrogateescape'), mode
                )
        self._new = [path for path in paths if path not in self._files]
        folders = {above for path in paths for above in _above(path)}
        #: Directories that were missing, the innermost first.
        self._folders = sorted(
            (
                folder
                for folder in folders
                if not os.path.isdir(os.path.join(system.root, folder))
            ),
            reverse=True,
        )

    def restore(self) -> list[str]:
        """Put it back, as far as that can be, and return what could not."""
        left = []
        for path in reversed(self._new):
            try:
                self._system.remove(path)
            except OSError:
                left.append(path)
        for file in self._files.values():
            try:
                _write(self._system, file)
            except OSError:
                left.append(file.path)
        for folder in self._folders:
            try:
                os.rmdir(os.path.join(self._system.root, folder))
            except FileNotFoundError:
                pass
            except OSError:
                left.append(folder)
        return left


def _above(path: str) -> list[str]:
    parts = path.split('/')[:-1]
    return ['/'.join(parts[:count]) for count in range(1, len(parts) + 1)]


def there(
    system: System, paths: Sequence[str], mark: Mark, unit: str
) -> list[str]:
    """Return what is installed of the paths, the link of ``unit`` last.

    :raises SettingRejected: one is not ours.
    """
    found = [path for path in paths if is_ours(system, path, mark)]
    link = f'{WANTED}/{unit}'
    if system.tree().target(link) is not None:
        found.append(link)
    return found


def remove(
    system: System, paths: Sequence[str], mark: Mark, unit: str
) -> list[str]:
    """Remove what is installed of the paths, the link of ``unit`` first, and
    return it.

    :raises SettingRejected: one is not ours; nothing has been removed then.
    """
    found = there(system, paths, mark, unit)
    link = f'{WANTED}/{unit}'
    try:
        for path in sorted(found, key=lambda path: path != link):
            system.remove(path)
    except OSError as error:
        raise SettingRejected(
            f'{error.filename or link}: {error.strerror}'
        ) from error
    return found


def runs_systemd(system: System) -> bool:
    """Whether systemd runs the host below the root (sd_booted(3))."""
    tree = system.tree()
    return tree.is_this_host and bool(tree.names('run/systemd/system'))


def systemctl(system: System, *words: str) -> None:
    """Ask systemd.

    :raises SettingRejected: it refuses.
    """
    try:
        system.run(['systemctl', *words])
    except OSError as error:
        raise SettingRejected(str(error.strerror or error)) from error


def is_ours(system: System, path: str, mark: Mark) -> bool:
    """Return whether a file exists and is ours.

    :raises SettingRejected: it exists and is not ours.
    """
    tree = system.tree()
    directory, _slash, name = path.rpartition('/')
    if name not in tree.names(directory):
        return False
    raw = tree.raw(path)
    if raw is None or not mark.is_in(raw):
        raise SettingRejected(
            f'{os.path.join(system.root, path)} was not installed by '
            f'kvm-tuning: it lacks {mark.lacks}; move it away'
        )
    return True


def _check_real(system: System) -> None:
    """:raises SettingRejected: a link would lead out of the root."""
    if system.tree().target(WANTED) is not None:
        raise SettingRejected(
            f'{os.path.join(system.root, WANTED)} is a symbolic link, which '
            f'is not followed'
        )


def _differs(system: System, file: File, mark: Mark) -> bool:
    if not is_ours(system, file.path, mark):
        return True
    path = os.path.join(system.root, file.path)
    same = system.tree().raw(file.path) == file.text.encode()
    return not same or os.stat(path).st_mode & 0o777 != file.mode
