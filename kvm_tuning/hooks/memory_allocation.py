"""When the host gives the guest its memory."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

ALLOCATION = 'kvm:memory_allocation'


class MemoryAllocation(Hook):
    """libvirt's ``<allocation mode=.../>`` below ``<memoryBacking>``."""

    name = 'memory_allocation'
    knobs = (
        Knob(
            ALLOCATION,
            Choice(('immediate', 'ondemand')),
            'immediate: all memory is allocated before the guest starts, so '
            'that no page fault slows it later. ondemand: memory is '
            'allocated when it is first touched.',
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(ALLOCATION)
        if asked is None:
            return
        mode = str(asked.value)
        if mode == 'ondemand' and (
            guest.huge_pages or any(c.page_kib for c in placement.cells)
        ):
            # libvirt: "hugepages are not allowed with memory allocation
            # ondemand".
            yield unkept(
                asked, 'immediate', 'huge pages are allocated at the start'
            )
            return
        yield Element('memoryBacking/allocation', {'mode': mode})
        if mode == 'immediate':
            yield Consequence(
                'slower-start',
                'tenant',
                'the guest starts more slowly: its memory is allocated first',
            )
