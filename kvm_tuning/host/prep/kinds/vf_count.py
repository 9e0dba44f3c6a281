"""Read the number of VFs of a PF without a read that can block.

A driver that does not return from a write to ``sriov_numvfs`` holds the
device's lock, and a read of the same file waits for that lock, uninterruptibly
(the kernel's drivers/pci/iov.c since its commit 35ff867b765). The links
``virtfn0``, ``virtfn1`` and so on exist with the VFs, and listing them never
blocks.
"""

import re

from kvm_tuning.host.access.sysfs import Tree

#: The names of all such files; the group is the PF's address.
PATTERN = r'sys/bus/pci/devices/([0-9a-f:.]+)/sriov_numvfs'
_LINK = re.compile(r'virtfn\d{1,5}\Z')


def path(address: str) -> str:
    """Return the path of a PF's number of VFs."""
    return f'sys/bus/pci/devices/{address}/sriov_numvfs'


def holds(name: str) -> bool:
    """Return whether a path is a PF's number of VFs."""
    return re.fullmatch(PATTERN, name) is not None


def pf(name: str) -> str | None:
    """Return the PF of a path that is its number of VFs."""
    match = re.fullmatch(PATTERN, name)
    return match[1] if match else None


def read(tree: Tree, name: str) -> str | None:
    """Return the number of VFs that a file should show; None when it is
    missing: the kernel offers no VFs there.
    """
    directory, _slash, attribute = name.rpartition('/')
    shown = tree.names(directory)
    if attribute not in shown:
        return None
    return str(sum(1 for each in shown if _LINK.match(each)))
