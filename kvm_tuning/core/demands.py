"""What hooks need of the site: a closed vocabulary that placement answers.

Hooks never choose a CPU, a cell or a VF: CPUs, pages, memory and devices are
coupled, so all demands of a guest are solved together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import enum


class Locality(enum.Enum):
    """How close together a guest cell's vCPUs have to be."""

    L3 = 'l3'
    NUMA = 'numa'
    ANY = 'any'


class ThreadPolicy(enum.Enum):
    """``hw:cpu_thread_policy``, with Nova's meaning."""

    PREFER = 'prefer'
    REQUIRE = 'require'
    ISOLATE = 'isolate'


class MemoryMode(enum.Enum):
    """libvirt's ``<numatune>`` modes."""

    STRICT = 'strict'
    PREFERRED = 'preferred'
    INTERLEAVE = 'interleave'


class Pool(enum.Enum):
    """Where helper threads may run, as in ``kvm:emulator_cpus``."""

    #: The host's shared pCPUs.
    HOUSEKEEPING = 'housekeeping'
    #: The shared pCPUs inside the guest's L3 domains.
    L3 = 'l3'
    #: The shared pCPUs inside the guest's cells.
    NUMA = 'numa'
    #: The guest's own pCPUs.
    GUEST = 'guest'


class Affinity(enum.Enum):
    """``hw:pci_numa_affinity_policy``, with Nova's meaning."""

    REQUIRED = 'required'
    PREFERRED = 'preferred'
    LEGACY = 'legacy'
    SOCKET = 'socket'


@dataclass(frozen=True, slots=True)
class CellDemand:
    """One guest cell: its vCPUs and memory go to one host cell."""

    cell: int
    vcpus: frozenset[int]
    #: Which of ``vcpus`` need a pCPU of their own.
    dedicated: frozenset[int]
    memory_kib: int
    #: True for the one cell of a guest without NUMA cells: its shared vCPUs
    #: and its memory are not bound to a host cell.
    whole: bool = False


@dataclass(frozen=True, slots=True)
class PageDemand:
    """Acceptable page sizes for a guest cell's memory, the best first.

    If the host's base page size is among them, no huge pages will do, too.
    """

    cell: int
    sizes_kib: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ThreadDemand:
    """How the dedicated vCPUs use thread siblings."""

    policy: ThreadPolicy


@dataclass(frozen=True, slots=True)
class LocalityDemand:
    """How close together the vCPUs of a cell have to be; strict: or not at
    all.
    """

    level: Locality
    strict: bool
    asked_by: str = 'kvm:cpu_locality'


@dataclass(frozen=True, slots=True)
class EvenDemand:
    """Equally many dedicated vCPUs in each L3 domain that a cell spans.

    Not strict: only where that takes no domain more than the fewest that are
    free.
    """

    strict: bool
    asked_by: str = 'kvm:cache_topology'


@dataclass(frozen=True, slots=True)
class EmulatorDemand:
    """One more pCPU for the emulator alone, next to those of the first guest
    cell (``hw:emulator_threads_policy=isolate``).
    """


@dataclass(frozen=True, slots=True)
class PoolDemand:
    """Where the emulator, the iothreads or the vhost threads may run."""

    #: ``emulator``, ``iothread`` or ``vhost``.
    purpose: str
    pool: Pool
    asked_by: str
    #: A preference (a profile's or a default's) may fall back to
    #: housekeeping; a promise is refused.
    strict: bool = True


@dataclass(frozen=True, slots=True)
class MemoryDemand:
    """Where the guest's memory comes from."""

    mode: MemoryMode
    asked_by: str = 'kvm:memory_locality'


@dataclass(frozen=True, slots=True)
class DeviceDemand:
    """``count`` VFs or other PCI functions, as near the vCPUs as ``affinity``
    says.
    """

    #: Names the demand in the placement, such as ``kvm:vfs``.
    key: str
    count: int
    affinity: Affinity
    #: What a function must be: PciDevice attribute to allowed values, such as
    #: ``{'product': {'10ca'}, 'vendor': {'8086'}}`` or ``{'pf': {...}}``.
    match: Mapping[str, frozenset[str]]
    #: What it must not be, in the same form.
    unlike: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: Addresses that the guest has already: nothing is chosen, but the vCPUs
    #: are to be near them.
    present: frozenset[str] = frozenset()


Demand = (
    CellDemand
    | PageDemand
    | ThreadDemand
    | LocalityDemand
    | EvenDemand
    | EmulatorDemand
    | PoolDemand
    | MemoryDemand
    | DeviceDemand
)
