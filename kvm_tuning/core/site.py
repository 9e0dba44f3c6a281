"""The site of a decision: the host, who holds what, what works, what may."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of one probe. ``works`` None: it could not be asked."""

    works: bool | None
    #: One clause for a person: what was tried and what came back.
    reason: str = ''


UNKNOWN = Probe(None, 'not probed')


@dataclass(frozen=True, slots=True)
class Storage:
    """What is known of the file or device below a guest's disk."""

    #: ``block``, ``file`` or ``network``.
    kind: str
    #: Whether an open with O_DIRECT worked.
    direct: Probe = UNKNOWN
    #: Whether all of it is allocated (always for a block device).
    allocated: Probe = UNKNOWN


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was *probed* on this host, never derived from a version table
    where it can be tried. The default knows nothing: the plan for another
    host (``--root``) says so in its consequences.
    """

    #: (major, minor, micro); None when not known.
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
    #: not known.
    transparent_huge_pages: str | None = None
    #: Host NICs that the host itself is reached by: they, or a bridge, bond
    #: or VLAN above them, carry an address or the default route. None when
    #: not known.
    management_nics: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows on this host: ``[placement]``.

    ``dedicated_cpus`` None: no pCPU may be dedicated, and a guest that wants
    one is refused. ``shared_cpus`` None: all that are not dedicated.
    """

    dedicated_cpus: frozenset[int] | None = None
    shared_cpus: frozenset[int] | None = None
    #: Huge pages that are kept from guests, by (cell, page size in KiB).
    reserved_pages: Mapping[tuple[int, int], int] = field(default_factory=dict)
    #: Memory per cell that is kept from guests, in KiB.
    reserved_memory_kib: int = 0
    #: Fill a used cell before an empty one (Nova's ``[compute]
    #: packing_host_numa_cells_allocation_strategy``).
    pack_cells: bool = True


@dataclass(frozen=True)
class Site:
    """All that a decision may depend on beside the request and the guest."""

    inventory: Inventory
    ledger: Ledger = Ledger()
    capabilities: Capabilities = Capabilities()
    policy: Policy = Policy()
