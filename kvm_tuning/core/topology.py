"""What Nova's own keys ask of a guest's topology, with Nova's meaning.

``read`` is the standalone counterpart of
``nova.virt.hardware.numa_get_constraints``; a test holds the two equal.
"""

from dataclasses import dataclass

# Nova's MEMPAGES_SMALL, MEMPAGES_LARGE and MEMPAGES_ANY.
SMALL = -1
LARGE = -2
ANY = -3


@dataclass(frozen=True, slots=True)
class GuestCell:
    """One guest NUMA cell (Nova's ``InstanceNUMACell``)."""

    id: int
    #: vCPUs that float over the host's shared pCPUs.
    shared: frozenset[int]
    #: vCPUs with a pCPU of their own.
    dedicated: frozenset[int]
    memory_mib: int
    #: A size in KiB, SMALL, LARGE or ANY; None when not asked.
    page_size: int | None = None
    #: ``shared``, ``dedicated``, ``mixed``; None when not asked.
    cpu_policy: str | None = None
    #: ``prefer``, ``isolate``, ``require``; None when not asked.
    cpu_thread_policy: str | None = None

    @property
    def vcpus(self) -> frozenset[int]:
        return self.shared | self.dedicated


@dataclass(frozen=True, slots=True)
class Topology:
    """The guest cells in order of their ids (``InstanceNUMATopology``)."""

    cells: tuple[GuestCell, ...]
    #: ``share`` or ``isolate``; None when not asked.
    emulator_threads_policy: str | None = None
