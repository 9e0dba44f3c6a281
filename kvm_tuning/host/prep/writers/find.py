"""All who write one file of /sys or /proc."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.writers import boot_commands, events, files
from kvm_tuning.host.prep.writers.target import Target, Writer
from kvm_tuning.host.prep.writers.udev_events import Device

_PLACES: Mapping[str, Callable[[Tree, Target], Iterator[Writer]]] = {
    'sysctl': files.sysctl,
    'tmpfiles.d': files.tmpfiles,
    'sysfsutils': files.sysfs_conf,
    'systemd': boot_commands.units,
    'ifupdown': boot_commands.ifupdown,
    'scripts of boot': boot_commands.scripts,
}


def find(
    tree: Tree, wanted: Target, devices: Iterable[Device] = ()
) -> list[Writer]:
    """Return who writes a file. One whose files cannot be read may do so,
    and does not hide the others.

    :param devices: those at whose events it may be written; none for a file
        that is not a device's.
    """
    devices = list(devices)
    places = dict(_PLACES)
    if devices:
        places['udev'] = lambda tree, wanted: events.of_devices(
            tree, wanted, devices
        )
    else:
        places['udev'] = events.of_path
    found: list[Writer] = []
    for name, look in places.items():
        try:
            found += look(tree, wanted)
        except InventoryUnreadable as error:
            text = f'it cannot be determined whether it sets it: {error}'
            found.append(Writer(name, text))
    return found
