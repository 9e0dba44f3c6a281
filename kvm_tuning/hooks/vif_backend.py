"""Backend of the guest's virtio NICs: the kernel's vhost, or QEMU."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, other_nics, unkept, works

BACKEND = 'kvm:vif_backend'


class VifBackend(Hook):
    """libvirt silently drops vhost for a domain of type qemu and where
    /dev/vhost-net is missing, so both are refused here.
    """

    name = 'vif_backend'
    knobs = (
        Knob(
            BACKEND,
            Choice(('vhost', 'qemu')),
            'What moves the packets of virtio NICs: the kernel (vhost, '
            'faster) or QEMU.',
            traits={'vhost': '_VHOST'},
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(BACKEND)
        if asked is None:
            return
        if asked.value == 'vhost':
            why = None
            if guest.type != 'kvm':
                why = (
                    f'the domain is of type {guest.type}, and vhost needs kvm'
                )
            elif not works(site.capabilities.vhost_net):
                why = site.capabilities.vhost_net.reason
            if why is not None:
                yield unkept(asked, 'qemu', why)
                return
        for nic in guest.virtio_nics:
            yield Element(f'{nic.path}/driver', {'name': str(asked.value)})
        yield from other_nics(
            asked, [n for n in guest.interfaces if not (n.virtio and n.tapped)]
        )
        if not guest.virtio_nics:
            yield Consequence(
                'no-virtio-nic',
                'operator',
                f'{asked}: the guest has no virtio NIC, so there is nothing '
                'to do',
            )
