"""What the guest's operating system means for its devices."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence
from kvm_tuning.core.exceptions import RequestError
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob, Word
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome

TYPE = 'os_type'
DISTRO = 'os_distro'


class GuestOs(Hook):
    """Linux takes virtio everywhere. For Windows the plan reports what is
    known about its drivers; the queue budget and the VFs have rules of their
    own.
    """

    name = 'guest_os'
    knobs = (
        Knob(
            TYPE,
            Choice(('linux', 'windows')),
            'Kind of operating system in the image.',
            nova=True,
            image=TYPE,
            preferable=False,
        ),
        Knob(
            DISTRO,
            Word("a distribution's name as libosinfo spells it"),
            'Distribution in the image.',
            nova=True,
            image=DISTRO,
            preferable=False,
            unaudited='a note about the image; nothing depends on it',
            never_refused='nothing depends on it',
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        distro = request.value(DISTRO)
        if distro is not None:
            yield Consequence(
                'guest-distribution',
                'operator',
                f'the image declares its distribution as {distro}',
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        if request.value(TYPE) != 'windows':
            return
        if guest.virtio_nics:
            yield Consequence(
                'windows-virtio-nic',
                'tenant',
                'old virtio drivers for Windows drop packets under load: '
                'keep them current, or use hw_vif_model=e1000 for light '
                'traffic and an SR-IOV VF (kvm:vfs) for heavy traffic',
            )
        if any(disk.bus == 'virtio' for disk in guest.data_disks):
            yield Consequence(
                'windows-virtio-disk',
                'tenant',
                'Windows starts from a virtio disk only if the virtio driver '
                'is already in the image',
            )
