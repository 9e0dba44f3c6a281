"""Queues of the guest's virtio disks."""

from collections.abc import Iterable

from kvm_tuning.core import queue_budget
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Count, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.queue_budget import DISK as QUEUES
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome
from kvm_tuning.hooks.vif_queues import over_budget


class DiskQueues(Hook):
    """virtio-blk has queues per disk, virtio-scsi per controller."""

    name = 'disk_queues'
    knobs = (
        Knob(
            QUEUES,
            Count(1, 256, ('auto',)),
            'Queues of each virtio disk or virtio-scsi controller. auto: as '
            "many as vCPUs, within the guest's interrupt budget.",
            queues_of='disk',
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(QUEUES)
        budget = queue_budget.share(request, guest, site)
        if asked is not None and budget.routes > queue_budget.ROUTES:
            yield over_budget(asked, budget)
            return
        count = budget.disk
        if count > request.vcpus:
            yield Consequence(
                'idle-queues',
                'tenant',
                f'{count} disk queues for {request.vcpus} vCPUs: Linux uses '
                'at most one queue per vCPU',
            )
        for disk in guest.data_disks:
            if disk.bus == 'virtio':
                yield Element(f'{disk.path}/driver', {'queues': str(count)})
        for controller in guest.scsi_controllers:
            if controller.model == 'virtio-scsi':
                yield Element(
                    f'{controller.path}/driver', {'queues': str(count)}
                )
