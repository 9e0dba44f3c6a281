"""A guest that stands for all guests of a flavor."""

from kvm_tuning.core.guest import Disk, Guest, Interface
from kvm_tuning.core.request import Request


def example(request: Request, name: str = '') -> Guest:
    """Return a guest that has what a flavor's promises may be about.

    :param name: its name; '': the flavor's.
    """
    return Guest(
        name=name or request.flavor,
        uuid=None,
        type='kvm',
        arch=None,
        machine=None,
        vcpus=request.vcpus,
        memory_kib=request.memory_mib * 1024,
        disks=(Disk('vda', 'virtio', 'disk', 'block', 'the disk'),),
        interfaces=(
            Interface('52:54:00:00:00:01', 'bridge', 'virtio'),
            Interface(
                '52:54:00:00:00:02', 'direct', 'virtio', {'dev': 'the NIC'}
            ),
        ),
        cpu_mode='host-passthrough',
    )
