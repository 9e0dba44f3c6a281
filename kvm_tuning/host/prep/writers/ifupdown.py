"""Commands of interfaces(5), which ifupdown runs for an interface."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.writers import boot_commands, shell, target
from kvm_tuning.host.prep.writers.target import Line

_MOST_FILES = 64


def read(tree: Tree) -> Iterator[Line]:
    """Yield what the commands of the stanzas write."""
    waiting, seen = ['etc/network/interfaces'], set[str]()
    while waiting and len(seen) < _MOST_FILES:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        interface = ''
        for line in _statements(tree, path):
            word, *others = line.split(None, 1)
            rest = others[0] if others else ''
            if word in ('source', 'source-directory'):
                waiting += _sourced(tree, word, rest)
            elif word == 'iface':
                interface = (rest.split() or [''])[0]
            elif word in ('pre-up', 'up', 'post-up'):
                known = {'IFACE': [interface]} if interface else {}
                found = list(shell.writes(rest, known))
                found += shell.of_command(tree, rest.split(), known)
                what = f'/{path} ({word} of {interface})'
                yield from boot_commands.lines('ifupdown', what, found)


def _statements(tree: Tree, path: str) -> Iterator[str]:
    text = (target.text(tree, path) or '').replace('\\\n', ' ')
    for raw in text.splitlines():
        line = raw.strip()
        if line and not line.startswith('#'):
            yield line


def _sourced(tree: Tree, word: str, pattern: str) -> Iterator[str]:
    """Yield the files that a line names; relative ones are below
    /etc/network.
    """
    if pattern.startswith('/'):
        pattern = pattern.lstrip('/')
    else:
        pattern = f'etc/network/{pattern}'
    if word == 'source-directory':
        pattern = f'{pattern.rstrip("/")}/*'
    directory, _slash, name = pattern.rpartition('/')
    for entry in tree.names(directory):
        if fnmatchcase(entry, name):
            yield f'{directory}/{entry}'
