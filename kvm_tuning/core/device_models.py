"""The guest's devices with the models that its image requests."""

from dataclasses import replace

from kvm_tuning.core.guest import Controller, Guest, Interface
from kvm_tuning.core.references import drives
from kvm_tuning.core.request import Request

VIF = 'hw_vif_model'
BUS = 'hw_disk_bus'


def applied(request: Request, guest: Guest) -> Guest:
    """Return ``guest`` with the requested NIC model and disk bus: queues and
    backends are chosen for the devices that it will have.
    """
    model, bus = request.value(VIF), request.value(BUS)
    if model is not None:
        guest = replace(
            guest,
            interfaces=tuple(
                nic
                if nic.type == 'hostdev' or has_model(nic, str(model))
                else replace(nic, model=str(model))
                for nic in guest.interfaces
            ),
        )
    if bus is None:
        return guest
    moved = {d.target for d in guest.data_disks if d.bus != bus}
    controllers = guest.scsi_controllers
    if moved and bus == 'scsi':
        there = {c.index: c.model for c in controllers}
        index = drives.scsi_index(there.items())
        if index not in there:
            controllers = (*controllers, Controller(index, 'virtio-scsi'))
    return replace(
        guest,
        disks=tuple(
            replace(disk, bus=str(bus), address=None)
            if disk.target in moved
            else disk
            for disk in guest.disks
        ),
        scsi_controllers=controllers,
    )


def has_model(nic: Interface, model: str) -> bool:
    """Return whether a NIC is of ``model`` already: virtio has variants."""
    return nic.model == model or (model == 'virtio' and nic.virtio)
