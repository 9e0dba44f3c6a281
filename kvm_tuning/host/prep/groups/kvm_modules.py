"""``[kvm_modules]``: KVM's and vhost's modules and their parameters.

See the kernel's Documentation/virt/kvm/halt-polling.rst. ``ept`` and ``npt``
are read-only while the module is loaded (arch/x86/kvm). Zero-copy transmit of
vhost_net is off by default since Linux 5.3, because one slow receiver holds up
all others (drivers/vhost/net.c, experimental_zcopytx).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import re
from typing import Any

from oslo_config import cfg

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.host.access.sysfs import LARGE_BYTES
from kvm_tuning.host.inventory import architecture
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import holders
from kvm_tuning.host.prep.goals import (
    Address,
    Goal,
    Item,
    Note,
    Refusal,
    Route,
    Terms,
    Value,
    When,
    setting,
)
from kvm_tuning.host.prep.groups.group import Group, Rivals, Way
from kvm_tuning.host.prep.kinds import modprobe

CONCERN = 'kvm_modules'
HALT_POLL = 'kvm.halt_poll_ns'
ZERO_COPY = 'vhost_net.experimental_zcopytx'
#: The parameter of nested paging, and the CPU's flag, by module.
PAGING = {'kvm_intel': ('ept', 'ept'), 'kvm_amd': ('npt', 'npt')}
#: All parameters that this group sets.
PARAMETERS = (
    HALT_POLL,
    ZERO_COPY,
    *(f'{module}.{parameter}' for module, (parameter, _) in PAGING.items()),
)
#: CPU flags for which one of these modules is loaded.
_VIRTUALIZATION = frozenset({'vmx', 'svm'})

OPTIONS = (
    cfg.BoolOpt(
        'vhost_net',
        default=False,
        help="""
Whether vhost_net is loaded, now and at boot, so that the kernel serves virtio
NICs instead of QEMU.
""",
    ),
    cfg.IntOpt(
        'halt_poll_ns',
        min=0,
        max=10_000_000,
        help="""
Nanoseconds for which KVM waits for a vCPU that has nothing to do before it
lets go of the pCPU (the kernel's own default is 200000 on x86). 0 saves CPU
time on dense hosts, more lowers wake-up latency. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'vhost_zero_copy',
        help="""
Whether vhost_net sends guests' packets without copying them
(experimental_zcopytx). It saves CPU time for large packets; one guest that
receives slowly can hold up others. In force when vhost_net is loaded again.
Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'nested_paging',
        default=False,
        help="""
Whether the CPU's nested paging (EPT, NPT) is required. Where it is switched
off by a module option, it is switched on, and the module is loaded anew when
no guest runs.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted modules and parameters; None: not configured."""

    vhost_net: bool = False
    halt_poll_ns: int | None = None
    vhost_zero_copy: bool | None = None
    nested_paging: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Modules and parameters of the host."""

    #: The modules of this group that are loaded.
    modules: frozenset[str]
    listed: bool
    #: By ``module.parameter``: the running value, our line, others' lines.
    running: Mapping[str, Value] = field(default_factory=dict)
    own: Mapping[str, Value] = field(default_factory=dict)
    foreign: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    #: Modules built into the kernel; parameters that can be written while it
    #: runs.
    built_in: frozenset[str] = frozenset()
    writable: frozenset[str] = frozenset()
    architecture: str = architecture.UNKNOWN


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing."""
    group = conf.kvm_modules
    found = Wanted(
        group.vhost_net,
        group.halt_poll_ns,
        group.vhost_zero_copy,
        group.nested_paging,
    )
    return None if found == Wanted() else found


def read(host: Host) -> State:
    """Read modules and parameters of the host."""
    names = PARAMETERS
    return State(
        frozenset(
            module
            for module in ('vhost_net', 'kvm', *PAGING)
            if modprobe.loaded(host.tree, module)
        ),
        modprobe.ModuleLoad().read(host, 'vhost_net') is not None,
        {name: modprobe.running(host.tree, name) for name in names},
        {name: modprobe.ModuleParameter().read(host, name) for name in names},
        {name: modprobe.foreign(host.tree, name) for name in names},
        _flags(host),
        frozenset(
            module
            for module in ('vhost_net', 'kvm', *PAGING)
            if modprobe.built_in(host.tree, module)
        ),
        frozenset(n for n in names if modprobe.writable(host.tree, n)),
        architecture.read(host.tree),
    )


def _flags(host: Host) -> frozenset[str]:
    text = host.tree.text('proc/cpuinfo', limit=LARGE_BYTES)
    for line in (text or '').splitlines():
        name, _colon, value = line.partition(':')
        if name.strip() == 'flags':
            return frozenset(value.split())
    return frozenset()


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals, notes and refusals for ``wanted``."""
    if wanted.halt_poll_ns is not None:
        yield from _parameter(
            state,
            HALT_POLL,
            str(wanted.halt_poll_ns),
            'sets how long KVM polls for work of an idle vCPU',
            live=True,
        )
    if wanted.vhost_zero_copy is not None:
        yield from _parameter(
            state,
            ZERO_COPY,
            str(int(wanted.vhost_zero_copy)),
            'sets whether transmitted packets are copied',
            live=False,
        )
        if wanted.vhost_zero_copy:
            yield Note(
                CONCERN,
                'vhost_zero_copy: one guest that receives slowly can hold up '
                'all that send to it; the kernel has turned it off since 5.3',
            )
    if wanted.vhost_net:
        # After its options, which count when it is loaded.
        yield from _vhost(state)
    if wanted.nested_paging:
        yield from _paging(state)


def _vhost(state: State) -> Iterator[Item]:
    yield Goal(
        setting(SettingKind.MODULE_LOAD, 'vhost_net', 'loaded at boot'),
        CONCERN,
        'loaded at boot' if state.listed else None,
        'the kernel serves virtio NICs',
        title='vhost_net at boot',
        running='loaded'
        if 'vhost_net' in state.modules
        else modprobe.NOT_LOADED,
        running_wanted='loaded',
    )
    yield Goal(
        setting(SettingKind.MODULE, 'vhost_net', 'loaded'),
        CONCERN,
        'loaded' if 'vhost_net' in state.modules else None,
        'the kernel serves virtio NICs',
        title='vhost_net',
    )


def _parameter(
    state: State, name: str, value: str, reason: str, live: bool
) -> Iterator[Item]:
    for path, other in state.foreign[name]:
        if modprobe.overrides(path):
            yield Refusal(
                CONCERN,
                name,
                f'/{path} sets it to {other} and overrides '
                f'/{modprobe.OPTIONS}; remove its line',
            )
            return
        yield Note(
            CONCERN, f'/{path} sets {name}={other}, which ours overrides'
        )
    running = state.running[name]
    if name.partition('.')[0] in state.built_in:
        yield from _built_in(state, name, value, reason)
        return
    yield Goal(
        setting(SettingKind.MODULE_PARAMETER, name, value),
        CONCERN,
        state.own[name],
        reason,
        running=running or modprobe.NOT_LOADED,
        running_wanted=value,
        when=When.NOW if live else When.RELOAD,
        title=f'modprobe option {name}',
    )
    if live and running is not None:
        yield Goal(
            setting(SettingKind.RUNNING_PARAMETER, name, value),
            CONCERN,
            running,
            reason,
            title=f'parameter {name}',
        )


def _built_in(
    state: State, name: str, value: str, reason: str
) -> Iterator[Item]:
    if name not in state.writable and state.running[name] != value:
        yield Refusal(
            CONCERN,
            name,
            f'its module is built into this kernel and it is read-only: add '
            f'{name}={value} to the kernel command line yourself',
        )
        return
    yield Goal(
        setting(SettingKind.RUNNING_PARAMETER, name, value),
        CONCERN,
        state.running[name],
        reason,
        title=f'parameter {name}',
    )


def _paging(state: State) -> Iterator[Item]:
    if state.architecture not in (architecture.X86, architecture.UNKNOWN):
        yield Note(
            CONCERN,
            f'n/a: nested_paging: KVM on {state.architecture} has no other '
            f'way to translate the addresses of guests',
        )
        return
    found = [module for module in PAGING if module in state.modules]
    if not found:
        yield Refusal(
            CONCERN,
            'nested_paging',
            'neither kvm_intel nor kvm_amd is loaded: is virtualization '
            'enabled in the firmware?',
            # At boot udev may not have loaded it for the CPU yet.
            absent=bool(state.flags & _VIRTUALIZATION),
        )
        return
    parameter, flag = PAGING[found[0]]
    if flag not in state.flags:
        yield Refusal(
            CONCERN,
            'nested_paging',
            f'this CPU does not support it (/proc/cpuinfo lacks the flag '
            f'{flag})',
        )
        return
    name = f'{found[0]}.{parameter}'
    goals = list(
        _parameter(
            state, name, '1', 'guests do without shadow page tables', live=True
        )
    )
    if state.running[name] == '1' and state.own[name] is None:
        # It is on by default: nothing has to be kept across a reboot.
        goals = [
            goal
            for goal in goals
            if not isinstance(goal, Goal)
            or goal.setting.kind == SettingKind.RUNNING_PARAMETER
        ]
    yield from goals


def route(
    host: Host, terms: Terms, address: Address, found: Value, target: Value
) -> Route:
    """Return the route of a parameter of a loaded module."""
    if modprobe.writable(host.tree, address[1]):
        return Route(timeout=terms.write_timeout)
    module = address[1].partition('.')[0]
    running = [d.name for d in holders.read_domains(host) if d.running]
    users = host.tree.number(f'sys/module/{module}/refcnt') or 0
    refusals = []
    if running or users:
        who = ', '.join(running) or f'{users} users'
        refusals.append(
            Refusal(
                CONCERN,
                module,
                f'it would have to be reloaded, and is in use by {who}',
            )
        )
    return Route(
        interrupts=(f'{module} is unloaded and loaded again',),
        guests=tuple(running),
        refusals=tuple(refusals),
        timeout=terms.write_timeout,
    )


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(
        tuned=r'halt_poll_ns|experimental_zcopytx',
        attributes=(
            r'sys/module/(kvm|kvm_intel|kvm_amd|vhost_net)/parameters/'
            r'(halt_poll_ns|experimental_zcopytx|ept|npt)',
        ),
    ),
    persisted='lines in modprobe.d and modules-load.d, or the unit where a '
    'module is built into the kernel',
    undone='the former lines and values; modules that were not loaded are '
    'unloaded',
    ways=(
        Way(
            SettingKind.RUNNING_PARAMETER,
            '|'.join(map(re.escape, PARAMETERS)),
            route,
        ),
    ),
)
