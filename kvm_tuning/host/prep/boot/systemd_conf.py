"""Read the files of systemd's own configuration in the order in which it reads
them (systemd-system.conf(5), "Configuration Directories and Precedence").
"""

from collections.abc import Iterator
import re

from kvm_tuning.host.access import asked
from kvm_tuning.host.access.sysfs import Tree

_DIRECTORIES = (
    'etc/systemd',
    'run/systemd',
    'usr/local/lib/systemd',
    'usr/lib/systemd',
    'lib/systemd',
)
_MAIN = 'system.conf'
_SECTION = 'Manager'
_HEADER = re.compile(r'# /(\S+\.conf)')


def texts(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield each file with its text. Of files with one name, only that in
    the directory of the highest precedence counts.

    :raises InventoryUnreadable: one cannot be read.
    """
    paths = files(tree)
    answer = asked.answer(
        tree, ['systemd-analyze', 'cat-config', f'systemd/{_MAIN}']
    )
    if answer is not None:
        paths = [
            match[1]
            for line in answer.splitlines()
            if (match := _HEADER.fullmatch(line))
            and tree.real(match[1]) is not None
        ]
    for path in paths:
        text = tree.foreign(path)
        if text is not None:
            yield path, text


def files(tree: Tree) -> list[str]:
    """Return the main file and the drop-ins, in order."""
    mains = (f'{directory}/{_MAIN}' for directory in _DIRECTORIES)
    found = [path for path in mains if tree.real(path) is not None][:1]
    drop_ins: dict[str, str] = {}
    for directory in _DIRECTORIES:
        for name in tree.names(f'{directory}/{_MAIN}.d'):
            if name.endswith('.conf') and not name.startswith('.'):
                path = f'{directory}/{_MAIN}.d/{name}'
                drop_ins.setdefault(name, path)
    names = sorted(drop_ins, key=str.encode)
    return found + [drop_ins[name] for name in names]


def values(text: str, key: str) -> Iterator[str]:
    """Yield what a file assigns to ``key`` in the section of the manager."""
    section = ''
    for line in _lines(text):
        if line.startswith('['):
            section = line.strip('[]')
        elif section == _SECTION:
            name, equals, value = line.partition('=')
            if equals and name.strip() == key:
                yield value.strip()


def _lines(text: str) -> Iterator[str]:
    """Yield lines without comments; a backslash joins the next one."""
    joined = ''
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(('#', ';')):
            continue
        if line.endswith('\\'):
            joined += f'{line[:-1]} '
            continue
        yield (joined + line).strip()
        joined = ''
    if joined:
        yield joined.strip()
