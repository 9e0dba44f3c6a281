"""Block I/O schedulers, by class of disk or by disk.

The kernel's Documentation/block/switching-sched.rst. Until Linux 5.0 a disk
had either the old elevators (noop, deadline, cfq) or the multi-queue ones;
since then only those are left. bfq and kyber may be modules, which a write
loads. NVMe is best left at none (see the
administrator's guide).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import re

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
from kvm_tuning.host.prep.kinds import udev

CONCERN = 'block_scheduler'
NAMES = ('none', 'mq-deadline', 'bfq', 'kyber')
CLASSES = ('rotational', 'ssd', 'nvme')

#: Names of the old elevators, and what took their place.
RENAMED = {'cfq': 'bfq', 'deadline': 'mq-deadline', 'noop': 'none'}
_OLD = {'mq-deadline': 'deadline', 'none': 'noop'}
_MODULES = {'bfq': 'bfq', 'kyber': 'kyber-iosched'}

# Without requests of their own: they pass them on to disks below.
_STACKED = re.compile(r'(loop|zram|dm-|md|ram|sr|fd|nbd|drbd|bcache|rbd)\d')
_SKIP = 'loop*|zram*|dm-*|md*|ram*|sr*|fd*|nbd*|drbd*|bcache*|rbd*'
_RULE = (
    'ACTION=="add|change", SUBSYSTEM=="block", ENV{{DEVTYPE}}=="disk", '
    '{match}, TEST=="queue/scheduler", ATTR{{queue/scheduler}}="{value}"'
)
_MATCHES = {
    'rotational': f'KERNEL!="nvme*|{_SKIP}", ATTR{{queue/rotational}}=="1"',
    'ssd': f'KERNEL!="nvme*|{_SKIP}", ATTR{{queue/rotational}}=="0"',
    'nvme': 'KERNEL=="nvme*"',
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """``[block_scheduler]``: names by class and by disk."""

    classes: Mapping[str, str] = field(default_factory=dict)
    disks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What the kernel shows."""

    disks: tuple[BlockDevice, ...]
    #: Schedulers that a write would load.
    loadable: frozenset[str]
    rules: Mapping[str, str]


def read(host: Host) -> State:
    """Return what the kernel shows."""
    release = host.tree.text('proc/sys/kernel/osrelease')
    modules: list[str] = []
    for base in ('lib/modules', 'usr/lib/modules'):
        modules += host.tree.names(f'{base}/{release}/kernel/block')
    names = {name.partition('.')[0] for name in modules}
    return State(
        host.inventory.disks,
        frozenset(n for n, module in _MODULES.items() if module in names),
        udev.rules(host.tree),
    )


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield what ``wanted`` takes."""
    for group in CLASSES:
        if group in wanted.classes:
            name = wanted.classes[group]
            yield from _renamed(name, group)
            if group == 'nvme' and modern(name) != 'none':
                yield Note(
                    CONCERN,
                    f'nvme = {name}: NVMe is fastest with none in published '
                    f'measurements; measure before you keep it',
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
        yield Refusal(CONCERN, name, 'this host has no such disk', absent=True)


def classify(disk: BlockDevice) -> str:
    """Return the class of a disk."""
    if disk.name.startswith('nvme'):
        return 'nvme'
    return 'rotational' if disk.rotational else 'ssd'


def modern(name: str) -> str:
    """Return the name of a scheduler as kernels since 5.0 have it."""
    return RENAMED.get(name, name)


def _renamed(name: str, subject: str) -> Iterator[Note]:
    if name in RENAMED:
        yield Note(
            CONCERN,
            f'{subject} = {name}: kernels since 5.0 call it '
            f'{RENAMED[name]}, which is used',
        )


def _rule(state: State, name: str, match: str, asked: str) -> Goal:
    name = f'block-scheduler-{name}'
    return Goal(
        setting(
            'udev-rule', name, _RULE.format(match=match, value=modern(asked))
        ),
        CONCERN,
        state.rules.get(name),
        'disks that come later, and after a reboot',
        title=f'udev rule {name}',
        running=modern(asked),
        running_wanted=modern(asked),
    )


def _disk(disk: BlockDevice, asked: str, state: State, named: bool) -> Item:
    name = modern(asked)
    if not disk.schedulers:
        return Note(
            CONCERN,
            f'n/a: {disk.name} has no scheduler of its own (a multipath head '
            f'passes its requests on to its paths)',
        )
    if name not in disk.schedulers and _OLD.get(name) in disk.schedulers:
        name = _OLD[name]
    if name not in disk.schedulers and name not in state.loadable:
        return Refusal(
            CONCERN,
            disk.name,
            f'{name!r} is not available; this kernel offers '
            f'{", ".join(disk.schedulers)}',
        )
    return sysfs(
        CONCERN,
        f'sys/class/block/{disk.name}/queue/scheduler',
        disk.scheduler,
        name,
        'asked for this disk'
        if named
        else f'asked for its class, {classify(disk)}',
        title=f'scheduler of {disk.name}',
    )
