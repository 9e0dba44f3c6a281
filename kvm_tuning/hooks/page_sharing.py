"""Whether KSM may merge the guest's pages with those of others."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Absent, Consequence, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Flag, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome

SHARING = 'kvm:page_sharing'


class PageSharing(Hook):
    """libvirt's ``<nosharepages/>`` makes QEMU map the guest memory without
    MADV_MERGEABLE, so that KSM leaves it alone.
    """

    name = 'page_sharing'
    knobs = (
        Knob(
            SHARING,
            Flag(),
            'false: KSM never merges pages of this guest. That avoids the '
            'copy at its next write and the timing side channel.',
            never_refused='QEMU can always keep its memory from KSM',
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        if request.value(SHARING):
            yield Absent('memoryBacking/nosharepages')
            return
        yield Element('memoryBacking/nosharepages')
        yield Consequence(
            'no-page-sharing',
            'operator',
            'KSM saves no memory on this guest: do not count on it for '
            'overcommit',
        )
