"""Find who else sets the number of VFs of a PF.

Each place is a module of its own; what writes ``sriov_numvfs`` by its path
(udev's rules, units, scripts, sysfs.conf ...) is found as for any other file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov import (
    link_files,
    netplan,
    network_manager,
)
from kvm_tuning.host.prep.groups.sriov.identity import Owner, Port, number
from kvm_tuning.host.prep.writers import find as writers
from kvm_tuning.host.prep.writers import target

__all__ = ('Owner', 'Port', 'find')

_OS_NET_CONFIG = (
    'var/lib/os-net-config/sriov_config.yaml',
    'etc/os-net-config/sriov_config.yaml',
)
#: Most characters of the text about an owner.
_MOST_TEXT = 400
_SHIM = 'etc/sriov-netplan-shim/interfaces.yaml'


def find(host: Host, port: Port) -> list[Owner]:
    """Return who else manages the VFs of a port. An owner whose files cannot
    be understood is included, as it may.
    """
    found: list[Owner] = []
    for name, look in _PLACES.items():
        try:
            found += look(host, port)
        except InventoryUnreadable as error:
            text = f'it cannot be determined whether it sets them: {error}'
            found.append(Owner(name, text))
    # Values of others may be of any length.
    short = [replace(each, text=each.text[:_MOST_TEXT]) for each in found]
    return list(dict.fromkeys(short))


def _os_net_config(host: Host, port: Port) -> Iterator[Owner]:
    for path in _OS_NET_CONFIG:
        document = netplan.load(host, path)
        for each in document if isinstance(document, list) else ():
            if netplan.at(each, 'name') == port.interface:
                count = netplan.at(each, 'numvfs')
                yield Owner(
                    'os-net-config',
                    f'/{path} sets numvfs: {count}',
                    number(count),
                )


def _shim(host: Host, port: Port) -> Iterator[Owner]:
    document = netplan.load(host, _SHIM)
    count = netplan.at(document, 'interfaces', port.interface, 'num_vfs')
    if count is not None:
        yield Owner(
            'sriov-netplan-shim',
            f'/{_SHIM} sets num_vfs: {count}',
            number(count),
        )


def _writers(host: Host, port: Port) -> Iterator[Owner]:
    wanted = target.target(port.names())
    for writer in writers.find(host, wanted, port.devices(host)):
        count = None if writer.value is None else number(writer.value)
        yield Owner(writer.name, writer.text, count, writer.active)


#: Where each owner says it.
_PLACES: Mapping[str, Callable[[Host, Port], Iterator[Owner]]] = {
    'NetworkManager': network_manager.find,
    'systemd-udevd': link_files.links,
    'systemd-networkd': link_files.networks,
    'netplan': netplan.find,
    'os-net-config': _os_net_config,
    'sriov-netplan-shim': _shim,
    'others': _writers,
}
