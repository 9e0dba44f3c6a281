"""The claims of every guest on a host: who holds what.

A claim comes from the receipt of a *defined* guest, from what an *active*
guest actually has, receipt or not, or from the operator (``--taken``). So the
pCPUs of a stopped guest or of one pinned by hand are never given out twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from kvm_tuning.core.memo import Memo


@dataclass(frozen=True, slots=True)
class Claim:
    """What one owner holds."""

    #: The guest's UUID, or another name that is unique on the host.
    owner: str
    #: For people: the guest's name.
    name: str
    #: pCPUs that nobody else may use.
    pcpus: frozenset[int] = frozenset()
    #: pCPUs that its shared vCPUs float over, and how many vCPUs do.
    shared: frozenset[int] = frozenset()
    shared_vcpus: int = 0
    #: Huge pages by (cell, page size in KiB). ``pages_in_use`` says whether
    #: they are already taken from the pool (the guest runs).
    pages: Mapping[tuple[int, int], int] = field(default_factory=dict)
    pages_in_use: bool = False
    #: Memory bound to a cell, in KiB, huge pages not counted.
    memory_kib: Mapping[int, int] = field(default_factory=dict)
    #: PCI addresses of VFs and other passed-through functions.
    devices: frozenset[str] = frozenset()
    #: Whether it is a process that is not a guest.
    foreign: bool = False


@dataclass(frozen=True)
class Ledger:
    """All claims on a host."""

    claims: tuple[Claim, ...] = ()
    #: What others compute from it once and keep with it.
    memo: Memo = field(
        default_factory=Memo, init=False, repr=False, compare=False
    )

    @cached_property
    def pcpus(self) -> frozenset[int]:
        """Every pCPU that somebody holds exclusively."""
        return frozenset().union(*(claim.pcpus for claim in self.claims))

    @cached_property
    def by_owner(self) -> Mapping[str, tuple[Claim, ...]]:
        """The claims of each owner."""
        found: dict[str, list[Claim]] = {}
        for claim in self.claims:
            found.setdefault(claim.owner, []).append(claim)
        return {owner: tuple(claims) for owner, claims in found.items()}

    @cached_property
    def holders(self) -> Mapping[int, tuple[Claim, ...]]:
        """The claims that hold each pCPU exclusively; pCPUs with the same
        ones have the same tuple.
        """
        return _by_pcpu((claim, claim.pcpus) for claim in self.claims)

    @cached_property
    def sharers(self) -> Mapping[int, tuple[Claim, ...]]:
        """The claims whose shared vCPUs float over each pCPU, as above."""
        return _by_pcpu((claim, claim.shared) for claim in self.claims)

    @cached_property
    def devices(self) -> frozenset[str]:
        return frozenset().union(*(claim.devices for claim in self.claims))

    def without(self, owner: str) -> 'Ledger':
        """Return the ledger without the claims of ``owner``."""
        return Ledger(tuple(c for c in self.claims if c.owner != owner))

    def plus(self, claims: Iterable[Claim]) -> 'Ledger':
        return Ledger(self.claims + tuple(claims))


def _by_pcpu(
    held: Iterable[tuple[Claim, frozenset[int]]],
) -> Mapping[int, tuple[Claim, ...]]:
    found: dict[int, list[Claim]] = {}
    for claim, pcpus in held:
        for pcpu in pcpus:
            found.setdefault(pcpu, []).append(claim)
    same: dict[tuple[int, ...], tuple[Claim, ...]] = {}
    return {
        pcpu: same.setdefault(tuple(map(id, claims)), tuple(claims))
        for pcpu, claims in found.items()
    }
