"""VFs set by netplan: ``virtual-function-count``, or the ``link:`` of each VF.

netplan's YAML reference. Files of /lib, /etc and /run are merged in the order
of their names, whatever the directory; of one name, /run's hides /etc's and
that /lib's. A PF that has ``match`` is known by it, or by ``set-name`` once it
was renamed.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import yaml

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov.identity import Owner, Port, number
from kvm_tuning.host.prep.writers import precedence, target

_DIRECTORIES = ('run/netplan', 'etc/netplan', 'lib/netplan')


def find(host: Host, port: Port) -> Iterator[Owner]:
    """Yield the number of VFs that netplan gives a port.

    :raises InventoryUnreadable: a file is not text.
    """
    merged: dict[str, Any] = {}
    places: dict[str, str] = {}
    files = precedence.files(host.tree, _DIRECTORIES, '.yaml')
    for path in files.values():
        document = load(host, path)
        ports = at(document, 'network', 'ethernets')
        for name in ports if isinstance(ports, dict) else ():
            if at(ports[name], 'virtual-function-count') is not None or at(
                ports[name], 'link'
            ):
                places[name] = path
            merged[name] = _merge(merged.get(name), ports[name])
    interfaces = host.tree.names('sys/class/net')
    for name, definition in merged.items():
        if not _is(name, definition, port, interfaces):
            continue
        # Of several definitions of one port, netplan takes any.
        count = at(definition, 'virtual-function-count')
        linked = [n for n, each in merged.items() if at(each, 'link') == name]
        if count is not None:
            yield Owner(
                'netplan',
                f'/{places[name]} sets virtual-function-count: {count}',
                number(count),
            )
        elif linked:
            yield Owner(
                'netplan',
                f'/{places[linked[0]]} has {len(linked)} VFs by their link: '
                f'{", ".join(linked)[:80]}',
                len(linked),
            )


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{k: _merge(old.get(k), v) for k, v in new.items()}}
    return old if new in (None, '') and isinstance(old, dict) else new


def _is(name: str, definition: Any, port: Port, interfaces: list[str]) -> bool:
    match = at(definition, 'match')
    if not isinstance(match, dict):
        return name == port.interface
    renamed = at(definition, 'set-name')
    if renamed in interfaces:
        # It is taken for renamed already, whatever else matches.
        return bool(renamed == port.interface)
    wanted = at(match, 'macaddress')
    if wanted is not None and str(wanted).lower() not in (
        port.mac,
        port.permanent_mac,
    ):
        return False
    drivers = at(match, 'driver')
    if isinstance(drivers, str):
        drivers = [drivers]
    if drivers and not any(fnmatchcase(port.driver, str(d)) for d in drivers):
        return False
    pattern = at(match, 'name')
    return pattern is None or fnmatchcase(port.interface, str(pattern))


def load(host: Host, path: str) -> Any:
    """Return what is in a file, every scalar as text (a MAC address without
    quotes would be a number of YAML 1.1's); None when it is not YAML.

    :raises InventoryUnreadable: it is not text.
    """
    text = target.text(host.tree, path) or ''
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if '\N{REPLACEMENT CHARACTER}' in text:
            raise InventoryUnreadable(
                f'{host.tree.root}: {path} is not UTF-8'
            ) from error
        return None


def at(document: Any, *keys: str) -> Any:
    """Return what is below keys of mappings; None: nothing."""
    for key in keys:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document
