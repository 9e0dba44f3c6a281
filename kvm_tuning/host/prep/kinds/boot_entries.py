"""Read and write the files that hold kernel arguments word for word.

These are boot entries (UAPI.1, Boot Loader Specification) and
``/etc/kernel/cmdline``, from which new ones are made. A setting's value is the
``options`` lines of an entry, or all of ``/etc/kernel/cmdline``, comments
included.
"""

from collections.abc import Iterator
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep.boot import partitions
from kvm_tuning.host.prep.goals import Value

ENTRIES = 'boot/loader/entries'
CMDLINE = 'etc/kernel/cmdline'

_DIRECTORY = 'loader/entries'
_OPTIONS = re.compile(r'^options[ \t]+', re.MULTILINE)


def directories(tree: Tree) -> Iterator[str]:
    """Yield the directories that may have entries."""
    for partition in partitions.paths(tree):
        yield f'{partition}/{_DIRECTORY}'


def names(tree: Tree) -> Iterator[str]:
    """Yield the entries, without those for rescue, of the directories that
    can be read.
    """
    for directory in directories(tree):
        try:
            yield from names_in(tree, directory)
        except InventoryUnreadable:
            continue


def names_in(tree: Tree, directory: str) -> Iterator[str]:
    """Yield the entries of one directory, without those for rescue.

    :raises InventoryUnreadable: the directory cannot be read.
    """
    for path in all_in(tree, directory):
        if 'rescue' not in path.rpartition('/')[2]:
            yield path


def all_in(tree: Tree, directory: str) -> Iterator[str]:
    """Yield all entries of one directory.

    :raises InventoryUnreadable: the directory cannot be read.
    """
    for name in tree.names(directory):
        if name.endswith('.conf'):
            yield f'{directory}/{name}'


def is_entry(name: str) -> bool:
    """Tell whether a path is an entry's."""
    return f'/{_DIRECTORY}/' in name


def has_options(tree: Tree, name: str) -> bool:
    """Tell whether an entry has arguments.

    :raises InventoryUnreadable: it cannot be read.
    """
    return bool(_OPTIONS.search(_whole(tree, name) or ''))


def places(tree: Tree) -> Iterator[str]:
    """Yield the files that hold arguments and can be read."""
    for name in names(tree):
        try:
            if has_options(tree, name):
                yield name
        except InventoryUnreadable:
            continue
    if tree.real(CMDLINE) is not None:
        yield CMDLINE


def read(tree: Tree, name: str) -> Value:
    """Return the arguments in a file of any encoding; None when it is
    missing.

    :raises InventoryUnreadable: it cannot be read.
    """
    text = _whole(tree, name)
    if text is None or name == CMDLINE:
        return text if text is None else text.rstrip('\n')
    lines = [
        _OPTIONS.sub('', line, count=1)
        for line in text.splitlines()
        if _OPTIONS.match(line)
    ]
    return '\n'.join(lines)


def write(system: System, name: str, value: Value) -> None:
    """Set the arguments and leave everything else unchanged.

    :raises OSError: it cannot be written; a missing file is not created.
    """
    tree = system.tree()
    text, real = _whole(tree, name), tree.real(name)
    if value is None or text is None or real is None:
        raise FileNotFoundError(2, 'a missing boot entry is not created', name)
    system.replace(real, _with_options(name, text, value))


def _whole(tree: Tree, name: str) -> str | None:
    """Return the text of a file, unchanged."""
    raw = tree.raw(name)
    return None if raw is None else raw.decode(errors='surrogateescape')


def _with_options(name: str, text: str, value: str) -> str:
    """Return ``text`` with other arguments and otherwise unchanged."""
    if name == CMDLINE:
        return value + text[len(text.rstrip('\n')) :]
    wanted = iter(value.splitlines())
    lines = []
    for line in text.splitlines(keepends=True):
        match = _OPTIONS.match(line)
        if match:
            ending = line[len(line.rstrip('\n')) :]
            line = match[0] + next(wanted, '') + ending
        lines.append(line)
    return ''.join(lines)
