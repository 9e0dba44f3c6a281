"""How many queues a guest's devices can have in total.

Every queue costs interrupt vectors, and each vector a route in KVM's table of
KVM_MAX_IRQ_ROUTES (4096 on x86, arch/x86/include/asm/kvm_host.h): QEMU aborts
when it overflows. A virtio NIC with N queue pairs has 2 N + 2 vectors (a
receive and a transmit queue each, the control queue, the configuration), a
virtio disk with N queues N + 1. Both are QEMU's defaults of ``vectors``.
"""

from dataclasses import dataclass

from kvm_tuning.core.guest import Guest
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site

#: KVM's routes minus those of the interrupt controllers (16 + 24), of PCI
#: bridges, USB, the console and devices that are plugged in later.
ROUTES = 4096 - 256

#: The kernel's MAX_TAP_QUEUES since 4.0.
TAP_QUEUES = 256

#: With more, Windows' virtio driver becomes unstable and takes much memory.
WINDOWS_QUEUES = 8

VIF = 'kvm:vif_queues'
DISK = 'kvm:disk_queues'
MULTIQUEUE = 'hw:vif_multiqueue_enabled'


@dataclass(frozen=True, slots=True)
class Budget:
    """The queues of each NIC and each disk, and what they cost."""

    nic: int
    disk: int
    routes: int
    #: What ``auto`` would give if there were one device only.
    wanted: int


def share(request: Request, guest: Guest, site: Site) -> Budget:
    """Return the queues of each device.

    A requested number is used as it is; ``auto`` is as much as fits, the same
    for every device. Disks without a request have as many queues as vCPUs, as
    QEMU gives them (since 5.2).
    """
    nics = len(guest.queued_nics)
    disks = sum(disk.bus == 'virtio' for disk in guest.data_disks)
    disks += sum(c.model == 'virtio-scsi' for c in guest.scsi_controllers)
    tap = site.capabilities.tap_queues or TAP_QUEUES
    most = most_queues(request, tap)
    asked_nic, asked_disk = request.value(VIF), request.value(DISK)
    auto_nic = _auto_nic(request)
    fixed_nic = asked_nic if isinstance(asked_nic, int) else 1
    fixed_disk = asked_disk if isinstance(asked_disk, int) else None
    unasked_disk = request.vcpus if fixed_disk is None else fixed_disk

    def cost(queues: int) -> tuple[int, int, int]:
        nic = queues if auto_nic else fixed_nic
        disk = min(queues, 256) if asked_disk == 'auto' else unasked_disk
        return nic, disk, nics * (2 * nic + 2) + disks * (disk + 1)

    queues = most
    while queues > 1 and cost(queues)[2] > ROUTES:
        queues -= 1
    return Budget(*cost(queues), wanted=most)


def _auto_nic(request: Request) -> bool:
    asked = request.value(VIF)
    return asked == 'auto' or (
        asked is None and request.value(MULTIQUEUE) is True
    )


def given(request: Request, guest: Guest) -> int | None:
    """Return how many queues ``auto`` has given the devices of a guest; None
    where it has given none.

    A running guest keeps them on every host: with libvirt 11.4 they are part
    of what a guest sees, and another number is refused.
    """
    drivers = [
        *(nic.driver for nic in guest.queued_nics if _auto_nic(request)),
        *(
            disk.driver
            for disk in guest.data_disks
            if disk.bus == 'virtio' and request.value(DISK) == 'auto'
        ),
    ]
    queues = [int(each['queues']) for each in drivers if 'queues' in each]
    return max(queues, default=None)


def in_use(guest: Guest) -> int:
    """Return the routes that the devices of a guest take as they are."""
    nics = sum(
        2 * int(nic.driver.get('queues', 1)) + 2 for nic in guest.queued_nics
    )
    disks = sum(
        int(disk.driver.get('queues', guest.vcpus)) + 1
        for disk in guest.data_disks
        if disk.bus == 'virtio'
    )
    controllers = sum(
        guest.vcpus + 1
        for each in guest.scsi_controllers
        if each.model == 'virtio-scsi'
    )
    return nics + disks + controllers


def most_queues(request: Request, tap: int) -> int:
    """Return what ``auto`` gives one NIC."""
    windows = request.value('os_type') == 'windows'
    return min(request.vcpus, tap, WINDOWS_QUEUES if windows else tap)
