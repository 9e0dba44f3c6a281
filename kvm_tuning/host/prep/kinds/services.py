"""Read systemd services from files, and change them by systemctl.

A service is enabled when a ``.wants`` directory links to it, masked when it
is a link to /dev/null, and active when it has a control group. So planning
queries no daemon, and works below any root.
"""

import errno

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Value

_SYSTEM = 'etc/systemd/system'
_UNITS = (
    _SYSTEM,
    'run/systemd/system',
    'usr/local/lib/systemd/system',
    'usr/lib/systemd/system',
    'lib/systemd/system',
)
# The unified hierarchy, the hybrid one and the old one.
_CGROUPS = (
    'sys/fs/cgroup/system.slice',
    'sys/fs/cgroup/systemd/system.slice',
    'sys/fs/cgroup/unified/system.slice',
)

#: A value has two words: whether it starts at boot, and whether it runs.
OFF = 'disabled stopped'


class Service:
    """A unit, by its name with suffix; its value is None when missing."""

    volatile = False
    revives = True

    def read(self, host: Host, name: str) -> Value:
        if not exists(host.tree, name):
            return None
        boot = 'enabled' if enabled(host.tree, name) else 'disabled'
        return f'{boot} {"running" if active(host.tree, name) else "stopped"}'

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        words = (value or '').split()
        if len(words) != 2:
            raise OSError(errno.EINVAL, 'units are not installed or removed')
        boot, now = words
        system.run(
            ['systemctl', 'enable' if boot == 'enabled' else 'disable', name]
        )
        system.run(
            ['systemctl', 'start' if now == 'running' else 'stop', name]
        )

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        boot, now = (target or '').split()[:1], (found or '').split()[1:]
        return (' '.join(boot + now),)

    def place(self, name: str) -> str:
        return f'systemctl disable {name}'

    def tidy(self, system: System, name: str) -> None:
        pass

    def devices(self, name: str) -> str:
        return ''


def exists(tree: Tree, name: str) -> bool:
    """Return whether a unit exists."""
    return any(name in tree.names(directory) for directory in _UNITS)


def enabled(tree: Tree, name: str) -> bool:
    """Return whether a unit starts at boot."""
    return any(
        name in tree.names(f'{_SYSTEM}/{directory}')
        for directory in tree.names(_SYSTEM)
        if directory.endswith(('.wants', '.requires'))
    )


def active(tree: Tree, name: str) -> bool:
    """Return whether a unit has processes: systemd removes the control group
    of a service that has ended.
    """
    return any(name in tree.names(base) for base in _CGROUPS)
