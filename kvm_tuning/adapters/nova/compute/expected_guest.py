"""A guest as it will be, as far as its flavor and its claim determine it."""

from typing import Any

import nova.conf
from nova.virt import hardware

from kvm_tuning.core.guest import Disk, Guest, Numa

CONF = nova.conf.CONF

# Nova opens images with O_DIRECT wherever that works.
_DISK = Disk('vda', 'virtio', 'disk', 'file', '', {'cache': 'none'})


def guest(flavor: Any, numa: Any) -> Guest:
    """Return the guest of a flavor on this host.

    :param numa: the claimed ``InstanceNUMATopology``; None for none: its vCPUs
        float over the shared pCPUs.
    """
    cells = [] if numa is None else list(numa.cells)
    shared = hardware.get_cpu_shared_set() if numa is None else None
    alone = {p for cell in cells for p in cell.cpuset_reserved or ()}
    return Guest(
        name=flavor.name,
        uuid=None,
        type=CONF.libvirt.virt_type,
        arch=None,
        machine=None,
        vcpus=flavor.vcpus,
        memory_kib=flavor.memory_mb * 1024,
        disks=(_DISK,),
        cells=tuple(
            Numa(index, frozenset(cell.total_cpus), cell.memory * 1024)
            for index, cell in enumerate(cells)
        ),
        pins={
            vcpu: frozenset({pcpu})
            for cell in cells
            for vcpu, pcpu in (cell.cpu_pinning or {}).items()
        },
        emulator_pin=frozenset(alone) or None,
        memory_nodes=frozenset(cell.id for cell in cells) or None,
        memnodes={
            index: frozenset({cell.id}) for index, cell in enumerate(cells)
        },
        cpuset=frozenset(shared) if shared else None,
        cpu_mode=CONF.libvirt.cpu_mode,
    )
