"""Directories of configuration, of which an earlier one hides files of a
later one by their name (systemd.unit(5), udev(7), sysctl.d(5)).
"""

from collections.abc import Iterable

from kvm_tuning.host.access.sysfs import Tree

#: The bases in order of precedence.
BASES = ('etc', 'run', 'usr/local/lib', 'usr/lib', 'lib')


def below(directory: str) -> tuple[str, ...]:
    """Return where a directory such as ``udev/rules.d`` may be."""
    return tuple(f'{base}/{directory}' for base in BASES)


def files(
    tree: Tree, directories: Iterable[str], suffix: str
) -> dict[str, str]:
    """Return the path of each file by its name, sorted by name. A file that
    is empty or a link to /dev/null hides others and is left out.
    """
    found: dict[str, str] = {}
    for directory in directories:
        for name in tree.names(directory):
            if name.endswith(suffix) and not name.startswith('.'):
                found.setdefault(name, f'{directory}/{name}')
    return {
        name: path
        for name, path in sorted(found.items())
        if not masked(tree, path)
    }


def masked(tree: Tree, path: str) -> bool:
    """Tell whether a file is there to hide others of its name."""
    if tree.target(path) == '/dev/null':
        return True
    return not tree.foreign(path)
