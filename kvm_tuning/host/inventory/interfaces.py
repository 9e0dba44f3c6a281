"""Find what a network interface carries: addresses, routes, upper devices.

An interface's upper devices (bond, bridge, VLAN, team, macvlan, Open vSwitch)
are links ``upper_*`` and ``master`` in its directory in sysfs. Routes are in
/proc/net/route and ipv6_route, IPv6 addresses in /proc/net/if_inet6. An IPv4
address without a route can be read on the machine itself only (netdevice(7)).
"""

from collections.abc import Iterator
import fcntl
import re
import socket
import struct

from kvm_tuning.host.access.sysfs import LARGE_BYTES
from kvm_tuning.host.inventory.host import Host

_NET = 'sys/class/net'
_OVS = 'ovs-system'
_SIOCGIFADDR = 0x8915
_LINK_SCOPE = 0x20
_HEX = re.compile(r'[0-9a-f]{1,8}\Z')


def uppers(host: Host, name: str) -> list[str]:
    """Return the upper devices of an interface, nearest first."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        above = [
            entry.removeprefix('upper_')
            for entry in host.tree.names(f'{_NET}/{current}')
            if entry.startswith('upper_')
        ]
        master = host.tree.link_name(f'{_NET}/{current}/master')
        if master is not None:
            above.append(master)
        for each in above:
            if each not in found and each != name:
                found.append(each)
                waiting.append(each)
    return found


def carries(host: Host, name: str) -> list[str]:
    """Return what would be cut off with an interface, as sentences."""
    found = [f'it carries {what}' for what in _own(host, name)]
    for above in uppers(host, name):
        if above == _OVS:
            found.append('it is a port of Open vSwitch')
        found += [
            f'its upper device {above} carries {what}'
            for what in _own(host, above)
        ]
    return found


def _own(host: Host, name: str) -> Iterator[str]:
    routes = set(_routes(host, name))
    if 'default' in routes:
        yield 'the default route'
    if _has_address(host, name) or routes - {'default'}:
        yield "the host's address"


def _routes(host: Host, name: str) -> Iterator[str]:
    for line in _lines(host, 'proc/net/route')[1:]:
        words = line.split()
        if len(words) > 7 and words[0] == name:
            default = words[1] == words[7] == '00000000'
            yield 'default' if default else words[1]
    for line in _lines(host, 'proc/net/ipv6_route'):
        words = line.split()
        if len(words) == 10 and words[9] == name:
            default = words[0] == '0' * 32 and words[1] == '00'
            yield from ('default',) if default else ()


def _lines(host: Host, path: str) -> list[str]:
    return (host.tree.text(path, limit=LARGE_BYTES) or '').splitlines()


def _has_address(host: Host, name: str) -> bool:
    for line in _lines(host, 'proc/net/if_inet6'):
        words = line.split()
        if len(words) != 6 or words[5] != name:
            continue
        if not _HEX.match(words[3]) or int(words[3], 16) & 0xF0 != _LINK_SCOPE:
            return True
    return host.live and _has_ipv4(name)


def _has_ipv4(name: str) -> bool:
    request = struct.pack('256s', name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            fcntl.ioctl(handle.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return False
    return True


def storage(host: Host, address: str, names: list[str]) -> list[str]:
    """Return the storage reached through a PCI function, as sentences."""
    device = host.inventory.device[address]
    found = [f'the disk {disk} is on it' for disk in device.disks]
    base = host.tree.real(f'sys/bus/pci/devices/{address}') or ''
    found += [
        f'the SCSI host {entry} is on it'
        for entry in host.tree.names(base)
        if entry.startswith('host') and entry[4:].isdecimal()
    ]
    near = {*names, *(up for name in names for up in uppers(host, name))}
    for entry in host.tree.names('sys/class/iscsi_host'):
        netdev = host.tree.text(f'sys/class/iscsi_host/{entry}/netdev')
        if netdev in near:
            found.append(f'iSCSI sessions of {entry} run over {netdev}')
    return found
