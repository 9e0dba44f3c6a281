"""Queues of the guest's virtio NICs."""

from collections.abc import Iterable

from kvm_tuning.core import queue_budget
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Count, Flag, Knob
from kvm_tuning.core.placement import Placement, Unkept
from kvm_tuning.core.queue_budget import (
    MULTIQUEUE,
    ROUTES,
    TAP_QUEUES,
    WINDOWS_QUEUES,
    Budget,
)
from kvm_tuning.core.queue_budget import VIF as QUEUES
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, other_nics, unkept


class VifQueues(Hook):
    """A queue is a pair (receive and transmit). More queues than vCPUs are of
    no use, the guest does not start with more than the tap device takes, and
    all its devices share one interrupt budget.
    """

    name = 'vif_queues'
    knobs = (
        Knob(
            QUEUES,
            Count(1, TAP_QUEUES, ('auto',)),
            'Queues of each virtio NIC, at most one per vCPU. auto: as many '
            "as vCPUs, within the limits of the tap device and the guest's "
            'interrupt budget. The guest must enable them (ethtool -L).',
            queues_of='interface',
        ),
        Knob(
            MULTIQUEUE,
            Flag(),
            f'true: queues as with {QUEUES}=auto; false: one queue.',
            nova=True,
            image='hw_vif_multiqueue_enabled',
            preferable=False,
            queues_of='interface',
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
        if not isinstance(queues.value, int):
            return
        if queues.value > request.vcpus:
            yield ConflictingKnobs(
                f'{queues}: more queues than vCPUs ({request.vcpus}) are of '
                f'no use; set at most {request.vcpus}, or auto'
            )
        windows = request.value('os_type') == 'windows'
        if windows and queues.value > WINDOWS_QUEUES:
            yield ConflictingKnobs(
                f'{queues}: the virtio driver for Windows is stable with at '
                f'most {WINDOWS_QUEUES} queues'
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(QUEUES)
        limit = site.capabilities.tap_queues or TAP_QUEUES
        if asked is not None and isinstance(asked.value, int):
            most = queue_budget.most_queues(request, limit)
            if asked.value > most:
                yield unkept(
                    asked,
                    str(most),
                    f'a tap device here takes at most {limit}',
                )
        any_asked = asked or request.get(MULTIQUEUE)
        if any_asked is not None:
            yield from other_nics(
                any_asked, [n for n in guest.interfaces if not n.queued]
            )
        if not guest.queued_nics:
            yield Consequence(
                'no-virtio-nic',
                'operator',
                f'{any_asked}: the guest has no virtio '
                'NIC, so there is nothing to do',
            )
            return
        budget = queue_budget.share(request, guest, site)
        if any_asked is not None and budget.routes > ROUTES:
            yield over_budget(any_asked, budget)
            return
        count = min(budget.nic, queue_budget.most_queues(request, limit))
        for nic in guest.queued_nics:
            yield Element(f'{nic.path}/driver', {'queues': str(count)})
        yield from _notes(budget, count, len(guest.queued_nics))


def over_budget(asked: Asked, budget: Budget) -> Unkept:
    """Return the note that the devices would take too many interrupts.

    :raises ConflictingKnobs: a promise would take them.
    """
    why = (
        f'with it the devices of the guest take {budget.routes} interrupts, '
        f'and KVM can route {ROUTES}'
    )
    if asked.promise:
        raise ConflictingKnobs(
            f'{asked}: {why}; ask for fewer queues, or auto'
        )
    return unkept(asked, 'not set', why)


def queues_of(request: Request, guest: Guest, site: Site) -> int:
    """Return the queues of each virtio NIC."""
    limit = site.capabilities.tap_queues or TAP_QUEUES
    most = queue_budget.most_queues(request, limit)
    return min(queue_budget.share(request, guest, site).nic, most)


def _notes(budget: Budget, count: int, nics: int) -> Iterable[Outcome]:
    if count < budget.wanted and budget.routes > ROUTES - 2 * nics:
        yield Consequence(
            'queues-shared',
            'operator',
            f'{count} queues for each of {nics} NICs instead of '
            f'{budget.wanted}: together the devices take {budget.routes} of '
            f'the {ROUTES} interrupts that KVM can route',
        )
    if count > 1:
        yield Consequence(
            'enable-queues',
            'tenant',
            f'the guest uses {count} queues per NIC only after `ethtool -L '
            f'<nic> combined {count}`',
        )
