"""``[block_scheduler]``: I/O schedulers by class of disk or by disk.

See the kernel's Documentation/block/switching-sched.rst. Until Linux 5.0 a
disk had either the old elevators (noop, deadline, cfq) or the multi-queue
schedulers; since then only the latter exist. bfq and kyber may be modules,
which a write loads. NVMe is best left at none (see the administrator's guide).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import re
from typing import Any

from oslo_config import cfg, types

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.core.inventory import BlockDevice
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    Goal,
    Item,
    Note,
    Refusal,
    setting,
    sysfs,
)
from kvm_tuning.host.prep.groups import disk_rules
from kvm_tuning.host.prep.groups.group import Group, Rivals
from kvm_tuning.host.prep.kinds import udev

CONCERN = 'block_scheduler'
NAMES = ('none', 'mq-deadline', 'bfq', 'kyber')
CLASSES = ('rotational', 'ssd', 'nvme')

_DISK = re.compile(r'([\w.-]{1,64})\s*=\s*([a-z-]{1,32})')

#: Names of the old elevators, and their successors.
RENAMED = {'cfq': 'bfq', 'deadline': 'mq-deadline', 'noop': 'none'}
_OLD = {'mq-deadline': 'deadline', 'none': 'noop'}
_MODULES = {'bfq': 'bfq', 'kyber': 'kyber-iosched'}

# Devices without a queue of their own: they pass requests on to disks below.
_STACKED = re.compile(r'(loop|zram|dm-|md|ram|sr|fd|nbd|drbd|bcache|rbd)\d')
_SKIP = 'loop*|zram*|dm-*|md*|ram*|sr*|fd*|nbd*|drbd*|bcache*|rbd*'
_RULE_NAME = 'block-scheduler-{}'
_PATH = re.compile(r'sys/(?:class/)?block/([^/]+)/queue/scheduler')
_RULE = (
    'ACTION=="add|change", SUBSYSTEM=="block", ENV{{DEVTYPE}}=="disk", '
    '{match}, TEST=="queue/scheduler", ATTR{{queue/scheduler}}="{value}"'
)
_MATCHES = {
    'rotational': f'KERNEL!="nvme*|{_SKIP}", ATTR{{queue/rotational}}=="1"',
    'ssd': f'KERNEL!="nvme*|{_SKIP}", ATTR{{queue/rotational}}=="0"',
    'nvme': 'KERNEL=="nvme*"',
}

_NAMES = 'none, mq-deadline, bfq or kyber'

OPTIONS = (
    cfg.StrOpt(
        'rotational',
        help=f"""
Scheduler of disks that turn: {_NAMES}. mq-deadline gives guests most
throughput, bfq shares a disk fairly. The old names cfq, deadline and noop are
taken for bfq, mq-deadline and none. A udev rule keeps it for disks that come
later. Unset: not touched.
""",
    ),
    cfg.StrOpt(
        'ssd',
        help=f"""
Scheduler of disks that do not turn, other than NVMe: {_NAMES}. mq-deadline
is the usual choice, none behind a RAID controller that sorts by itself.
Unset: not touched.
""",
    ),
    cfg.StrOpt(
        'nvme',
        help=f"""
Scheduler of NVMe disks: {_NAMES}. Leave it at none unless you have measured
that another one is better. Unset: not touched.
""",
    ),
    cfg.MultiOpt(
        'disk',
        item_type=types.String(max_length=128),
        help="""
Scheduler of one disk, such as ``sda=bfq``; it goes before its class. Give it
several times for several disks. Names of disks can change at a reboot: prefer
the classes.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Schedulers by class and by disk."""

    classes: Mapping[str, str] = field(default_factory=dict)
    disks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """The disks and schedulers of the host."""

    disks: tuple[BlockDevice, ...]
    #: Schedulers that a write would load as modules.
    loadable: frozenset[str]
    rules: Mapping[str, str]
    #: Disks that are written zone by zone; kernels before 6.10 give them
    #: mq-deadline alone.
    zoned: frozenset[str] = frozenset()

    def offers(self, name: str) -> bool:
        """Tell whether the kernel has a scheduler, for some disk or as a
        module.
        """
        return name in self.loadable or any(
            name in disk.schedulers for disk in self.disks
        )


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing.

    :raises ConfigInvalid: a disk or a scheduler is not one.
    """
    group = conf.block_scheduler
    disks = {}
    for text in group.disk or ():
        match = _DISK.fullmatch(text.strip())
        if match is None:
            raise ConfigInvalid(
                f'[block_scheduler] disk = {text[:64]}: want a disk and a '
                f'scheduler, such as sda=mq-deadline'
            )
        disks[match[1]] = match[2]
    classes = {
        name: value for name in CLASSES if (value := group[name]) is not None
    }
    for name, value in {**classes, **disks}.items():
        if modern(value) not in NAMES:
            raise ConfigInvalid(
                f'[block_scheduler] {name} = {value[:64]}: want one of '
                f'{", ".join(NAMES)}'
            )
    return Wanted(classes, disks) if classes or disks else None


def read(host: Host) -> State:
    """Read the disks and schedulers of the host."""
    release = host.tree.text('proc/sys/kernel/osrelease')
    modules: list[str] = []
    for base in ('lib/modules', 'usr/lib/modules'):
        modules += host.tree.names(f'{base}/{release}/kernel/block')
    names = {name.partition('.')[0] for name in modules}
    return State(
        host.inventory.disks,
        frozenset(n for n, module in _MODULES.items() if module in names),
        udev.rules(host.tree),
        frozenset(
            disk.name
            for disk in host.inventory.disks
            if (
                host.tree.text(f'sys/class/block/{disk.name}/queue/zoned')
                or 'none'
            )
            != 'none'
        ),
    )


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals, notes and refusals for ``wanted``."""
    for group in CLASSES:
        if group in wanted.classes:
            name = wanted.classes[group]
            yield from _renamed(name, group)
            if group == 'nvme' and modern(name) != 'none':
                yield Note(
                    CONCERN,
                    f'nvme = {name}: in published measurements NVMe is '
                    f'fastest with none; measure before you keep this',
                )
            yield _rule(state, group, _MATCHES[group], name)
    for disk in state.disks:
        asked = wanted.disks.get(disk.name)
        if asked is not None:
            yield from _renamed(asked, disk.name)
            yield _rule(state, disk.name, f'KERNEL=="{disk.name}"', asked)
        elif not _STACKED.match(disk.name):
            asked = wanted.classes.get(classify(disk))
        if asked is not None:
            named = disk.name in wanted.disks
            yield _disk(disk, asked, state, named)
    known = {disk.name for disk in state.disks}
    for name in sorted(wanted.disks.keys() - known):
        yield Refusal(
            CONCERN, name, 'this host does not have this disk', absent=True
        )


def classify(disk: BlockDevice) -> str:
    """Return the class of a disk."""
    if disk.name.startswith('nvme'):
        return 'nvme'
    return 'rotational' if disk.rotational else 'ssd'


def modern(name: str) -> str:
    """Return the name of a scheduler in kernels since 5.0."""
    return RENAMED.get(name, name)


def _renamed(name: str, subject: str) -> Iterator[Note]:
    if name in RENAMED:
        yield Note(
            CONCERN,
            f'{subject} = {name}: kernels since 5.0 call it '
            f'{RENAMED[name]}, which is used',
        )


def _rule(state: State, name: str, match: str, asked: str) -> Goal:
    name = _RULE_NAME.format(name)
    return Goal(
        setting(
            SettingKind.UDEV_RULE,
            name,
            _RULE.format(match=match, value=modern(asked)),
        ),
        CONCERN,
        state.rules.get(name),
        'applies to disks added later, and after a reboot',
        title=f'udev rule {name}',
        running=modern(asked),
        running_wanted=modern(asked),
    )


def _disk(disk: BlockDevice, asked: str, state: State, named: bool) -> Item:
    name = modern(asked)
    if not disk.schedulers:
        return Note(
            CONCERN,
            f'n/a: {disk.name} has no scheduler of its own: it passes its '
            f'requests on (a multipath head, pmem, a ZFS volume)',
        )
    if name not in disk.schedulers and _OLD.get(name) in disk.schedulers:
        name = _OLD[name]
    zoned = disk.name in state.zoned
    if name not in disk.schedulers and (zoned or name not in state.loadable):
        offered = ', '.join(disk.schedulers)
        if named or not (zoned or state.offers(name)):
            return Refusal(
                CONCERN,
                disk.name,
                f'{name!r} is not available; this kernel offers {offered}',
            )
        why = ', as for most zoned disks' if zoned else ''
        return Note(
            CONCERN,
            f'{disk.name} keeps {disk.scheduler}: it has no {name!r}, only '
            f'{offered}{why}',
        )
    return sysfs(
        CONCERN,
        f'sys/class/block/{disk.name}/queue/scheduler',
        disk.scheduler,
        name,
        'requested for this disk'
        if named
        else f'requested for its class, {classify(disk)}',
        title=f'scheduler of {disk.name}',
    )


def _rivals(host: Host, goal: Goal) -> Iterator[str]:
    """Yield who else sets the scheduler of a disk, or of one of a class."""
    path = _PATH.fullmatch(goal.setting.name)
    if path:
        yield from disk_rules.find(host, path[1])
        return
    group = goal.setting.name.removeprefix(_RULE_NAME.format(''))
    named = [d.name for d in host.inventory.disks if d.name == group]
    for disk in host.inventory.disks:
        of_class = not _STACKED.match(disk.name) and classify(disk) == group
        if disk.schedulers and (disk.name in named or of_class):
            yield from disk_rules.find(host, disk.name)


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(
        tuned=r'^\s*elevator\s*=',
        arguments=('elevator',),
        attributes=(r'sys/(class/)?block/[^/]+/queue/scheduler',),
        find=_rivals,
    ),
    persisted='a udev rule',
    undone='the former schedulers, and no udev rule',
)
