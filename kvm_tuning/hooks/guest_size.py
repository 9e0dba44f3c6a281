"""Give the guest as many vCPUs and as much memory as its flavor says."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome
from kvm_tuning.hooks.cache_topology import TOPOLOGY


class GuestSize(Hook):
    """vCPUs and memory. These are fields of the flavor, so there is no knob.
    Under Nova they already match; standalone, the definition is changed to
    match as soon as any knob is requested.
    """

    name = 'guest_size'
    knobs = ()

    def wanted(self, request: Request) -> bool:
        return bool(request.asked)

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        if guest.vcpus != request.vcpus:
            if guest.cells and request.topology is None:
                raise ConflictingKnobs(
                    f'flavor {request.flavor!r} has {request.vcpus} vCPUs, '
                    f'but the domain has {guest.vcpus} in NUMA cells of its '
                    'own: set hw:numa_nodes in the flavor'
                )
            yield Element('vcpu', {'current': None}, str(request.vcpus))
            if guest.cpu_topology and not request.get(TOPOLOGY):
                # libvirt refuses a topology with a different number of vCPUs.
                topology: dict[str, str | None] = dict.fromkeys(
                    guest.cpu_topology
                )
                topology |= {
                    'sockets': str(request.vcpus),
                    'cores': '1',
                    'threads': '1',
                }
                yield Element('cpu/topology', topology)
            yield Consequence(
                'resized',
                'operator',
                f'the guest will have {request.vcpus} vCPUs instead of '
                f'{guest.vcpus}',
            )
        memory_kib = request.memory_mib * 1024
        if guest.memory_kib != memory_kib:
            for path in ('memory', 'currentMemory'):
                yield Element(path, {'unit': 'KiB'}, str(memory_kib))
            yield Consequence(
                'resized',
                'operator',
                f'the guest will have {request.memory_mib} MiB of memory '
                f'instead of {guest.memory_kib // 1024}',
            )
