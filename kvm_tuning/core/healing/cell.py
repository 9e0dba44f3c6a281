"""One NUMA cell of a host as healing sees it. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvm_tuning.core.exceptions import Unsupported

#: A core: its pCPUs, in ascending order.
Core = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The dedicated vCPUs that a guest has in one NUMA cell of the host."""

    guest: str
    #: The pCPU of each of these vCPUs.
    pins: Mapping[int, int]
    #: Each vCPU has a core of its own, whose other threads stay idle
    #: (``hw:cpu_thread_policy=isolate``).
    isolated: bool = False
    #: vCPUs that share an L3 domain now stay together and apart from the
    #: others: the guest has been shown its caches (``kvm:cache_topology``).
    grouped: bool = False
    #: It stays where it is, and its pCPUs are walls to the others.
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A NUMA cell: its L3 domains and what guests have there.

    :raises Unsupported: a pCPU is in two domains, two vCPUs are on one
        pCPU, or one is on a pCPU that guests may not have.
    """

    #: Of each L3 domain the cores, each with the pCPUs that guests may have.
    domains: Sequence[Sequence[Core]]
    parts: Sequence[Part]
    #: Threads of a whole core: 1, 2, 4 or 8.
    threads: int

    def __post_init__(self) -> None:
        cpus = [cpu for d in self.domains for core in d for cpu in core]
        held = [cpu for part in self.parts for cpu in part.pins.values()]
        if len(cpus) != len(set(cpus)):
            raise Unsupported('a pCPU is in two L3 domains')
        if len(held) != len(set(held)):
            raise Unsupported('two vCPUs are pinned to one pCPU')
        if outside := set(held) - set(cpus):
            raise Unsupported(
                f'a vCPU is pinned to pCPU {min(outside)}, which is not one '
                f'that guests may have in this NUMA cell'
            )

    def stays(self, part: Part) -> bool:
        """Return whether a part is a wall.

        So is an isolated one that does not have its cores to itself, or a
        core of which the host keeps a thread: no other seat is like it.
        """
        if part.fixed or not part.isolated:
            return part.fixed
        core_of = self.core_of()
        cores = {core_of[cpu] for cpu in part.pins.values()}
        others = {
            core_of[cpu]
            for other in self.parts
            if other is not part
            for cpu in other.pins.values()
        }
        return (
            len(cores) < len(part.pins)
            or bool(cores & others)
            or any(len(core) < self.threads for core in cores)
        )

    def walls(self) -> frozenset[int]:
        """Return the pCPUs that parts which stay keep from the others."""
        core_of = self.core_of()
        return frozenset(
            cpu
            for part in self.parts
            if self.stays(part)
            for held in part.pins.values()
            for cpu in (core_of[held] if part.isolated else (held,))
        )

    def domain_of(self) -> dict[int, int]:
        """Return the index of the L3 domain of each pCPU."""
        return {
            cpu: index
            for index, domain in enumerate(self.domains)
            for core in domain
            for cpu in core
        }

    def core_of(self) -> dict[int, Core]:
        """Return the core of each pCPU."""
        return {
            cpu: core
            for domain in self.domains
            for core in domain
            for cpu in core
        }
