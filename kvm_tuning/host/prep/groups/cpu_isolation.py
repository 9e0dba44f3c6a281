"""``[cpu_isolation]``: keep the host's own work off the guests' pCPUs.

See the kernel's Documentation/admin-guide/kernel-parameters.txt (isolcpus,
nohz_full, rcu_nocbs, irqaffinity) and core-api/irq/irq-affinity.rst. isolcpus
takes CPUs out of load balancing: threads that may run on several of them stay
on the first, so only vCPUs pinned one to one belong there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg, types

from kvm_tuning.core import cpuset, whole
from kvm_tuning.core.effects import SettingKind
from kvm_tuning.core.exceptions import ConfigInvalid, InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    Argument,
    Goal,
    Item,
    Note,
    Refusal,
    Unseen,
    Value,
    When,
    setting,
    sysfs,
)
from kvm_tuning.host.prep.groups.group import Group, Rivals
from kvm_tuning.host.prep.kinds import cpu_affinity
from kvm_tuning.host.prep.kinds.kind import Sysfs

CONCERN = 'cpu_isolation'
#: Kernel arguments that the option ``isolate_by`` may name.
ARGUMENTS = ('isolcpus', 'nohz_full', 'rcu_nocbs', 'irqaffinity')
_IRQ = 'proc/irq'

_REASONS = {
    'isolcpus': 'the scheduler places nothing there by itself',
    'nohz_full': 'a pCPU that runs a single task has no timer tick',
    'rcu_nocbs': "the kernel's RCU callbacks run elsewhere",
    'irqaffinity': 'interrupts go to the housekeeping CPUs from boot on',
}

OPTIONS = (
    cfg.StrOpt(
        'housekeeping_cpus',
        help="""
The CPUs for the host's own work, as a list such as ``0-3,32-35``; all others
are isolated. Take whole cores, and some of each NUMA cell. Unset: nothing is
isolated.
""",
    ),
    cfg.ListOpt(
        'isolate_by',
        default=['nohz_full', 'rcu_nocbs', 'irqaffinity'],
        item_type=types.String(
            choices=('isolcpus', 'nohz_full', 'rcu_nocbs', 'irqaffinity')
        ),
        help="""
Kernel arguments to isolate by; empty for none. They are in force after a
reboot. ``isolcpus`` also takes the CPUs out of the scheduler's balancing:
only for guests whose every thread there is pinned one to one.
""",
    ),
    cfg.BoolOpt(
        'systemd_affinity',
        default=True,
        help="""
Whether systemd's CPUAffinity= is set, so that services start on the
housekeeping CPUs.
""",
    ),
    cfg.BoolOpt(
        'irq_affinity',
        default=True,
        help="""
Whether interrupts are moved to the housekeeping CPUs. Those that the kernel
manages itself (of NVMe, for example) stay where they are, and that is told.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted isolation; housekeeping None: not configured."""

    housekeeping: frozenset[int] | None = None
    isolate_by: tuple[str, ...] = ()
    systemd: bool = True
    interrupts: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """CPUs, systemd's affinity and interrupts of the host."""

    online: frozenset[int]
    affinity: Value
    running_affinity: Value
    #: Other files that set systemd's affinity, with their texts.
    affinity_elsewhere: tuple[tuple[str, str], ...] = ()
    #: The affinity of each interrupt, by number, and of new ones.
    interrupts: Mapping[int, frozenset[int]] = field(default_factory=dict)
    default_interrupts: Value = None
    #: ``isolated`` in sysfs: CPUs that the running kernel does not balance.
    isolated: Value = None
    #: Why systemd's files cannot be read; empty when they can.
    affinity_unseen: str = ''


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing.

    :raises ConfigInvalid: the housekeeping CPUs are not a CPU list.
    """
    group = conf.cpu_isolation
    if group.housekeeping_cpus is None:
        return None
    try:
        cpus = cpuset.parse(group.housekeeping_cpus)
    except ValueError as error:
        raise ConfigInvalid(
            f'[cpu_isolation] housekeeping_cpus = '
            f'{group.housekeeping_cpus[:64]}: {error}; want a CPU list such '
            f'as 0-3,32-35'
        ) from error
    if not cpus:
        raise ConfigInvalid(
            '[cpu_isolation] housekeeping_cpus is empty: leave it out instead'
        )
    return Wanted(
        cpus,
        tuple(group.isolate_by),
        group.systemd_affinity,
        group.irq_affinity,
    )


def read(host: Host) -> State:
    """Read CPUs, systemd's affinity and interrupts of the host."""
    tree = host.tree
    interrupts = {}
    for name in tree.names(_IRQ):
        number = whole.number(name)
        if number is not None:
            cpus = tree.cpus(f'{_IRQ}/{name}/smp_affinity_list', '')
            if cpus:
                interrupts[number] = cpus
    elsewhere: tuple[tuple[str, str], ...] = ()
    unseen = ''
    try:
        elsewhere = cpu_affinity.others(tree)
    except InventoryUnreadable as error:
        unseen = str(error)
    return State(
        host.inventory.online,
        cpu_affinity.CpuAffinity().read(host, 'CPUAffinity'),
        cpu_affinity.running(tree),
        elsewhere,
        interrupts,
        Sysfs().read(host, f'{_IRQ}/default_smp_affinity'),
        tree.text('sys/devices/system/cpu/isolated'),
        unseen,
    )


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals, arguments, notes and refusals for ``wanted``."""
    own = wanted.housekeeping
    if own is None:
        return
    problem = _problem(own, state.online)
    if problem:
        yield Refusal(CONCERN, 'housekeeping_cpus', problem)
        return
    isolated = state.online - own
    for key in wanted.isolate_by:
        cpus = own if key == 'irqaffinity' else isolated
        yield Argument(key, cpuset.format(cpus), CONCERN, _REASONS[key])
    if 'isolcpus' in wanted.isolate_by:
        yield Note(
            CONCERN,
            f'threads that may run on several of {cpuset.format(isolated)} '
            f'stay on the first of them: pin vCPUs one to one, and keep '
            f'emulator and I/O threads away',
        )
    if wanted.systemd:
        yield from _systemd(own, state)
    if wanted.interrupts:
        yield from _interrupts(own, state)


def _problem(own: frozenset[int], online: frozenset[int]) -> str | None:
    absent = own - online
    if absent:
        return (
            f'CPU {cpuset.format(absent)} is not online; online are '
            f'{cpuset.format(online)}'
        )
    if own == online:
        return 'they are all CPUs of the host: none is left to isolate'
    return None


def _systemd(own: frozenset[int], state: State) -> Iterator[Item]:
    value = cpuset.format(own)
    yield Goal(
        setting(SettingKind.CPU_AFFINITY, 'CPUAffinity', value),
        CONCERN,
        state.affinity,
        'services run on the housekeeping CPUs',
        running=state.running_affinity or 'unknown',
        running_wanted=value,
        when=When.REBOOT,
        title='systemd CPUAffinity',
    )
    if state.affinity_unseen:
        yield Unseen(
            CONCERN, 'systemd CPUAffinity', state.affinity_unseen, value
        )
    spoiling = cpu_affinity.spoiling(state.affinity_elsewhere, own)
    for path, cpus in spoiling.items():
        yield Refusal(
            CONCERN,
            f'/{path}',
            f'systemd reads it after our drop-in, and its CPUAffinity leads '
            f'to {cpuset.format(cpus) or "no list"} instead of {value}: '
            f'remove it there, or give the file a name that sorts before '
            f'{cpu_affinity.PATH.rpartition("/")[2]}',
        )
    for path, _text in state.affinity_elsewhere:
        if path not in spoiling:
            yield Note(CONCERN, f'/{path} also sets CPUAffinity; ours counts')


def _interrupts(own: frozenset[int], state: State) -> Iterator[Item]:
    if state.default_interrupts is not None:
        yield sysfs(
            CONCERN,
            f'{_IRQ}/default_smp_affinity',
            state.default_interrupts,
            cpuset.format(own),
            'new interrupts go to the housekeeping CPUs',
            title='default interrupt affinity',
        )
    for number, cpus in sorted(state.interrupts.items()):
        # An interrupt that is already on some of them stays there.
        yield sysfs(
            CONCERN,
            f'{_IRQ}/{number}/smp_affinity_list',
            cpuset.format(cpus),
            cpuset.format((cpus & own) or own),
            'its handler runs on the housekeeping CPUs',
            title=f'affinity of interrupt {number}',
            optional=True,
        )


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(
        tuned=r'isolcpus|nohz_full|rcu_nocbs|irqaff|isolated_cores',
        daemons={f'{_IRQ}/': 'irqbalance'},
        attributes=(
            rf'{_IRQ}/(default_smp_affinity|\d+/smp_affinity(_list)?)',
        ),
    ),
    persisted="kernel arguments, systemd's CPUAffinity=, and the unit for "
    'interrupts',
    undone='the former kernel arguments to the byte, CPUAffinity= and '
    'affinity of interrupts',
    arguments=ARGUMENTS,
)
