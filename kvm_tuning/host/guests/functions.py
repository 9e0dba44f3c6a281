"""Observe the host's PCI functions that a running guest has."""

from collections.abc import Iterable, Mapping
import os
import re

from kvm_tuning.core.guest import Guest
from kvm_tuning.core.observed import Function, Unknown
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.guests import virtual_functions

_DEVICES = 'sys/bus/pci/devices'
_VIRTFN = re.compile(r'virtfn(\d{1,5})\Z')
_ADDRESS = re.compile(r'[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z')


def read(guest: Guest, root: str = '/') -> dict[str, Function]:
    """Return the functions of a live document by address: those assigned by
    VFIO, and the VFs below its macvtaps.
    """
    tree = Tree(root)
    below = (_function(tree, name) for name in sorted(guest.direct_nics))
    addresses = [*guest.host_devices, *filter(None, below)]
    return {each.address: each for each in _read(tree, addresses)}


def vfs(guest: Guest, root: str = '/') -> frozenset[tuple[str, int]]:
    """Return the VFs of a document, by the PF's address and the index."""
    tree = Tree(root)
    below = (_function(tree, name) for name in sorted(guest.direct_nics))
    found = set()
    for address in (*guest.host_devices, *filter(None, below)):
        pf = tree.link_name(f'{_DEVICES}/{address}/physfn')
        index = None if pf is None else _index(tree, pf, address)
        if pf is not None and index is not None:
            found.add((pf, index))
    return frozenset(found)


def _function(tree: Tree, interface: str) -> str | None:
    """Return the VF to which an interface of the host belongs."""
    real = tree.real(f'sys/class/net/{interface}/device') or ''
    address = real.rpartition('/')[2]
    if not _ADDRESS.match(address):
        return None
    is_vf = tree.target(f'{_DEVICES}/{address}/physfn') is not None
    return address if is_vf else None


def _read(tree: Tree, addresses: Iterable[str]) -> Iterable[Function]:
    for address in addresses:
        base = f'{_DEVICES}/{address}'
        pf = tree.link_name(f'{base}/physfn')
        index = None if pf is None else _index(tree, pf, address)
        yield Function(
            address,
            tree.link_name(f'{base}/driver'),
            pf,
            index,
            _attributes(tree, pf, index),
        )


def _index(tree: Tree, pf: str, address: str) -> int | None:
    base = f'{_DEVICES}/{pf}'
    for name in tree.names(base):
        match = _VIRTFN.match(name)
        if match and tree.link_name(f'{base}/{name}') == address:
            return int(match[1])
    return None


def _attributes(
    tree: Tree, pf: str | None, index: int | None
) -> Mapping[str, str] | Unknown:
    if pf is None or index is None:
        return Unknown('it is not a VF')
    if os.path.realpath(tree.root) != '/':
        return Unknown('the kernel of another machine cannot be queried')
    try:
        found = virtual_functions.read(pf, index)
    except OSError as error:
        return Unknown(f'PF {pf}: {error.strerror}')
    if found is None:
        return Unknown(f'PF {pf} has no network interface in this namespace')
    return found
