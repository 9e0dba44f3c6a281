"""Read and write systemd's CPUAffinity=, its default for all services.

See systemd-system.conf(5). It applies to what PID 1 starts after reading it,
so to everything after a reboot. libvirt places its guests itself.
"""

from collections.abc import Iterable
import re

from kvm_tuning.core import cpuset
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import systemd_conf
from kvm_tuning.host.prep.goals import Value

PATH = 'etc/systemd/system.conf.d/kvm-tuning.conf'
#: The setting's name, here and in systemd's files.
KEY = 'CPUAffinity'
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

    def devices(self, name: str) -> str:
        return ''


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


def others(tree: Tree) -> tuple[tuple[str, str], ...]:
    """Return the other files that set it, with their texts, in the order in
    which systemd reads them.

    :raises InventoryUnreadable: one cannot be read.
    """
    return tuple(
        (path, text)
        for path, text in systemd_conf.texts(tree)
        if path != PATH and any(True for _ in systemd_conf.values(text, KEY))
    )


def spoiling(
    files: Iterable[tuple[str, str]], cpus: frozenset[int]
) -> dict[str, frozenset[int]]:
    """Return those of :func:`others` that systemd reads after ours and that
    change the result, each with the CPUs that result from it.

    :param cpus: what ours is to set.
    """
    found = {}
    for path, text in files:
        directory, _slash, name = path.rpartition('/')
        if not directory.endswith('.d') or name < PATH.rpartition('/')[2]:
            continue
        result = _joined(cpus, text)
        if result != cpus:
            found[path] = result
        cpus = result
    return found


def _joined(cpus: frozenset[int], text: str) -> frozenset[int]:
    """Return ``cpus`` after the assignments of a file: an empty one resets
    the list, and any other adds to it.
    """
    for value in systemd_conf.values(text, KEY):
        if not value:
            cpus = frozenset()
            continue
        try:
            cpus |= cpuset.parse(','.join(re.split(r'[\s,]+', value)))
        except ValueError:
            # systemd ignores it, with a warning. "numa" takes more to know.
            continue
    return cpus
