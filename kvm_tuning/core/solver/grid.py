"""The host's pCPUs as the solver sees them: cores and L3 domains as bits.

A grid is made once for an inventory and a policy, and kept with the inventory.
It numbers the cores that have a pCPU to dedicate from 0, cell by cell, L3
domain by L3 domain, fast cores first. A set of pCPUs is one integer: thread
*t* of core *c* is bit ``t * width + c``, so that counting the free threads of
every core takes a few operations for the whole host.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kvm_tuning.core import cpuset
from kvm_tuning.core.inventory import NO_CELL, Cpu, Inventory
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.memo import Memo
from kvm_tuning.core.site import Policy

# Cores whose capacity is within this share of the fastest one of a kind belong
# to that kind: a favoured core's few percent of turbo do not make another
# kind.
SAME_KIND = 0.9

# Sets of pCPUs whose bits are cached: most claims last long.
MOST_HELD = 4096

# In a host cell with so few L3 domains, large guests take the whole cell.
NARROW = 4


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """The part of an L3 domain that is in one NUMA cell.

    CPUs without L3 information make up one domain per cell.
    """

    #: Position among all domains of the grid.
    index: int
    #: Host cell, and the cell's position in the grid.
    cell: int
    row: int
    #: Online CPUs.
    cpus: frozenset[int]
    #: How many of them may be dedicated, and on how many cores.
    size: int
    cores: int
    #: The positions of those cores, and their threads, as bits.
    mask: int
    bits: int
    #: The shared pCPUs.
    shared: frozenset[int]
    #: For a person: what kind of domain it is and its online CPUs.
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A NUMA cell with CPUs."""

    cell: int
    #: Position in the grid.
    index: int
    domains: tuple[Domain, ...]
    package: int
    shared: frozenset[int]
    #: All its threads that may be dedicated, as bits; how many; their cores.
    bits: int
    size: int
    mask: int


class Grid:
    """See the module. Its attributes must not be changed."""

    def __init__(self, inventory: Inventory, policy: Policy) -> None:
        # A CPU of no cell has no memory near it: it takes no vCPU.
        online = frozenset(
            cpu.id for cpu in inventory.cpus if cpu.cell != NO_CELL
        )
        dedicated = (policy.dedicated_cpus or frozenset()) & online
        shared = online if policy.shared_cpus is None else policy.shared_cpus
        #: Whether any pCPU may be dedicated at all.
        self.dedicates = policy.dedicated_cpus is not None
        self.dedicated = dedicated
        self.shared = shared & online
        if not policy.overlap:
            self.shared -= dedicated
        self.smt = inventory.smt
        self.l3 = bool(inventory.l3)
        rank = kinds(inventory.cpus)
        groups = _groups(cpu for cpu in inventory.cpus if cpu.id in online)
        cores: list[tuple[list[int], int, int, bool]] = []
        domains: list[tuple[int, frozenset[int], bool, int, int, int]] = []
        for (cell, known), group in groups:
            start = len(cores)
            own = _cores(group, dedicated, rank)
            cores += own
            domains.append(
                (
                    cell,
                    frozenset(cpu.id for cpu in group),
                    known,
                    sum(len(threads) for threads, _, _, _ in own),
                    len(own),
                    start,
                )
            )
        self.width = len(cores)
        self.threads = max((len(core[0]) for core in cores), default=1)
        self._place(cores)
        self._divide(domains, inventory)

    def _place(self, cores: list[tuple[list[int], int, int, bool]]) -> None:
        """Give each pCPU its bit."""
        #: The bit of each pCPU that may be dedicated.
        self.bit: dict[int, int] = {}
        #: The pCPUs of each core that may be dedicated.
        self.siblings = [threads for threads, _, _, _ in cores]
        #: Cores all of whose online threads may be dedicated.
        self.isolable = 0
        #: Cores by how many threads may be dedicated, and by kind, the
        #: fastest kind first.
        self.sized = [0] * (self.threads + 1)
        kinds: dict[int, int] = {}
        for position, (threads, kind, _, isolable) in enumerate(cores):
            core = 1 << position
            self.sized[len(threads)] |= core
            kinds[kind] = kinds.get(kind, 0) | core
            if isolable:
                self.isolable |= core
            for number, cpu in enumerate(threads):
                at = number * self.width + position
                self.bit[cpu] = 1 << at
        self.kinds = [kinds[kind] for kind in sorted(kinds)]
        self.ranks = sorted(kinds)
        self.all = sum(self.bit.values())

    def _divide(
        self,
        domains: list[tuple[int, frozenset[int], bool, int, int, int]],
        inventory: Inventory,
    ) -> None:
        """Make the domains and the rows."""
        packages = {p: i for i, p in enumerate(inventory.packages)}
        ids = sorted({domain[0] for domain in domains})
        rows = {cell: row for row, cell in enumerate(ids)}
        self.domains = tuple(
            Domain(
                index=index,
                cell=cell,
                row=rows[cell],
                cpus=cpus,
                size=size,
                cores=count,
                mask=((1 << count) - 1) << start,
                bits=sum(self.bit.get(cpu, 0) for cpu in cpus),
                shared=cpus & self.shared,
                name=f'{"L3" if known else "cell"} of CPUs '
                f'{cpuset.format(cpus)}',
            )
            for index, (cell, cpus, known, size, count, start) in enumerate(
                domains
            )
        )
        made = []
        for index, cell in enumerate(ids):
            own = tuple(d for d in self.domains if d.cell == cell)
            cpus = frozenset[int]().union(*(d.cpus for d in own))
            made.append(
                Row(
                    cell=cell,
                    index=index,
                    domains=own,
                    package=packages[inventory.cpu[min(cpus)].package],
                    shared=cpus & self.shared,
                    bits=sum(self.bit.get(cpu, 0) for cpu in cpus),
                    size=sum(domain.size for domain in own),
                    mask=sum(domain.mask for domain in own),
                )
            )
        self.rows = tuple(made)
        self.domain_bits = [domain.bits for domain in self.domains]
        self.row_bits = [row.bits for row in self.rows]
        #: Threads of the largest row, and of the largest domain.
        self.largest = max([row.size for row in self.rows], default=0)
        self.widest = max([d.size for d in self.domains], default=0)
        #: Whether host cells have few domains: see
        #: :data:`kvm_tuning.core.solver.costs.DOMAINS`.
        self.narrow = all(len(row.domains) <= NARROW for row in self.rows)
        #: The domain of each online CPU.
        self.domain_of = {
            cpu: domain for domain in self.domains for cpu in domain.cpus
        }
        self._held: dict[frozenset[int], int] = {}
        #: What others compute from the grid once.
        self.memo = Memo()

    def held(self, cpus: frozenset[int]) -> int:
        """Return the bits of those of ``cpus`` that may be dedicated."""
        found = self._held.get(cpus)
        if found is None:
            if len(self._held) >= MOST_HELD:
                self._held.clear()
            own = self.dedicated.intersection(cpus)
            # A sum of distinct bits is their union, and faster.
            found = self._held[cpus] = sum(map(self.bit.__getitem__, own))
        return found

    def held_by(self, claims: Iterable[Claim]) -> int:
        """Return the bits of all pCPUs that somebody holds exclusively."""
        get = self._held.get
        bits = 0
        for claim in claims:
            pcpus = claim.pcpus
            if pcpus:
                found = get(pcpus)
                bits |= self.held(pcpus) if found is None else found
        return bits


def of(inventory: Inventory, policy: Policy) -> Grid:
    """Return the grid of a host under a policy; it is made once."""
    key = ('grid', policy.dedicated_cpus, policy.shared_cpus, policy.overlap)
    return inventory.memo.once(key, lambda: Grid(inventory, policy))


def kinds(cpus: Iterable[Cpu]) -> dict[int | None, int]:
    """Return the kind, 0 the fastest, of each capacity."""
    found: dict[int | None, int] = {None: 0}
    fastest = None
    kind = -1
    values = {cpu.capacity for cpu in cpus if cpu.capacity is not None}
    for value in sorted(values, reverse=True):
        if fastest is None or value < fastest * SAME_KIND:
            fastest = value
            kind += 1
        found[value] = kind
    return found


def _groups(
    cpus: Iterable[Cpu],
) -> list[tuple[tuple[int, bool], list[Cpu]]]:
    """Return the CPUs of each L3 domain of each cell, in order."""
    groups: dict[tuple[int, frozenset[int] | None], list[Cpu]] = {}
    for cpu in sorted(cpus, key=lambda cpu: cpu.id):
        groups.setdefault((cpu.cell, cpu.l3), []).append(cpu)
    return [
        ((cell, l3 is not None), group)
        for (cell, l3), group in sorted(
            groups.items(), key=lambda item: (item[0][0], item[1][0].id)
        )
    ]


def _cores(
    group: list[Cpu], dedicated: frozenset[int], rank: dict[int | None, int]
) -> list[tuple[list[int], int, int, bool]]:
    """Return threads, kind, lowest CPU and isolability of each core.

    A core that spans domains (no known hardware has one) counts as one in
    each, and cannot be isolated.
    """
    members = {cpu.id: cpu for cpu in group}
    seen: set[int] = set()
    cores = []
    for cpu in group:
        if cpu.id in seen:
            continue
        own = sorted((cpu.core & members.keys()) | {cpu.id})
        seen.update(own)
        threads = [one for one in own if one in dedicated]
        if threads:
            isolable = cpu.core <= dedicated
            cores.append((threads, rank[cpu.capacity], own[0], isolable))
    return sorted(cores, key=lambda core: (core[1], core[2]))
