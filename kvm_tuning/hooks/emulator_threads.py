"""Where QEMU's emulator threads run."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import Demand, EmulatorDemand, Pool, PoolDemand
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.core.xml import pins
from kvm_tuning.hooks.base import Hook, Outcome, unkept

CPUS = 'kvm:emulator_cpus'
POLICY = 'hw:emulator_threads_policy'

POOLS = Choice(tuple(pool.value for pool in Pool))


class EmulatorThreads(Hook):
    """A guest with dedicated vCPUs always gets an emulator pin: without one,
    QEMU's main thread would float over other guests' dedicated pCPUs.
    """

    name = 'emulator_threads'
    knobs = (
        Knob(
            CPUS,
            POOLS,
            'Where the emulator threads run: the shared set (housekeeping), '
            "the shared pCPUs inside the guest's L3 domains (l3) or cells "
            "(numa), or the guest's own pCPUs (guest). Never another guest's "
            'dedicated pCPU.',
        ),
        Knob(
            POLICY,
            Choice(('share', 'isolate')),
            'isolate: one more dedicated pCPU for the emulator threads. '
            'share: they run on the shared set if there is one.',
            nova=True,
            image='hw_emulator_threads_policy',
            preferable=False,
        ),
    )
    cells = True
    # vCPUs that float are placed on shared pCPUs, and so is the emulator.
    also = ('kvm:cpu_locality', 'kvm:memory_locality')

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        cpus, policy = request.get(CPUS), request.get(POLICY)
        if cpus is not None and cpus.promise and policy is not None:
            yield ConflictingKnobs(
                f'{cpus} and {policy} both say where the emulator threads '
                'run: remove one of them'
            )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        cpus, policy = request.get(CPUS), request.get(POLICY)
        if policy is not None:
            if policy.value == 'isolate':
                yield EmulatorDemand()
        elif cpus is not None:
            yield PoolDemand(
                'emulator', Pool(cpus.value), str(cpus), cpus.promise
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked, policy = request.get(CPUS), request.get(POLICY)
        if asked is not None and policy is not None:
            # check() has refused a promise.
            yield unkept(asked, str(policy), f'{policy} takes precedence')
        cpus = emulator_cpus(request, placement, site)
        if cpus:
            yield Element(pins.EMULATOR_PIN, {'cpuset': cpuset.format(cpus)})


def emulator_cpus(
    request: Request, placement: Placement, site: Site
) -> frozenset[int]:
    """Return where the emulator runs; empty when nothing says so.

    As in Nova: its reserved pCPU, else the shared set when sharing is
    requested and there is one, else the guest's own pCPUs.
    """
    if placement.emulator:
        return placement.emulator
    if 'emulator' in placement.pools:
        return placement.pools['emulator']
    if request.value(POLICY) == 'share' and site.policy.shared_cpus:
        return site.policy.shared_cpus & site.inventory.online
    if not placement.pins:
        return _off_the_dedicated(placement, site)
    own = set(placement.pins.values())
    for cell in placement.cells:
        own |= cell.shared
    return frozenset(own)


def _off_the_dedicated(placement: Placement, site: Site) -> frozenset[int]:
    """Return the shared pCPUs where the host has dedicated ones, too: helper
    threads of a guest that floats would run on those of others.
    """
    policy = site.policy
    if not placement.cells or not policy.dedicated_cpus or policy.overlap:
        return frozenset()
    online = site.inventory.online
    shared = online if policy.shared_cpus is None else policy.shared_cpus
    return (shared & online) - policy.dedicated_cpus
