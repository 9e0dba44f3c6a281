"""Who else says how many VFs a PF has. Two owners fight.

NetworkManager.conf(5) and nm-settings (sriov.total-vfs), systemd.link(5)
(SR-IOVVirtualFunctions=), systemd.network(5) ([SR-IOV]), netplan's reference
(virtual-function-count), os-net-config's sriov_config.yaml, udev rules.
"""

from collections.abc import Callable, Iterator, Mapping
import configparser
from dataclasses import dataclass
from fnmatch import fnmatchcase
import re
from typing import Any

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.kinds.udev import PATH as OUR_RULES

# What stands for bytes that are not UTF-8 (Tree.foreign).
_REPLACED = '\N{REPLACEMENT CHARACTER}'
_UNIT_DIRECTORIES = ('etc', 'run', 'usr/local/lib', 'usr/lib', 'lib')


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who sets the number of VFs, or resets it."""

    name: str
    text: str
    #: The number it sets; None: it is not known.
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """The names of a PF."""

    address: str
    interface: str
    mac: str
    driver: str


def find(host: Host, port: Port) -> list[Owner]:
    """Return who else manages the VFs of a port. Whose files cannot be
    understood may do so: nobody can tell.
    """
    found: list[Owner] = []
    for name, look in _PLACES.items():
        try:
            found += look(host, port)
        except InventoryUnreadable as error:
            text = f'it cannot be told whether it sets them: {error}'
            found.append(Owner(name, text))
    return found


def _network_manager(host: Host, port: Port) -> Iterator[Owner]:
    for base in ('etc', 'run', 'usr/lib'):
        directory = f'{base}/NetworkManager/system-connections'
        for name in host.tree.names(directory):
            profile = _ini(host, f'{directory}/{name}')
            if profile.get('connection', {}).get('interface-name') not in (
                port.interface,
                None,
            ):
                continue
            count = profile.get('sriov', {}).get('total-vfs')
            if count is not None:
                yield Owner(
                    'NetworkManager',
                    f'the connection {name} sets sriov.total-vfs={count}',
                    _number(count),
                )
    index = host.tree.text(f'sys/class/net/{port.interface}/ifindex')
    state = _ini(host, f'run/NetworkManager/devices/{index}')
    if 'connection-uuid' in state.get('device', {}):
        yield Owner(
            'NetworkManager',
            f'{port.interface} is up with a connection of NetworkManager, '
            f'which resets VFs when the connection goes down',
        )


def _networkd(host: Host, port: Port) -> Iterator[Owner]:
    for base in _UNIT_DIRECTORIES[:-1]:
        directory = f'{base}/systemd/network'
        for name in host.tree.names(directory):
            if not name.endswith(('.link', '.network')):
                continue
            unit = _ini(host, f'{directory}/{name}')
            if not _matches(unit.get('match', {}), port):
                continue
            count = unit.get('link', {}).get('sr-iovvirtualfunctions')
            if count is not None:
                yield Owner(
                    'systemd-udevd',
                    f'/{directory}/{name} sets SR-IOVVirtualFunctions={count}',
                    _number(count),
                )
            if 'sr-iov' in unit:
                yield Owner(
                    'systemd-networkd',
                    f'/{directory}/{name} has a section [SR-IOV]',
                )


def _matches(match: dict[str, str], port: Port) -> bool:
    """Tell whether a [Match] is of this port. A key that is not known here
    is taken as met: it is better to refuse once too often.
    """
    own = {
        'originalname': port.interface,
        'name': port.interface,
        'macaddress': port.mac.lower(),
        'permanentmacaddress': port.mac.lower(),
        'path': f'pci-{port.address}',
        'driver': port.driver,
    }
    for key, patterns in match.items():
        if key in own and not any(
            fnmatchcase(own[key].lower(), pattern.lower())
            for pattern in patterns.split()
        ):
            return False
    return bool(match)


def _netplan(host: Host, port: Port) -> Iterator[Owner]:
    for base in ('etc', 'run', 'lib'):
        directory = f'{base}/netplan'
        for name in host.tree.names(directory):
            document = _yaml(host, f'{directory}/{name}')
            ports = _at(document, 'network', 'ethernets')
            for key, value in ports.items() if isinstance(ports, dict) else ():
                count = _at(value, 'virtual-function-count')
                own = _at(value, 'match', 'name') or key
                if count is not None and fnmatchcase(port.interface, str(own)):
                    yield Owner(
                        'netplan',
                        f'/{directory}/{name} sets virtual-function-count: '
                        f'{count}',
                        _number(count),
                    )


def _os_net_config(host: Host, port: Port) -> Iterator[Owner]:
    path = 'var/lib/os-net-config/sriov_config.yaml'
    for candidate in (path, 'etc/os-net-config/sriov_config.yaml'):
        document = _yaml(host, candidate)
        for each in document if isinstance(document, list) else ():
            if _at(each, 'name') == port.interface:
                count = _at(each, 'numvfs')
                yield Owner(
                    'os-net-config',
                    f'/{candidate} sets numvfs: {count}',
                    _number(count),
                )


def _udev(host: Host, port: Port) -> Iterator[Owner]:
    for base in _UNIT_DIRECTORIES:
        directory = f'{base}/udev/rules.d'
        for name in host.tree.names(directory):
            path = f'{directory}/{name}'
            if path == OUR_RULES or not name.endswith('.rules'):
                continue
            for line in (host.tree.foreign(path) or '').splitlines():
                match = re.search(r'sriov_numvfs\}="(\d+)"', line)
                if match and _names(line, port):
                    yield Owner(
                        'udev',
                        f'a rule in /{path} sets sriov_numvfs={match[1]}',
                        int(match[1]),
                    )


def _names(line: str, port: Port) -> bool:
    words = (port.interface, port.address, port.mac.lower())
    return (
        any(word and word in line.lower() for word in words)
        or f'DRIVERS=="{port.driver}"' in line
        or f'DRIVER=="{port.driver}"' in line
    )


def _ini(host: Host, path: str) -> dict[str, dict[str, str]]:
    """Return a file's sections; names and keys in lower case.

    :raises InventoryUnreadable: it is not text.
    """
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, allow_no_value=True
    )
    text = host.tree.foreign(path) or ''
    try:
        parser.read_string(text)
    except configparser.Error as error:
        _check_text(host, path, text, error)
        return {}
    return {
        section.lower(): {
            key: value or '' for key, value in parser[section].items()
        }
        for section in parser.sections()
    }


def _yaml(host: Host, path: str) -> Any:
    """Return what is in a file; None when it is no YAML.

    :raises InventoryUnreadable: it is not text.
    """
    if not path.endswith(('.yaml', '.yml')):
        return None
    text = host.tree.foreign(path) or ''
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        _check_text(host, path, text, error)
        return None


def _check_text(host: Host, path: str, text: str, error: Exception) -> None:
    """Tell a file with faults, which its owner cannot read either, from one
    in another encoding.

    :raises InventoryUnreadable: it is one of those.
    """
    if _REPLACED in text:
        raise InventoryUnreadable(
            f'{host.tree.root}: {path} is not UTF-8'
        ) from error


def _at(document: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() else None


#: Where each owner says it.
_PLACES: Mapping[str, Callable[[Host, Port], Iterator[Owner]]] = {
    'NetworkManager': _network_manager,
    'systemd-networkd': _networkd,
    'netplan': _netplan,
    'os-net-config': _os_net_config,
    'udev': _udev,
}
