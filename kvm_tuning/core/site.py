"""The site of a plan: the host, who holds what, what works, what is
allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of one probe. ``works`` None: it could not be made."""

    works: bool | None
    #: One clause for a person: what was tried and what came back.
    reason: str = ''


UNKNOWN = Probe(None, 'not probed')


@dataclass(frozen=True, slots=True)
class Storage:
    """What is known about the file or device behind a guest's disk."""

    #: ``block``, ``file`` or ``network``.
    kind: str
    #: Whether opening it with O_DIRECT worked.
    direct: Probe = UNKNOWN
    #: Whether all of it is allocated (always for a block device).
    allocated: Probe = UNKNOWN


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was *probed* on this host; it is derived from a version only where
    it cannot be tried. The default knows nothing: the plan for another host
    (``--root``) says so in its consequences.
    """

    #: (major, minor, micro); None when unknown.
    kernel: tuple[int, int, int] | None = None
    libvirt: tuple[int, int, int] | None = None
    qemu: tuple[int, int, int] | None = None
    kvm: Probe = UNKNOWN
    vhost_net: Probe = UNKNOWN
    io_uring: Probe = UNKNOWN
    #: Most queues one tap device takes (kernel's MAX_TAP_QUEUES).
    tap_queues: int | None = None
    #: By the path in the disk's ``<source>``.
    storage: Mapping[str, Storage] = field(default_factory=dict)
    #: Transparent huge pages: ``always``, ``madvise`` or ``never``; None when
    #: unknown.
    transparent_huge_pages: str | None = None
    #: NICs through which the host itself is reached: they, or a bridge, bond
    #: or VLAN above them, carry an address or the default route. None when
    #: unknown.
    management_nics: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows on this host: ``[placement]``.

    ``dedicated_cpus`` None: no pCPU may be dedicated, and a guest that wants
    one is refused. ``shared_cpus`` None: all that are not dedicated.
    """

    dedicated_cpus: frozenset[int] | None = None
    shared_cpus: frozenset[int] | None = None
    #: Shared pCPUs may be dedicated, too: nothing is given out for real.
    overlap: bool = False
    #: Huge pages that are kept from guests, by (cell, page size in KiB).
    reserved_pages: Mapping[tuple[int, int], int] = field(default_factory=dict)
    #: Memory per cell that is kept from guests, in KiB.
    reserved_memory_kib: int = 0
    #: Fill a used cell before an empty one (Nova's ``[compute]
    #: packing_host_numa_cells_allocation_strategy``).
    pack_cells: bool = True


@dataclass(frozen=True)
class Site:
    """Everything that a decision may depend on besides the request and the
    guest.
    """

    inventory: Inventory
    ledger: Ledger = Ledger()
    capabilities: Capabilities = Capabilities()
    policy: Policy = Policy()
