"""Where the kernel's vhost threads, which move virtio NICs' packets, run."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import Demand, Pool, PoolDemand
from kvm_tuning.core.effects import (
    Consequence,
    Phase,
    Scope,
    Setting,
    SettingKind,
)
from kvm_tuning.core.exceptions import (
    ConflictingKnobs,
    RequestError,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept, works
from kvm_tuning.hooks.emulator_threads import (
    CPUS as EMULATOR,
)
from kvm_tuning.hooks.emulator_threads import (
    POLICY,
    POOLS,
    emulator_cpus,
)

CPUS = 'kvm:vhost_cpus'


class VhostThreads(Hook):
    """libvirt has no element for them. They are threads of the QEMU process
    (of the kernel before 6.4) that follow the emulator's cpuset, so they are
    placed after the start, and only within that cpuset.
    """

    name = 'vhost_threads'
    knobs = (
        Knob(
            CPUS,
            POOLS,
            'Where the vhost threads run, within the pCPUs of the emulator '
            f'threads: the same words as {EMULATOR}.',
            of_device=True,
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        cpus, policy = request.get(CPUS), request.get(POLICY)
        if cpus is not None and cpus.promise and policy is not None:
            yield ConflictingKnobs(
                f'{cpus} and {policy} contradict each other: vhost threads '
                f'run where the emulator threads do; use {EMULATOR} instead'
            )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        cpus = request.get(CPUS)
        if cpus is not None:
            yield PoolDemand(
                'vhost', Pool(cpus.value), str(cpus), cpus.promise
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(CPUS)
        cpus = placement.pools.get('vhost', frozenset())
        if asked is None:
            return
        why = None
        if guest.type != 'kvm':
            why = f'the domain is of type {guest.type}, and vhost needs kvm'
        elif not works(site.capabilities.vhost_net):
            why = site.capabilities.vhost_net.reason
        elif not guest.virtio_nics:
            why = 'the guest has no virtio NIC, so it has no vhost threads'
        if why is not None:
            yield unkept(asked, 'no vhost threads', why)
            return
        emulator = emulator_cpus(request, placement, site)
        if emulator and not cpus <= emulator:
            message = (
                f"pCPUs {cpuset.format(cpus)} are not within the emulator's, "
                f'{cpuset.format(emulator)}: also set {EMULATOR} to '
                f'{asked.value}'
            )
            if asked.promise:
                raise ConflictingKnobs(f'{asked}: {message}')
            yield unkept(asked, cpuset.format(emulator), message)
            return
        yield Setting(
            SettingKind.THREAD_AFFINITY,
            'vhost',
            cpuset.format(cpus),
            Scope.INSTANCE,
            Phase.AFTER_START,
        )
