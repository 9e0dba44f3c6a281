"""Divide vCPUs and memory among a guest's NUMA cells.

Evenly, or as ``hw:numa_cpus.N`` and ``hw:numa_mem.N`` say (MiB), which have to
cover every vCPU once and all of the memory.
"""

from collections.abc import Sequence
from typing import TypeVar

from kvm_tuning.core import vcpu_list
from kvm_tuning.core.exceptions import ConflictingKnobs
from kvm_tuning.core.nova.image_properties import numbered
from kvm_tuning.core.nova.keys import Sources
from kvm_tuning.core.vcpu_list import VcpuList
from kvm_tuning.core.wording import invalid

T = TypeVar('T')

#: vCPUs and MiB of one cell.
Share = tuple[frozenset[int], int]


def read(
    sources: Sources, vcpus: int, memory_mib: int, nodes: int | None
) -> list[Share]:
    """Return what each cell of the guest gets, in order of the cells.

    :param nodes: how many cells are requested; None when unset.
    :raises ConflictingKnobs: vCPUs or memory do not add up.
    :raises InvalidValue: a cell's list or size cannot be read.
    """
    cpus = _either(sources, 'numa_cpus', _flavor_cpus(sources))
    memory = _either(sources, 'numa_mem', _flavor_memory(sources))
    if cpus is None and memory is None:
        return _even(sources, vcpus, memory_mib, nodes or 1)
    cpus = cpus or ()
    memory = memory or ()
    if not len(cpus) == len(memory) == (nodes or 1):
        raise ConflictingKnobs(
            f'{_nodes_said(sources, nodes)}, with {len(cpus)} keys of '
            f'hw:numa_cpus.N and {len(memory)} of hw:numa_mem.N: want both '
            f'for every cell, counted from 0'
        )
    return _listed(sources, vcpus, memory_mib, cpus, memory)


def _even(
    sources: Sources, vcpus: int, memory_mib: int, nodes: int
) -> list[Share]:
    if vcpus % nodes or memory_mib % nodes:
        raise ConflictingKnobs(
            f'{_nodes_said(sources, nodes)}: {vcpus} vCPUs and {memory_mib} '
            f'MiB do not divide evenly; want a divisor of both, or '
            f'hw:numa_cpus.N and hw:numa_mem.N for every cell'
        )
    width = vcpus // nodes
    return [
        (
            frozenset(range(node * width, (node + 1) * width)),
            memory_mib // nodes,
        )
        for node in range(nodes)
    ]


def _listed(
    sources: Sources,
    vcpus: int,
    memory_mib: int,
    cpus: Sequence[VcpuList],
    memory: Sequence[int],
) -> list[Share]:
    left = set(range(vcpus))
    shares = []
    for node, named in enumerate(cpus):
        key = f'numa_cpus.{node}'
        beyond = named.beyond(vcpus)
        if beyond is not None:
            raise ConflictingKnobs(
                f'{_said(sources, key)} names vCPU {beyond}: the flavor has '
                f'0 to {vcpus - 1}'
            )
        share = named.within(vcpus)
        if not share <= left:
            raise ConflictingKnobs(
                f'{_said(sources, key)} names vCPU {min(share - left)}, '
                f'which another cell has: want each vCPU once'
            )
        left -= share
        shares.append((share, memory[node]))
    if left:
        raise ConflictingKnobs(
            f'{_said(sources, "numa_cpus.0")} and on leave out vCPU '
            f'{min(left)}: want each vCPU once'
        )
    if sum(memory) != memory_mib:
        raise ConflictingKnobs(
            f'{_said(sources, "numa_mem.0")} and on add up to {sum(memory)} '
            f'MiB: the flavor has {memory_mib} MiB'
        )
    return shares


def _said(sources: Sources, key: str) -> str:
    """Return how a message names a key that is set in one of the two
    sources.
    """
    if sources.flavor(key) is None:
        return sources.in_image(key)
    return sources.in_flavor(key)


def _flavor_cpus(sources: Sources) -> tuple[VcpuList, ...] | None:
    lists = []
    for key, text in numbered(sources.extra_specs, 'hw:numa_cpus'):
        try:
            lists.append(vcpu_list.read(text))
        except ValueError as exc:
            raise invalid(key, text, sources.flavor_origin, exc) from None
    return tuple(lists) or None


def _flavor_memory(sources: Sources) -> tuple[int, ...] | None:
    sizes = []
    for key, text in numbered(sources.extra_specs, 'hw:numa_mem'):
        try:
            sizes.append(int(text))
        except ValueError:
            want = 'a whole number of MiB'
            raise invalid(key, text, sources.flavor_origin, want) from None
    return tuple(sizes) or None


def _either(
    sources: Sources, key: str, flavor: tuple[T, ...] | None
) -> tuple[T, ...] | None:
    """Return the flavor's values or the image's; never both may be set."""
    image: tuple[T, ...] | None = getattr(sources.image, key)
    if flavor is not None and image is not None:
        raise ConflictingKnobs(
            f'{sources.in_flavor(f"{key}.0")} and '
            f'{sources.in_image(f"{key}.0")} are both set: want the '
            f"flavor's only"
        )
    return image if flavor is None else flavor


def _nodes_said(sources: Sources, nodes: int | None) -> str:
    if nodes is None or not (
        sources.flavor('numa_nodes') or sources.of_image('numa_nodes')
    ):
        return 'hw:numa_nodes is not set, which means one cell'
    return sources.in_either('numa_nodes')
