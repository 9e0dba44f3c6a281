"""Queues of the guest's virtio NICs."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Count, Flag, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

QUEUES = 'kvm:vif_queues'
MULTIQUEUE = 'hw:vif_multiqueue_enabled'

# The kernel's MAX_TAP_QUEUES since 4.0.
_TAP_QUEUES = 256


class VifQueues(Hook):
    """A queue is a pair (receive and transmit). More queues than vCPUs are
    of no use; more than the tap device takes do not start.
    """

    name = 'vif_queues'
    knobs = (
        Knob(
            QUEUES,
            Count(1, _TAP_QUEUES, ('auto',)),
            'Queues of each virtio NIC, at most one a vCPU. auto: as many as '
            'vCPUs, within what the tap device takes. The guest must enable '
            'them (ethtool -L).',
        ),
        Knob(
            MULTIQUEUE,
            Flag(),
            f'Queues as with {QUEUES}=auto (true) or one queue (false).',
            nova=True,
            image='hw_vif_multiqueue_enabled',
            preferable=False,
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        queues, multi = request.get(QUEUES), request.get(MULTIQUEUE)
        if queues is None or not queues.promise:
            return
        if multi is not None and not multi.value and queues.value != 1:
            yield ConflictingKnobs(
                f'{queues} contradicts {multi}: remove one of them'
            )
        if isinstance(queues.value, int) and queues.value > request.vcpus:
            yield ConflictingKnobs(
                f'{queues}: more queues than vCPUs ({request.vcpus}) are of '
                f'no use; set at most {request.vcpus}, or auto'
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        limit = site.capabilities.tap_queues or _TAP_QUEUES
        asked = request.get(QUEUES)
        count = min(request.vcpus, limit)
        if asked is not None and isinstance(asked.value, int):
            if asked.value > limit:
                yield unkept(
                    asked, str(limit), f'a tap device here takes {limit}'
                )
            count = min(asked.value, count)
        elif asked is None and not request.value(MULTIQUEUE):
            count = 1
        if not guest.virtio_nics:
            yield from _no_nic(asked)
            return
        for nic in guest.virtio_nics:
            yield Element(f'{nic.path}/driver', {'queues': str(count)})
        if count > 1:
            yield Consequence(
                'enable-queues',
                'tenant',
                f'the guest uses {count} queues a NIC only after '
                f'`ethtool -L <nic> combined {count}`',
            )


def _no_nic(asked: Asked | None) -> Iterable[Outcome]:
    if asked is not None:
        yield Consequence(
            'no-virtio-nic',
            'operator',
            f'{asked}: the guest has no virtio NIC, nothing to do',
        )
