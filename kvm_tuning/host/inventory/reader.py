"""Read the inventory of a host, below any root."""

import logging

from kvm_tuning.core.inventory import Inventory
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory import cells, cpus
from kvm_tuning.host.inventory import devices as host_devices

LOG = logging.getLogger(__name__)


def read(root: str = '/', devices: bool = True) -> Inventory:
    """Return the inventory of the machine below ``root``.

    :param devices: False leaves out PCI, network and block devices.
    :raises InventoryUnreadable: the files are missing or not as documented.
    """
    tree = Tree(root)
    LOG.debug('read the CPUs, cells and devices of the host below %s', root)
    oddities: list[str] = []
    ids = cells.read_ids(tree)
    cell_of = None
    if ids:
        ids, cell_of = cells.read_cpus(tree, ids, oddities)
    found = cpus.read(tree, cell_of, oddities)
    online = {cpu.id: cpu.cell for cpu in found}
    if ids:
        read_cells = cells.read(tree, ids, online, oddities)
    else:
        whole = cells.read_whole(tree, frozenset(online), oddities)
        read_cells = (whole,)
    found_devices = (
        host_devices.read(tree, oddities) if devices else host_devices.NOTHING
    )
    return Inventory(
        cpus=found,
        cells=read_cells,
        memory_bytes=sum(cell.memory_bytes for cell in read_cells),
        page_size_kib=cells.read_page_size_kib(tree),
        devices=found_devices.pci,
        nics=found_devices.nics,
        disks=found_devices.disks,
        oddities=tuple(dict.fromkeys(oddities)),
    )
