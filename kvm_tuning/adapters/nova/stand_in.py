"""A guest as it will be, as far as its flavor and its claim tell."""

from typing import Any

from kvm_tuning.core.guest import Disk, Guest, Numa

# Nova opens images with O_DIRECT wherever that works.
_DISK = Disk('vda', 'virtio', 'disk', 'file', '', {'cache': 'none'})


def guest(flavor: Any, numa: Any, virt_type: str) -> Guest:
    """Return the guest of a flavor.

    :param numa: the claimed ``InstanceNUMATopology``; None for none.
    """
    cells = [] if numa is None else list(numa.cells)
    return Guest(
        name=flavor.name,
        uuid=None,
        type=virt_type,
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
        memory_nodes=frozenset(cell.id for cell in cells) or None,
        memnodes={
            index: frozenset({cell.id}) for index, cell in enumerate(cells)
        },
    )
