"""A host at one moment: each part is read once, when first used."""

from functools import cached_property
import os
import re

from kvm_tuning.core import whole
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory import reader


class Host:
    """The host below a root, at one moment. Parts are read when first used
    and kept.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def again(self, tree: Tree) -> 'Host':
        """Return the same host seen through a new tree: files are read
        again, the inventory and what a boot does not change are kept.
        """
        found = Host(tree)
        kept = {**self.__dict__, 'tree': tree}
        found.__dict__.update(kept)
        return found

    @property
    def live(self) -> bool:
        """Whether this is the running machine."""
        return os.path.realpath(self.tree.root) == '/'

    @cached_property
    def inventory(self) -> Inventory:
        return reader.read(self.tree.root)

    @cached_property
    def boot_id(self) -> str:
        """The kernel's name for this boot; empty when there is none."""
        return self.tree.text('proc/sys/kernel/random/boot_id') or ''

    @cached_property
    def kernel(self) -> tuple[int, int]:
        """Version and patch level of the running kernel; (0, 0): unknown."""
        release = self.tree.text('proc/sys/kernel/osrelease') or ''
        if not release:
            words = (self.tree.text('proc/version') or '').split()
            release = words[2] if len(words) > 2 else ''
        match = re.match(r'(\d{1,4})\.(\d{1,4})', release)
        return (int(match[1]), int(match[2])) if match else (0, 0)

    @cached_property
    def command_line(self) -> str:
        """The kernel command line that this boot was started with."""
        return self.tree.text('proc/cmdline') or ''

    def meminfo_kib(self, key: str) -> int | None:
        """Return a line of /proc/meminfo such as ``MemAvailable``."""
        for line in (self.tree.text('proc/meminfo') or '').splitlines():
            name, _colon, rest = line.partition(':')
            words = rest.split()
            if name == key and words:
                return whole.number(words[0])
        return None
