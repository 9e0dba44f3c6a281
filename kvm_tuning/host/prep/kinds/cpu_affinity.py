"""Read and write systemd's CPUAffinity=, its default for all services.

See systemd-system.conf(5). It applies to what PID 1 starts after reading it,
so to everything after a reboot. libvirt places its guests itself.
"""

import re

from kvm_tuning.core import cpuset
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Value

PATH = 'etc/systemd/system.conf.d/kvm-tuning.conf'
_HEAD = '# Written by kvm-tuning host apply. Do not edit.'
_LINE = re.compile(r'^[ \t]*CPUAffinity[ \t]*=[ \t]*(\S.*)$', re.MULTILINE)


class CpuAffinity:
    """Our drop-in; its value is a CPU list."""

    volatile = False
    revives = True

    def read(self, host: Host, name: str) -> Value:
        match = _LINE.search(host.tree.text(PATH) or '')
        return match[1].strip() if match else None

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        if value is None:
            system.remove(PATH)
            return
        # An empty assignment first: the lists of several files are joined.
        system.replace(
            PATH, f'{_HEAD}\n[Manager]\nCPUAffinity=\nCPUAffinity={value}\n'
        )

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        return ()

    def place(self, name: str) -> str:
        return f'/{PATH}'

    def tidy(self, system: System, name: str) -> None:
        system.tidy(PATH)


def running(tree: Tree) -> Value:
    """Return the CPUs of PID 1, as a list."""
    for line in (tree.text('proc/1/status') or '').splitlines():
        name, _colon, value = line.partition(':')
        if name == 'Cpus_allowed_list':
            try:
                return cpuset.format(cpuset.parse(value))
            except ValueError:
                return None
    return None


def foreign(tree: Tree) -> list[str]:
    """Return other files that set it."""
    base = 'etc/systemd/system.conf.d'
    paths = ['etc/systemd/system.conf'] + [
        f'{base}/{name}' for name in tree.names(base) if name.endswith('.conf')
    ]
    return [
        path
        for path in paths
        if path != PATH and _LINE.search(tree.foreign(path) or '')
    ]
