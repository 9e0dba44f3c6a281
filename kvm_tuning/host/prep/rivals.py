"""Who else sets what host-prep sets: TuneD, ksmtuned, the command line, ...

TuneD's profiles are read from its directories (tuned-main.conf(5),
tuned-profiles(7)); a profile includes others by ``include=``.
"""

from collections.abc import Iterator
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Goal
from kvm_tuning.host.prep.groups.sriov import owners, ports
from kvm_tuning.host.prep.kinds import command_line, services, vf_count

_TUNED_DIRECTORIES = (
    'etc/tuned/profiles',
    'etc/tuned',
    'usr/lib/tuned/profiles',
    'usr/lib/tuned',
)
#: What a line of a profile says that sets the same, by concern.
_TUNED_LINES = {
    'transparent_huge_pages': r'transparent_hugepages?\s*=|/transparent_huge',
    'ksm': r'/mm/ksm/',
    'compaction': r'compaction_proactiveness',
    'block_scheduler': r'^\s*elevator\s*=',
    'huge_pages': r'nr_hugepages|hugepages=',
    'cpu_isolation': r'isolcpus|nohz_full|rcu_nocbs|irqaff|isolated_cores',
    'kvm_modules': r'halt_poll_ns|experimental_zcopytx',
    'iommu': r'iommu=',
}
#: Arguments of the kernel that set the same as a file in /sys, by concern.
_KERNEL_ARGUMENTS = {
    'transparent_huge_pages': ('transparent_hugepage',),
    'huge_pages': ('hugepages',),
    'block_scheduler': ('elevator',),
}
#: Kinds of setting whose name is a module's parameter.
_PARAMETERS = ('module-parameter', 'running-parameter')
#: Daemons that write below a path.
_DAEMONS = {'sys/kernel/mm/ksm/': 'ksmtuned', 'proc/irq/': 'irqbalance'}
_MOST_PROFILES = 16


def find(host: Host, goal: Goal) -> list[str]:
    """Return who else sets the same as a goal, in a few words each."""
    found: dict[str, None] = {}
    try:
        for who in _find(host, goal):
            found[who] = None
    except InventoryUnreadable as error:
        found[f'it cannot be told who else sets it: {error}'] = None
    return list(found)


def _find(host: Host, goal: Goal) -> Iterator[str]:
    profile = tuned_profile(host)
    pattern = _TUNED_LINES.get(goal.concern)
    if profile and pattern:
        for line in _profile_lines(host, profile):
            if re.search(pattern, line):
                yield f'TuneD ({profile})'
    yield from _kernel(host, goal)
    for prefix, name in _DAEMONS.items():
        if goal.setting.name.startswith(prefix) and services.active(
            host.tree, f'{name}.service'
        ):
            yield name
    if goal.concern == 'sriov':
        yield from _sriov(host, goal)


def _kernel(host: Host, goal: Goal) -> Iterator[str]:
    if goal.setting.kind in _PARAMETERS:
        # modprobe hands these on, and a built-in module reads them (the
        # kernel's admin-guide/kernel-parameters.rst).
        names: tuple[str, ...] = (goal.setting.name,)
    elif goal.setting.kind == 'sysfs':
        names = _KERNEL_ARGUMENTS.get(goal.concern, ())
    else:
        names = ()
    for name in names:
        value = command_line.value(host.command_line, name)
        if value is not None:
            yield f'kernel command line ({name}={value})'


def _sriov(host: Host, goal: Goal) -> Iterator[str]:
    for device in host.inventory.devices:
        if goal.setting.name == vf_count.path(device.address):
            for owner in owners.find(host, ports.port(host, device)):
                yield f'{owner.name} ({owner.text})'


def tuned_profile(host: Host) -> str | None:
    """Return the profile that TuneD has in force; None when it is off."""
    if not services.active(host.tree, 'tuned.service'):
        return None
    return host.tree.foreign('etc/tuned/active_profile') or None


def _profile_lines(host: Host, names: str) -> Iterator[str]:
    waiting, seen = names.split(), set[str]()
    while waiting and len(seen) < _MOST_PROFILES:
        name = waiting.pop(0)
        if name in seen or '/' in name:
            continue
        seen.add(name)
        for directory in _TUNED_DIRECTORIES:
            text = host.tree.foreign(f'{directory}/{name}/tuned.conf')
            if text is None:
                continue
            for line in text.splitlines():
                if line.strip().startswith(('#', ';')):
                    continue
                include = re.fullmatch(r'\s*include\s*=\s*(.*?)\s*', line)
                if include:
                    waiting += re.split(r'[,\s]+', include[1])
                yield line
            break
