"""Plan VFs by the driver's parameter: ``options igb max_vfs=7``.

The kernel's own igb takes one number for all its ports; the driver that Intel
offers for download takes a list with one number a port. A value that the
installed driver does not accept keeps it from loading, and the network is
gone. The kernel calls the parameter deprecated; where sysfs has the count, the
running count is set there, and the parameter is for the next boot.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import re

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    Goal,
    Item,
    Note,
    Refusal,
    Value,
    When,
    setting,
)
from kvm_tuning.host.prep.groups.sriov.models import Model
from kvm_tuning.host.prep.kinds import command_line, modprobe

CONCERN = 'sriov'
_TITLE = 'modprobe option {0} max_vfs'
_NUMBER = re.compile(r'\+?(?:0[xX][0-9a-fA-F]{1,8}|\d{1,10})')


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver and its parameter."""

    name: str
    #: Whether it is not the kernel's own: it taints the kernel, or a module of
    #: this name is where other vendors install theirs.
    out_of_tree: bool
    #: Its ports, in the driver's order.
    ports: tuple[PciDevice, ...]
    #: Our line in modprobe.d.
    own: Value
    #: Others' lines.
    foreign: tuple[tuple[str, str], ...]
    #: The loaded module's value; None: not shown.
    running: Value
    #: The number of VFs of its ports.
    counts: Value


def read(host: Host, name: str) -> Driver:
    """Read a driver and its parameter."""
    parameter = f'{name}.max_vfs'
    return Driver(
        name,
        _is_foreign(host, name),
        tuple(d for d in host.inventory.devices if d.driver == name),
        modprobe.ModuleParameter().read(host, parameter),
        tuple(modprobe.foreign(host.tree, parameter)),
        modprobe.running(host.tree, parameter),
        modprobe.vf_counts(host, name),
    )


def _is_foreign(host: Host, name: str) -> bool:
    # Documentation/admin-guide/tainted-kernels.rst: O means out-of-tree.
    if 'O' in (host.tree.text(f'sys/module/{name}/taint') or ''):
        return True
    release = host.tree.text('proc/sys/kernel/osrelease')
    for base in ('lib/modules', 'usr/lib/modules'):
        for directory in ('updates', 'extra', 'weak-updates'):
            home = f'{base}/{release}/{directory}'
            for place in (home, f'{home}/{name}', f'{home}/dkms'):
                if any(
                    entry.partition('.')[0] == name and '.ko' in entry
                    for entry in host.tree.names(place)
                ):
                    return True
    return False


def is_of(device: PciDevice, model: Model, name: str) -> bool:
    """Tell whether a driver is bound to a port, or is the one for it."""
    return device.driver == name or (
        device.driver is None and model.driver == name
    )


def broken(driver: Driver) -> Iterator[Refusal]:
    """Yield a refusal for each value, in a file that is not ours, that keeps
    the kernel's own driver from loading.

    kernel/params.c takes an unsigned number only; a valid value later on does
    not help.
    """
    if driver.out_of_tree:
        return
    for where, value in driver.foreign:
        if not _NUMBER.fullmatch(value):
            yield Refusal(
                CONCERN,
                f'{driver.name} max_vfs',
                f"/{where} sets max_vfs={value[:64]}, and the kernel's own "
                f'{driver.name} takes one number only: it does not load at '
                f'the next boot, and its ports are gone; remove that line, or '
                f'write max_vfs=N',
            )


def rivals(host: Host, name: str) -> Iterator[str]:
    """Yield, in a few words, each other place that sets max_vfs."""
    for where, value in modprobe.foreign(host.tree, f'{name}.max_vfs'):
        yield f'modprobe.d (/{where} sets max_vfs={value[:64]})'
    argument = command_line.value(host.command_line, f'{name}.max_vfs')
    if argument is not None:
        yield f'kernel command line ({name}.max_vfs={argument[:64]})'


def plan(
    ports: Mapping[str, tuple[PciDevice, int]], driver: Driver, reload: bool
) -> Iterator[Item]:
    """Yield the items that make the driver create the VFs of ``ports``."""
    others = {d.driver for d, _n in ports.values()} - {driver.name}
    for other in sorted(str(name) for name in others):
        yield Refusal(
            CONCERN,
            f'method = max_vfs on {other}',
            f'since Linux 4.18 only {driver.name} has the parameter; use '
            f'method = auto',
        )
    counts = [
        ports[d.address][1] if d.address in ports else 0 for d in driver.ports
    ]
    if others or not counts:
        return
    value = _value(driver, ports, counts)
    if isinstance(value, Refusal):
        yield value
        return
    later = [p for p, _v in driver.foreign if modprobe.overrides(p)]
    if later:
        yield Refusal(
            CONCERN,
            f'{driver.name} max_vfs',
            f'/{later[-1]} also sets it and overrides '
            f'/{modprobe.OPTIONS}; remove its line',
        )
        return
    for path, other in driver.foreign:
        yield Note(
            CONCERN, f'/{path} sets max_vfs={other}, which ours overrides'
        )
    yield _option(driver, value, counts)
    # Reloading cannot restore ports with different counts; sysfs can.
    mixed = (driver.counts or '').startswith('mixed')
    if reload and not driver.out_of_tree and not mixed:
        yield Goal(
            setting(
                SettingKind.RUNNING_PARAMETER, f'{driver.name}.max_vfs', value
            ),
            CONCERN,
            driver.counts,
            'the driver is reloaded with the parameter',
            title=f'{driver.name} loaded with max_vfs',
        )


def _value(
    driver: Driver,
    ports: Mapping[str, tuple[PciDevice, int]],
    counts: list[int],
) -> str | Refusal:
    if driver.out_of_tree:
        return ','.join(map(str, counts))
    wanted = {n for _device, n in ports.values()}
    if len(wanted) > 1:
        return Refusal(
            CONCERN,
            f'{driver.name} max_vfs',
            f"the kernel's own {driver.name} takes one number for all its "
            f'ports, and {", ".join(map(str, sorted(wanted)))} are requested; '
            f'use method = auto',
        )
    left = [
        d.address
        for d in driver.ports
        if d.total_vfs and d.address not in ports
    ]
    if left:
        return Refusal(
            CONCERN,
            f'{driver.name} max_vfs',
            f'the parameter applies to all ports of {driver.name}, and no VFs '
            f'are requested for {", ".join(left)}; use method = auto',
        )
    return str(wanted.pop())


def _option(driver: Driver, value: str, counts: list[int]) -> Goal:
    # Existing VFs stay until the module is reloaded. A kernel that does not
    # show the parameter is judged by the VFs it has made.
    running = driver.running if driver.running is not None else driver.counts
    if counts == [len(device.vfs) for device in driver.ports]:
        # Made through sysfs: reloading would gain nothing.
        running = value
    return Goal(
        setting(SettingKind.MODULE_PARAMETER, f'{driver.name}.max_vfs', value),
        CONCERN,
        driver.own,
        'the driver creates the VFs when it is loaded at boot'
        + (' (a list: the driver is not the kernel’s own)')
        * driver.out_of_tree,
        running=running or modprobe.NOT_LOADED,
        running_wanted=value,
        when=When.RELOAD,
        title=_TITLE.format(driver.name),
    )
