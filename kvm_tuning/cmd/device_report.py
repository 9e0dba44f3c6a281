"""Render a host's devices: as a tree, and as flat lists."""

from kvm_tuning.core.inventory import (
    BlockDevice,
    Inventory,
    Nic,
    PciDevice,
)

#: The columns of :func:`rows`.
COLUMNS = (
    'address',
    'device',
    'id',
    'cell',
    'driver',
    'function',
    'interfaces',
    'disks',
)
#: The columns of :func:`nic_rows`.
NIC_COLUMNS = ('name', 'kind', 'pci', 'cell', 'driver', 'Mb/s', 'state', 'mac')
#: The columns of :func:`disk_rows`.
DISK_COLUMNS = ('name', 'GiB', 'kind', 'pci', 'cell', 'scheduler')

# PCI Code and ID Assignment Specification: base and sub-class, then the base
# class alone.
_CLASSES = {
    '0100': 'SCSI controller',
    '0101': 'IDE controller',
    '0104': 'RAID controller',
    '0106': 'SATA controller',
    '0107': 'SAS controller',
    '0108': 'NVMe controller',
    '0200': 'Ethernet controller',
    '0207': 'InfiniBand controller',
    '0300': 'VGA controller',
    '0302': '3D controller',
    '0600': 'host bridge',
    '0601': 'ISA bridge',
    '0604': 'PCI bridge',
    '0c03': 'USB controller',
    '0c04': 'Fibre Channel controller',
    '01': 'storage controller',
    '02': 'network controller',
    '03': 'display controller',
    '04': 'multimedia controller',
    '05': 'memory controller',
    '06': 'bridge',
    '07': 'communication controller',
    '08': 'system peripheral',
    '0b': 'processor',
    '0c': 'serial bus controller',
    '0d': 'wireless controller',
    '11': 'signal processing controller',
    '12': 'accelerator',
}
_INDENT = '  '

Row = tuple[str | int | None, ...]


def device_tree(inventory: Inventory) -> list[str]:
    """Return the PCI functions as the lines of a tree.

    A line tells class, vendor and product, NUMA cell, driver, PF or VF,
    interfaces and disks. VFs stand below their PF, and what is on no PCI
    function comes last.
    """
    below: dict[str | None, list[PciDevice]] = {}
    for device in inventory.devices:
        below.setdefault(_above(inventory, device), []).append(device)
    lines = []
    bus = None
    for device in below.get(None, ()):
        if bus != device.address.rpartition(':')[0]:
            bus = device.address.rpartition(':')[0]
            lines.append(f'pci{bus}')
        _walk(inventory, device, below, 1, lines)
    nics = [nic for nic in inventory.nics if nic.pci is None]
    disks = [disk for disk in inventory.disks if disk.pci is None]
    if nics or disks:
        lines.append('on no PCI function')
        lines += [f'{_INDENT}{_nic(nic)}' for nic in nics]
        lines += [f'{_INDENT}{_disk(disk)}' for disk in disks]
    return lines


def rows(inventory: Inventory) -> list[Row]:
    """Return one row for each PCI function."""
    return [
        (
            device.address,
            _what(device),
            f'{device.vendor}:{device.product}',
            device.cell,
            device.driver,
            _role(device),
            ' '.join(device.interfaces),
            ' '.join(device.disks),
        )
        for device in inventory.devices
    ]


def nic_rows(inventory: Inventory) -> list[Row]:
    """Return one row for each network interface."""
    return [
        (
            nic.name,
            nic.kind,
            nic.pci,
            nic.cell,
            nic.driver,
            nic.speed_mbps,
            'up' if nic.up else 'down',
            nic.mac,
        )
        for nic in inventory.nics
    ]


def disk_rows(inventory: Inventory) -> list[Row]:
    """Return one row for each block device."""
    return [
        (
            disk.name,
            f'{disk.size_bytes / (1 << 30):.1f}',
            _rotation(disk),
            disk.pci,
            disk.cell,
            disk.scheduler,
        )
        for disk in inventory.disks
    ]


def _above(inventory: Inventory, device: PciDevice) -> str | None:
    """Return what a function stands below: its PF, or the bridge above."""
    for address in (device.pf, device.parent):
        if address is not None and address in inventory.device:
            return address
    return None


def _walk(
    inventory: Inventory,
    device: PciDevice,
    below: dict[str | None, list[PciDevice]],
    depth: int,
    lines: list[str],
) -> None:
    lines.append(f'{_INDENT * depth}{_line(inventory, device)}')
    for child in below.get(device.address, ()):
        _walk(inventory, child, below, depth + 1, lines)


def _line(inventory: Inventory, device: PciDevice) -> str:
    facts = [
        f'{device.address} {_what(device)} {device.vendor}:{device.product}',
        _cell(device.cell),
        device.driver or 'no driver',
        _role(device),
        *(_nic(nic) for nic in inventory.nics if nic.pci == device.address),
        *(
            _disk(disk)
            for disk in inventory.disks
            if disk.pci == device.address
        ),
    ]
    if device.iommu_group is not None:
        facts.insert(2, f'IOMMU group {device.iommu_group}')
    return ', '.join(fact for fact in facts if fact)


def _what(device: PciDevice) -> str:
    code = device.pci_class
    return _CLASSES.get(code[:4]) or _CLASSES.get(code[:2]) or f'class {code}'


def _cell(cell: int | None) -> str:
    return 'no cell' if cell is None else f'cell {cell}'


def _role(device: PciDevice) -> str:
    if device.pf is not None:
        index = '' if device.vf_index is None else f' {device.vf_index}'
        return f'VF{index} of {device.pf}'
    if device.total_vfs:
        return f'PF with {len(device.vfs)} of {device.total_vfs} VFs'
    return ''


def _nic(nic: Nic) -> str:
    speed = '' if nic.speed_mbps is None else f' at {nic.speed_mbps} Mb/s'
    return f'{nic.kind} {nic.name} {"up" if nic.up else "down"}{speed}'


def _rotation(disk: BlockDevice) -> str:
    return 'rotating' if disk.rotational else 'not rotating'


def _disk(disk: BlockDevice) -> str:
    size = f'{disk.size_bytes / (1 << 30):.1f} GiB'
    scheduler = disk.scheduler or 'no scheduler'
    return f'disk {disk.name} {size} {_rotation(disk)} {scheduler}'
