"""The guest topology that Nova's own keys request, with Nova's meaning.

``read`` is the standalone counterpart of
``nova.virt.hardware.numa_get_constraints``; a test checks that the two agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kvm_tuning.core.cpuset import MAX_CPU
from kvm_tuning.core.exceptions import InvalidValue
from kvm_tuning.core.nova import (
    cpu_keys,
    guest_cells,
    image_properties,
    locked_memory,
)
from kvm_tuning.core.nova import keys as nova_keys
from kvm_tuning.core.nova.attempts import Attempts
from kvm_tuning.core.nova.keys import Sources
from kvm_tuning.core.page_size import ANY, LARGE, SMALL
from kvm_tuning.core.wording import invalid

__all__ = ['ANY', 'LARGE', 'SMALL', 'GuestCell', 'Topology', 'read']

_NO_IMAGE = image_properties.ImageProperties({}, None, None, frozenset())


@dataclass(frozen=True, slots=True)
class GuestCell:
    """One guest NUMA cell (Nova's ``InstanceNUMACell``)."""

    id: int
    #: vCPUs that float over the host's shared pCPUs.
    shared: frozenset[int]
    #: vCPUs with a pCPU of their own.
    dedicated: frozenset[int]
    memory_mib: int
    #: A size in KiB, SMALL, LARGE or ANY; None when not requested.
    page_size: int | None = None
    #: ``shared``, ``dedicated``, ``mixed``; None when not requested.
    cpu_policy: str | None = None
    #: ``prefer``, ``isolate``, ``require``; None when not requested.
    cpu_thread_policy: str | None = None

    @property
    def vcpus(self) -> frozenset[int]:
        return self.shared | self.dedicated


@dataclass(frozen=True, slots=True)
class Topology:
    """The guest cells in order of their ids (``InstanceNUMATopology``)."""

    cells: tuple[GuestCell, ...]
    #: ``share`` or ``isolate``; None when not requested.
    emulator_threads_policy: str | None = None


def read(
    vcpus: int,
    memory_mib: int,
    extra_specs: Mapping[str, str],
    image_properties: Mapping[str, str],
    *,
    flavor: str = 'flavor extra spec',
    image: str = 'image property',
) -> Topology | None:
    """Return the cells that a flavor and an image request.

    Nova accepts some sizes that no host has, such as ``hw:mem_page_size=0`` or
    ``-2MB``; so does this, and the knob's own kind refuses them.

    :param flavor: how messages name the flavor.
    :param image: how messages name the image.
    :returns: None when nothing requests cells: neither dedicated vCPUs nor
        NUMA nodes, a page size or persistent memory.
    :raises InvalidValue: a value that its kind does not allow.
    :raises ConflictingKnobs: two keys contradict each other.
    :raises SeveralErrors: for more than one of these.
    """
    if not 0 < vcpus <= MAX_CPU + 1:
        raise InvalidValue(f'{vcpus} vCPUs: want 1 to {MAX_CPU + 1}')
    sources = _sources(extra_specs, image_properties, flavor, image)
    attempts = Attempts()
    each = cpu_keys.read(sources, vcpus, attempts)
    nodes = attempts.of(nova_keys.numa_nodes, sources)
    page_size = attempts.of(nova_keys.memory_page_size, sources)
    attempts.of(locked_memory.check, sources)
    attempts.raise_all()
    cpus = cpu_keys.combine(sources, vcpus, each)
    if not (
        cpus.dedicated
        or nodes
        or page_size
        or nova_keys.persistent_memory(sources)
    ):
        return None
    shares = guest_cells.read(sources, vcpus, memory_mib, nodes)
    if cpus.thread_policy == '':
        key, want = 'hw:cpu_thread_policy', nova_keys.CPU_THREAD_POLICY
        raise invalid(key, '', flavor, want.description)
    dedicated = cpus.dedicated or frozenset()
    return Topology(
        tuple(
            GuestCell(
                id=number,
                shared=share - dedicated,
                dedicated=share & dedicated,
                memory_mib=memory,
                page_size=None if page_size is None else int(page_size),
                cpu_policy=cpus.policy,
                cpu_thread_policy=cpus.thread_policy,
            )
            for number, (share, memory) in enumerate(shares)
        ),
        cpus.emulator_threads_policy,
    )


def _sources(
    extra_specs: Mapping[str, str],
    properties: Mapping[str, str],
    flavor: str,
    image: str,
) -> Sources:
    typed = _NO_IMAGE
    if properties:
        typed = image_properties.read(properties, image)
    return Sources(extra_specs, typed, properties, flavor, image)
