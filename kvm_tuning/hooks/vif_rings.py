"""Ring sizes of the guest's virtio NICs."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, other_nics, unkept

RX = 'kvm:vif_rx_ring'
TX = 'kvm:vif_tx_ring'

_SIZES = Choice(('256', '512', '1024'))


class VifRings(Hook):
    """QEMU's receive ring has 256 slots by default, and bursts overrun it. A
    transmit ring larger than 256 exists only for vhost-user and vdpa NICs
    (libvirt's formatdomain, ``tx_queue_size``).
    """

    name = 'vif_rings'
    knobs = (
        Knob(
            RX,
            _SIZES,
            'Slots of the receive ring of virtio NICs.',
            never_refused='every virtio NIC takes every size',
        ),
        Knob(
            TX,
            _SIZES,
            'Slots of the transmit ring, where libvirt accepts it: '
            'vhost-user and vdpa NICs.',
            of_device=True,
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        rx, tx = request.get(RX), request.get(TX)
        if rx is not None:
            for nic in guest.interfaces:
                if nic.virtio:
                    yield Element(
                        f'{nic.path}/driver', {'rx_queue_size': str(rx.value)}
                    )
            yield from other_nics(
                rx, [n for n in guest.interfaces if not n.virtio]
            )
        if tx is None:
            return
        users = [
            n
            for n in guest.interfaces
            if n.virtio and n.type in ('vhostuser', 'vdpa')
        ]
        for nic in users:
            yield Element(
                f'{nic.path}/driver', {'tx_queue_size': str(tx.value)}
            )
        if not users and tx.value != '256':
            yield unkept(
                tx,
                '256',
                'libvirt accepts a transmit ring size only for vhost-user '
                'and vdpa NICs, and the guest has none',
            )
