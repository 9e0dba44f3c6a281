"""vCPU pinning: dedicated pCPUs close to each other, or a shared set."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import (
    Demand,
    Locality,
    LocalityDemand,
    ThreadDemand,
    ThreadPolicy,
)
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob, VcpuList
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.core.xml import pins
from kvm_tuning.hooks.base import Hook, Outcome

LOCALITY = 'kvm:cpu_locality'
POLICY = 'kvm:cpu_locality_policy'


class CpuPinning(Hook):
    """Which pCPUs run which vCPUs. The solver makes the choice itself."""

    name = 'cpu_pinning'
    knobs = (
        Knob(
            LOCALITY,
            Choice(('l3', 'numa', 'any')),
            'How close together the pCPUs of a guest are. Dedicated vCPUs: '
            'each guest cell spans the fewest L3 domains (l3), stays in its '
            'host cell (numa), or takes what is free (any). Shared vCPUs '
            'float over the shared pCPUs of the least loaded L3 domain, '
            'cell, or host.',
            kept_by_claim=True,
            traits={'l3': '_L3'},
        ),
        Knob(
            POLICY,
            Choice(('strict', 'preferred')),
            'strict: the guest is refused unless each guest cell spans no '
            'more L3 domains than the fewest whose allocatable pCPUs can '
            'hold it on this hardware. Needs dedicated vCPUs.',
            default='preferred',
            kept_by_claim=True,
        ),
        Knob(
            'hw:cpu_policy',
            Choice(('shared', 'dedicated', 'mixed')),
            'Whether each vCPU has a pCPU of its own.',
            nova=True,
            image='hw_cpu_policy',
            preferable=False,
        ),
        Knob(
            'hw:cpu_thread_policy',
            Choice(('prefer', 'isolate', 'require')),
            'How dedicated vCPUs use thread siblings: together if possible '
            '(prefer), always together (require), or with siblings left idle '
            '(isolate).',
            nova=True,
            image='hw_cpu_thread_policy',
            preferable=False,
        ),
        Knob(
            'hw:cpu_dedicated_mask',
            VcpuList(),
            'Which vCPUs are dedicated with hw:cpu_policy=mixed.',
            nova=True,
            preferable=False,
        ),
    )
    cells = True
    also = ('kvm:memory_locality',)

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        policy = request.get(POLICY)
        if policy is None or not policy.promise or policy.value != 'strict':
            return
        if request.get(LOCALITY) is None:
            yield ConflictingKnobs(f'{policy} also needs {LOCALITY}')
        elif not _dedicated(request):
            yield ConflictingKnobs(
                f'{policy} needs dedicated vCPUs: set hw:cpu_policy=dedicated '
                f'(or mixed), or {POLICY}=preferred'
            )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        locality = request.get(LOCALITY)
        if locality is not None:
            yield LocalityDemand(
                Locality(locality.value),
                locality.promise
                and request.value(POLICY) == 'strict'
                and _dedicated(request),
                str(locality),
            )
        if request.topology is None:
            return
        for cell in request.topology.cells:
            if cell.cpu_thread_policy is not None:
                yield ThreadDemand(ThreadPolicy(cell.cpu_thread_policy))
                return

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        for cell in placement.cells:
            for vcpu, pcpu in cell.pins.items():
                yield _pin(vcpu, str(pcpu))
            if not cell.shared:
                continue
            text = cpuset.format(cell.shared)
            for vcpu in _shared(request, cell.cell):
                yield _pin(vcpu, text)
        if placement.cells and guest.sizes.vcpu_placement == 'auto':
            # numad would choose the pCPUs of every thread without a pin, and
            # the cells of the memory.
            yield Element('vcpu', {'placement': 'static'})
        if placement.pins:
            yield Consequence(
                'dedicated-cpus',
                'operator',
                f'pCPUs {cpuset.format(placement.held)} are held as long as '
                'the guest is defined, whether it runs or not',
            )


def _shared(request: Request, cell: int) -> Iterable[int]:
    """Return the shared vCPUs of a guest cell."""
    if request.topology is None:
        return range(request.vcpus)
    return sorted(
        v for c in request.topology.cells if c.id == cell for v in c.shared
    )


def _dedicated(request: Request) -> bool:
    return request.topology is not None and any(
        cell.dedicated for cell in request.topology.cells
    )


def _pin(vcpu: int, cpus: str) -> Element:
    return Element(pins.vcpu_pin(vcpu), {'cpuset': cpus})
