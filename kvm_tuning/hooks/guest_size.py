"""Give the guest as many vCPUs and as much memory as its flavor says."""

from collections.abc import Iterable

from kvm_tuning.core import cpu_topology
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, Unsupported
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome
from kvm_tuning.hooks.cache_topology import TOPOLOGY

_X86 = frozenset({None, 'x86_64', 'i686'})
#: x86's interrupt destinations without interrupt remapping are 8 bits wide.
_MOST_WITHOUT_IOMMU = 255
#: libvirt's news of 10.10.0.
_ADDS_IOMMU = (10, 10, 0)


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
        yield from _vcpus(request, guest, site)
        yield from _memory(request, guest)


def _vcpus(request: Request, guest: Guest, site: Site) -> Iterable[Outcome]:
    if guest.vcpus == request.vcpus:
        plugged = guest.sizes.vcpus_current
        if plugged is not None and plugged != guest.vcpus:
            yield Element('vcpu', {'current': None}, str(request.vcpus))
            yield _resized(f'{request.vcpus} vCPUs plugged', str(plugged))
        return
    _check_cells(request, guest, f'{request.vcpus} vCPUs', str(guest.vcpus))
    _check_interrupts(request, guest, site)
    yield Element('vcpu', {'current': None}, str(request.vcpus))
    if guest.sizes.topology and not request.get(TOPOLOGY):
        # libvirt refuses a topology with a different number of vCPUs.
        yield Element(
            'cpu/topology',
            dict(cpu_topology.resized(guest.sizes.topology, request.vcpus)),
        )
    yield _resized(f'{request.vcpus} vCPUs', str(guest.vcpus))


def _memory(request: Request, guest: Guest) -> Iterable[Outcome]:
    memory_kib, sizes = request.memory_mib * 1024, guest.sizes
    ballooned = sizes.current_memory_kib or guest.memory_kib
    if guest.memory_kib == memory_kib == ballooned:
        return
    mib = f'{request.memory_mib} MiB of memory'
    if guest.memory_kib != memory_kib:
        _check_cells(request, guest, mib, f'{guest.memory_kib // 1024} MiB')
        yield Element('memory', {'unit': 'KiB'}, str(memory_kib))
        if sizes.max_memory_kib is not None:
            most = max(sizes.max_memory_kib, memory_kib)
            if most != sizes.max_memory_kib:
                yield Element('maxMemory', {'unit': 'KiB'}, str(most))
    yield Element('currentMemory', {'unit': 'KiB'}, str(memory_kib))
    yield _resized(mib, str(min(guest.memory_kib, ballooned) // 1024))


def _resized(wanted: str, found: str) -> Consequence:
    return Consequence(
        'resized',
        'operator',
        f'the guest will have {wanted} instead of {found}',
    )


def _check_cells(
    request: Request, guest: Guest, wanted: str, found: str
) -> None:
    """Refuse another size of a guest whose cells nobody requests."""
    if guest.cells and request.topology is None:
        raise ConflictingKnobs(
            f'flavor {request.flavor!r} has {wanted}, but the domain has '
            f'{found} in NUMA cells of its own: set hw:numa_nodes in the '
            f'flavor'
        )


def _check_interrupts(request: Request, guest: Guest, site: Site) -> None:
    """Refuse more vCPUs of an x86 guest than its interrupts reach.

    QEMU needs an IOMMU with extended interrupt mode for them; libvirt adds
    one from 10.10 on.
    """
    libvirt = site.capabilities.libvirt
    if (
        request.vcpus > _MOST_WITHOUT_IOMMU
        and guest.arch in _X86
        and not guest.sizes.extended_interrupts
        and (libvirt is None or libvirt < _ADDS_IOMMU)
    ):
        raise Unsupported(
            f'flavor {request.flavor!r} has {request.vcpus} vCPUs: more than '
            f'{_MOST_WITHOUT_IOMMU} need <iommu model="intel"> with '
            f'<driver intremap="on" eim="on"/> in the domain, or libvirt '
            f'10.10, which adds it'
        )
