"""Read and write the files that hold kernel arguments word for word.

These are boot entries (UAPI.1, Boot Loader Specification) and
``/etc/kernel/cmdline``, from which new ones are made. A setting's value is the
``options`` lines of an entry, or all of ``/etc/kernel/cmdline``.
"""

from collections.abc import Iterator
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep.goals import Value

ENTRIES = 'boot/loader/entries'
CMDLINE = 'etc/kernel/cmdline'

_OPTIONS = re.compile(r'^options[ \t]+', re.MULTILINE)


def names(tree: Tree) -> Iterator[str]:
    """Yield the entries, without those for rescue."""
    for name in tree.names(ENTRIES):
        if name.endswith('.conf') and 'rescue' not in name:
            yield f'{ENTRIES}/{name}'


def places(tree: Tree) -> Iterator[str]:
    """Yield the files that hold arguments.

    :raises InventoryUnreadable: one is not text.
    """
    for name in names(tree):
        if _OPTIONS.search(_whole(tree, name) or ''):
            yield name
    if tree.text(CMDLINE) is not None:
        yield CMDLINE


def read(tree: Tree, name: str) -> Value:
    """Return the arguments in a file; None when it is missing.

    :raises InventoryUnreadable: it is not text.
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
    text = _whole(system.tree(), name)
    if value is None or text is None:
        raise FileNotFoundError(2, 'a missing boot entry is not created', name)
    system.replace(name, _with_options(name, text, value))


def _whole(tree: Tree, name: str) -> str | None:
    """Return the text of a file, unchanged.

    :raises InventoryUnreadable: it is not text.
    """
    raw = tree.raw(name)
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError as error:
        raise InventoryUnreadable(
            f'{tree.root}: {name} is not text'
        ) from error


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
