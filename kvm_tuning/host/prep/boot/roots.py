"""Which system a command line starts: whether two ``root=`` are the same."""

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.kinds import command_line

_BY = {
    'UUID': 'by-uuid',
    'LABEL': 'by-label',
    'PARTUUID': 'by-partuuid',
    'PARTLABEL': 'by-partlabel',
}


def own(host: Host, texts: dict[str, str]) -> frozenset[str]:
    """Return the names of those command lines that start this system.

    They have the root that runs now, or none at all. Where none has it,
    nothing tells them apart, and all are taken for this system's.
    """
    running = command_line.value(host.command_line, 'root')
    given = {
        name: command_line.value(text, 'root') for name, text in texts.items()
    }
    same = {
        name
        for name, root in given.items()
        if root is not None
        and running is not None
        and is_same(host.tree, root, running)
    }
    if not same:
        return frozenset(texts)
    return frozenset(
        name for name, root in given.items() if root is None or name in same
    )


def is_same(tree: Tree, one: str, other: str) -> bool:
    """Tell whether two values of ``root=`` are one file system."""
    if one == other:
        return True
    device = _device(tree, one)
    return device is not None and device == _device(tree, other)


def _device(tree: Tree, root: str) -> str | None:
    tag, equals, value = root.partition('=')
    value = value.strip('"')
    if equals and tag in _BY:
        return tree.real(f'dev/disk/{_BY[tag]}/{value}')
    return tree.real(root.lstrip('/')) if root.startswith('/dev/') else None
