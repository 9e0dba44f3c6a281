"""The fingerprint of a machine: what results depend on."""

import os
import shutil
import subprocess
from typing import Any

from kvm_tuning.core.bench import memory
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.host.access import attribute
from kvm_tuning.host.access.sysfs import Tree

_CPU = 'sys/devices/system/cpu'
_VULNERABILITIES = f'{_CPU}/vulnerabilities'
_UNAFFECTED = 'Not affected'
_THP = 'sys/kernel/mm/transparent_hugepage/enabled'
_BALANCING = 'proc/sys/kernel/numa_balancing'
#: What systemd-detect-virt(1) calls QEMU without KVM.
_EMULATED = 'qemu'
_SECONDS = 10.0


def fingerprint(inventory: Inventory, root: str = '/') -> dict[str, Any]:
    """Return what a result depends on; None: it is not shown."""
    tree = Tree(root)
    thp = tree.text(_THP)
    return {
        'cpu': _model(tree),
        'architecture': os.uname().machine,
        'cpus': len(inventory.cpus),
        'sockets': len(inventory.packages),
        'cores': len(inventory.cores),
        'l3_domains': len(inventory.l3),
        'cells': len(inventory.cells),
        'smt': inventory.smt,
        'memory_bytes': inventory.memory_bytes,
        'page_size_kib': inventory.page_size_kib,
        'kernel': tree.text('proc/sys/kernel/osrelease'),
        'mitigations': {
            name: text
            for name in sorted(tree.names(_VULNERABILITIES))
            if (text := tree.text(f'{_VULNERABILITIES}/{name}')) != _UNAFFECTED
        },
        'governors': sorted(
            {
                governor
                for cpu in inventory.online
                if (governor := tree.text(_governor(cpu))) is not None
            }
        ),
        'transparent_huge_pages': thp and attribute.plain(thp),
        'numa_balancing': tree.text(_BALANCING),
    }


def no_times(hypervisor: str) -> str | None:
    """Return why times mean nothing here; None: they do mean something.

    :param hypervisor: what CPUID calls it; empty where there is none.
    """
    if hypervisor == memory.TCG:
        return 'this machine is emulated by QEMU (TCG)'
    if hypervisor or os.uname().machine in ('x86_64', 'i686'):
        return None
    # Only x86 processors name their hypervisor.
    program = shutil.which('systemd-detect-virt')
    if program is None:
        return (
            'it is unknown whether this machine is emulated: '
            'systemd-detect-virt is not installed'
        )
    try:
        done = subprocess.run(
            [program, '--vm'],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'it is unknown whether this machine is emulated: {error}'
    if done.stdout.strip() == _EMULATED:
        return 'this machine is emulated by QEMU (TCG)'
    return None


def _model(tree: Tree) -> str | None:
    for line in (tree.text('proc/cpuinfo') or '').splitlines():
        name, _colon, value = line.partition(':')
        if name.strip() in ('model name', 'cpu', 'Model'):
            return value.strip()
    return None


def _governor(cpu: int) -> str:
    return f'{_CPU}/cpu{cpu}/cpufreq/scaling_governor'
