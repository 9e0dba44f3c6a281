"""All who write one file of /sys or /proc."""

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
from weakref import WeakKeyDictionary

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.writers import (
    boot_commands,
    events,
    files,
    ifupdown,
    target,
)
from kvm_tuning.host.prep.writers.target import Line, Target, Writer
from kvm_tuning.host.prep.writers.udev_events import Device

_PLACES: Mapping[str, Callable[[Tree], Iterator[Line]]] = {
    'sysctl': files.sysctl,
    'tmpfiles.d': files.tmpfiles,
    'sysfsutils': files.sysfs_conf,
    'systemd': boot_commands.units,
    'ifupdown': ifupdown.read,
    'scripts of boot': boot_commands.scripts,
    'udev': events.of_paths,
}

#: All lines of a host's files, and what could not be read: a host is one
#: look, and some of its settings are many (interrupts).
_READ: WeakKeyDictionary[Host, tuple[list[Line], list[Writer]]] = (
    WeakKeyDictionary()
)


def find(
    host: Host,
    wanted: Target,
    devices: Iterable[Device] = (),
    after: str = '',
) -> list[Writer]:
    """Return who writes a file. One whose files cannot be read may do so,
    and does not hide the others.

    :param devices: those at whose events rules of udev's may write it; none
        for a file that is not a device's.
    :param after: a file of rules; what comes before it does not count, but
        for programs.
    """
    lines, unknown = _all(host)
    found = target.pick(lines, wanted)
    devices = list(devices)
    if devices:
        found = [each for each in found if each.name != 'udev']
        # Rules that cannot be read are one of the unknown already.
        with contextlib.suppress(InventoryUnreadable):
            found += events.of_devices(host.tree, wanted, devices, after)
    return found + unknown


def _all(host: Host) -> tuple[list[Line], list[Writer]]:
    known = _READ.get(host)
    if known is not None:
        return known
    lines: list[Line] = []
    unknown: list[Writer] = []
    for name, look in _PLACES.items():
        try:
            lines += look(host.tree)
        except InventoryUnreadable as error:
            unknown.append(target.unknown(name, error))
    _READ[host] = lines, unknown
    return lines, unknown
