"""What keeps the kernel from making VFs, as far as /sys shows in advance.

The kernel's drivers/pci/iov.c: VFs take addresses that were set aside for
them (ENOMEM: "not enough MMIO resources for SR-IOV") and bus numbers that the
bridge above hands on ("bus ... out of range").
"""

from collections.abc import Iterator
import re

from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.host.inventory import architecture
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov import models
from kvm_tuning.host.prep.kinds import command_line

_IFF_UP = 0x1
#: Lines of ``resource``: six BARs and the ROM, then the VFs' six BARs.
_FIRST_VF_BAR, _VF_BARS = 7, 6
#: IORESOURCE_IO and IORESOURCE_MEM of linux/ioport.h.
_IS_BAR = 0x300
_NUMBER = re.compile(r'0x[0-9a-f]{1,16}')


def find(host: Host, pf: PciDevice, wanted: int) -> Iterator[str]:
    """Yield why the kernel will not make ``wanted`` VFs, with the remedy."""
    if not wanted:
        return
    if models.find(pf.vendor, pf.product, pf.driver).wants_up:
        for name in pf.interfaces:
            if not _is_up(host, name):
                yield (
                    f'its driver {pf.driver} makes VFs only while the port is '
                    f'up, and {name} is down (ip link set {name} up); at boot '
                    f'host-prep runs before the network, so bring it up '
                    f'before host-prep'
                )
    if _no_addresses(host, pf):
        yield f'no addresses are set aside for its VFs: {_addresses(host)}'
    last = _last_bus(host, pf, wanted)
    if last is not None:
        yield (
            f'its VFs would reach bus {last[0]:02x}, and the bridge '
            f'{pf.parent} hands on buses up to {last[1]:02x}: '
            f'{_buses(host)}'
        )


def no_room(host: Host) -> str:
    """Return what ENOMEM can mean, and how dmesg tells the two cases apart."""
    return (
        f'there is no room for VFs. dmesg says of which kind: "not enough '
        f'MMIO resources" or "BAR ... no space": {_addresses(host)}; "bus ... '
        f'out of range": {_buses(host)}'
    )


def _addresses(host: Host) -> str:
    words = 'SR-IOV'
    if architecture.read(host.tree) != architecture.ARM64:
        words = 'SR-IOV and above 4G decoding (64-bit MMIO; BIOS)'
    return f'turn {words} on in the firmware of the machine, or ' + _argument(
        host, 'realloc', 'have the kernel assign them again'
    )


def _buses(host: Host) -> str:
    # kernel-parameters.txt has the argument for x86 alone.
    if architecture.read(host.tree) not in (
        architecture.X86,
        architecture.UNKNOWN,
    ):
        return 'the firmware has to give that bridge more bus numbers'
    return _argument(
        host, 'assign-busses', 'have the kernel number the buses again'
    )


def _argument(host: Host, word: str, purpose: str) -> str:
    given = ','.join(command_line.values(host.command_line, 'pci')).split(',')
    if any(each.partition('=')[0] == word for each in given):
        return f'pci={word} is given already and was not enough'
    return f'{purpose} with the kernel argument pci={word}'


def _is_up(host: Host, name: str) -> bool:
    flags = host.tree.text(f'sys/class/net/{name}/flags') or ''
    if re.fullmatch(r'0x[0-9a-f]{1,8}', flags):
        return bool(int(flags, 16) & _IFF_UP)
    return any(nic.name == name and nic.up for nic in host.inventory.nics)


def _no_addresses(host: Host, pf: PciDevice) -> bool:
    """Tell whether the kernel found a place for none of the VFs' BARs."""
    path = f'sys/bus/pci/devices/{pf.address}/resource'
    lines = (host.tree.text(path) or '').splitlines()
    bars = []
    for line in lines[_FIRST_VF_BAR : _FIRST_VF_BAR + _VF_BARS]:
        words = line.split()
        if len(words) != 3 or not all(map(_NUMBER.fullmatch, words)):
            return False
        start, _end, flags = (int(word, 16) for word in words)
        if start or flags & _IS_BAR:
            bars.append(start)
    return len(lines) >= _FIRST_VF_BAR + _VF_BARS and not any(bars)


def _last_bus(
    host: Host, pf: PciDevice, wanted: int
) -> tuple[int, int] | None:
    """Return the bus of the last VF and the last bus available to it; None
    when it fits, or when it cannot be known.
    """
    home = f'sys/bus/pci/devices/{pf.address}'
    offset = host.tree.number(f'{home}/sriov_offset')
    stride = host.tree.number(f'{home}/sriov_stride')
    if not offset or stride is None or pf.parent is None:
        return None
    end = host.tree.number(
        f'sys/bus/pci/devices/{pf.parent}/subordinate_bus_number'
    )
    bus, slot, function = re.split('[:.]', pf.address)[1:]
    number = int(slot, 16) << 3 | int(function)
    last = int(bus, 16) + (number + offset + stride * (wanted - 1) >> 8)
    return None if end is None or last <= end else (last, end)
