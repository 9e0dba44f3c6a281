"""Read PCI functions, network interfaces and block devices.

The kernel's Documentation/ABI/testing/sysfs-bus-pci, sysfs-class-net and
Documentation/ABI/stable/sysfs-block name the files.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
import re
from typing import TypeVar

from kvm_tuning.core import whole
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.inventory import BlockDevice, Nic, PciDevice
from kvm_tuning.host.access import attribute
from kvm_tuning.host.access.sysfs import Tree

_PCI = 'sys/bus/pci/devices'
_NET = 'sys/class/net'
_ADDRESS = re.compile(r'\A[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z')
_VIRTFN = re.compile(r'\Avirtfn(\d{1,5})\Z')
_SECTOR_BYTES = 512
_IFF_UP = 0x1
_ARPHRD_LOOPBACK = 772
# SPEED_UNKNOWN, as kernels of different ages print it.
_NO_SPEED = frozenset({-1, 0, 0xFFFF, 0xFFFFFFFF})


@dataclass(frozen=True, slots=True)
class Devices:
    """All devices of a host, sorted by address or name."""

    pci: tuple[PciDevice, ...]
    nics: tuple[Nic, ...]
    disks: tuple[BlockDevice, ...]


NOTHING = Devices((), (), ())


def read(tree: Tree, oddities: list[str]) -> Devices:
    """Return the devices; none where there is no PCI bus or no class.

    :param oddities: takes the devices that cannot be read, a sentence each.
    """
    pci = _read_pci(tree, oddities)
    cell_of = {address: device.cell for address, device in pci.items()}
    nics = _read_nics(tree, cell_of, oddities)
    disks = _read_disks(tree, cell_of, oddities)
    interfaces = _by_function((nic.pci, nic.name) for nic in nics)
    names = _by_function((disk.pci, disk.name) for disk in disks)
    return Devices(
        tuple(
            replace(
                device,
                interfaces=interfaces.get(address, ()),
                disks=names.get(address, ()),
            )
            for address, device in sorted(pci.items())
        ),
        nics,
        disks,
    )


def _by_function(
    named: Iterable[tuple[str | None, str]],
) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for address, name in named:
        if address is not None:
            found[address] = (*found.get(address, ()), name)
    return found


_Read = TypeVar('_Read')


def _each(
    names: Iterable[str],
    look: Callable[[str], _Read | None],
    oddities: list[str],
) -> Iterator[_Read]:
    """Yield what each name is; one that cannot be read stops no other."""
    for name in names:
        try:
            found = look(name)
        except InventoryUnreadable as error:
            oddities.append(str(error))
            continue
        if found is not None:
            yield found


def _read_pci(tree: Tree, oddities: list[str]) -> dict[str, PciDevice]:
    def look(address: str) -> PciDevice | None:
        real = tree.real(f'{_PCI}/{address}')
        if real is None or not _ADDRESS.match(address):
            return None
        return _read_function(tree, address, real)

    found = {
        device.address: device
        for device in _each(tree.names(_PCI), look, oddities)
    }
    for device in list(found.values()):
        for index, vf in enumerate(device.vfs):
            if vf in found:
                found[vf] = replace(
                    found[vf], pf=device.address, vf_index=index
                )
    return found


def _read_function(tree: Tree, address: str, real: str) -> PciDevice:
    shown = frozenset(tree.names(real))
    above = real.split('/')[-2:-1]
    group = tree.link_name(f'{real}/iommu_group')
    return PciDevice(
        address=address,
        vendor=_hex(tree.text(f'{real}/vendor')),
        product=_hex(tree.text(f'{real}/device')),
        pci_class=_hex(tree.text(f'{real}/class')),
        cell=_cell(tree, real),
        driver=tree.link_name(f'{real}/driver'),
        parent=above[0] if above and _ADDRESS.match(above[0]) else None,
        total_vfs=(tree.number(f'{real}/sriov_totalvfs') or 0)
        if 'sriov_totalvfs' in shown
        else 0,
        vfs=_read_vfs(tree, real, shown),
        pf=tree.link_name(f'{real}/physfn') if 'physfn' in shown else None,
        iommu_group=whole.number(group),
    )


def _read_vfs(tree: Tree, real: str, shown: frozenset[str]) -> tuple[str, ...]:
    numbers = sorted(
        int(match[1]) for name in shown if (match := _VIRTFN.match(name))
    )
    names = (tree.link_name(f'{real}/virtfn{number}') for number in numbers)
    return tuple(name for name in names if name)


def _hex(text: str | None) -> str:
    """Strip the prefix of ``0x8086``."""
    return (text or '').removeprefix('0x')


def _cell(tree: Tree, device: str) -> int | None:
    cell = tree.number(f'{device}/numa_node')
    return None if cell is None or cell < 0 else cell


def _function_above(real: str) -> str | None:
    """Return the PCI function nearest above a device."""
    for name in reversed(real.split('/')):
        if _ADDRESS.match(name):
            return name
    return None


def _read_nics(
    tree: Tree, cell_of: Mapping[str, int | None], oddities: list[str]
) -> tuple[Nic, ...]:
    return tuple(
        _each(
            tree.names(_NET),
            lambda name: _read_nic(tree, name, cell_of),
            oddities,
        )
    )


def _read_nic(
    tree: Tree, name: str, cell_of: Mapping[str, int | None]
) -> Nic | None:
    real = tree.real(f'{_NET}/{name}')
    # bonding_masters is a file among them.
    shown = frozenset(tree.names(real)) if real else frozenset()
    if real is None or not shown:
        return None
    if tree.number(f'{real}/type') == _ARPHRD_LOOPBACK:
        return None
    pci = _function_above(real)
    return Nic(
        name=name,
        mac=tree.text(f'{real}/address') or '',
        pci=pci,
        driver=tree.link_name(f'{real}/device/driver'),
        cell=_cell(tree, f'{real}/device')
        if pci is None
        else cell_of.get(pci),
        kind=_kind(tree, real, shown),
        speed_mbps=_speed(tree, real),
        up=_is_up(tree, real),
    )


def _kind(tree: Tree, real: str, shown: frozenset[str]) -> str:
    if 'device' in shown:
        return 'physical'
    for entry, kind in (
        ('bridge', 'bridge'),
        ('bonding', 'bond'),
        ('tun_flags', 'tap'),
        ('macvtap', 'macvtap'),
    ):
        if entry in shown:
            return kind
    if 'DEVTYPE=vlan' in (tree.text(f'{real}/uevent') or '').splitlines():
        return 'vlan'
    return 'virtual'


def _speed(tree: Tree, real: str) -> int | None:
    speed = tree.number(f'{real}/speed')
    return None if speed in _NO_SPEED else speed


def _is_up(tree: Tree, real: str) -> bool:
    """Return whether an interface can carry traffic.

    Its state is ``unknown`` where the driver does not report the link.
    """
    state = tree.text(f'{real}/operstate')
    if state != 'unknown':
        return state == 'up'
    return bool((tree.number(f'{real}/flags') or 0) & _IFF_UP)


def _read_disks(
    tree: Tree, cell_of: Mapping[str, int | None], oddities: list[str]
) -> tuple[BlockDevice, ...]:
    base = 'sys/class/block'
    names = tree.names(base)
    if not names:
        base = 'sys/block'
        names = tree.names(base)

    def look(name: str) -> BlockDevice | None:
        real = tree.real(f'{base}/{name}')
        if real is None or name.startswith('ram'):
            return None
        return _read_disk(tree, name, real, cell_of)

    return tuple(_each(names, look, oddities))


def _read_disk(
    tree: Tree, name: str, real: str, cell_of: Mapping[str, int | None]
) -> BlockDevice | None:
    """Return a whole disk; None for a partition, for a drive or loop device
    with nothing in it, and for the single paths of a multipath NVMe.
    """
    shown = frozenset(tree.names(real))
    size = tree.number(f'{real}/size') or 0
    if 'partition' in shown or not size:
        return None
    if 'hidden' in shown and tree.number(f'{real}/hidden'):
        return None
    pci = _function_above(real) or _nvme_function(tree, real)
    scheduler, schedulers = _schedulers(tree.text(f'{real}/queue/scheduler'))
    return BlockDevice(
        name=name,
        size_bytes=size * _SECTOR_BYTES,
        rotational=tree.number(f'{real}/queue/rotational') == 1,
        scheduler=scheduler,
        schedulers=schedulers,
        pci=pci,
        cell=None if pci is None else cell_of.get(pci),
    )


def _nvme_function(tree: Tree, real: str) -> str | None:
    """Return the function of a multipath NVMe's head, which is below
    ``nvme-subsystem/nvme-subsysN``, where that has one controller.
    """
    subsystem = real.rpartition('/')[0]
    if '/nvme-subsystem/' not in subsystem:
        return None
    functions = {
        _function_above(controller)
        for name in tree.names(subsystem)
        if name.startswith('nvme')
        and tree.link_name(f'{subsystem}/{name}')
        and (controller := tree.real(f'{subsystem}/{name}'))
    }
    return functions.pop() if len(functions) == 1 else None


def _schedulers(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the scheduler in use and all there are, of the kernel's
    ``mq-deadline [none]``. A device that has no choice shows no bracket: the
    word ``none`` (block/elevator.c, of a queue without one), or nothing.
    """
    chosen, options = attribute.choice(text or '')
    if chosen is None:
        return (options[0] if len(options) == 1 else None), ()
    return chosen, options
