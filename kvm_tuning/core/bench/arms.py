"""Which pCPUs and which memory a measurement compares."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kvm_tuning.core import cpuset
from kvm_tuning.core.inventory import NO_CELL, Inventory

#: What can be said of memory: bound to the cells of the threads, or put where
#: the kernel puts it.
BOUND, UNBOUND, BOTH = 'bound', 'unbound', 'both'

Cpus = frozenset[int]


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison: where two threads and two buffers are."""

    name: str
    #: The pCPUs that each thread may run on.
    cpus: tuple[Cpus, Cpus]
    #: The cell that each buffer is bound to; None: unbound.
    cells: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Sets of pCPUs to compare, and what that compares."""

    sets: tuple[Cpus, ...]
    reason: str


def choose(inventory: Inventory, allowed: Cpus) -> Choice:
    """Return two sets of two pCPUs that are as far apart as the host shows:
    in one cell and in two, or else in one L3 domain and in two, or else on one
    core and on two.

    :param allowed: pCPUs that may be used.
    """
    cpus = allowed & inventory.online
    cells = [
        cell.cpus & cpus for cell in inventory.cells if cell.id != NO_CELL
    ]
    for groups, one, two, instead in (
        (cells, 'one NUMA cell', 'two', ''),
        (
            [domain & cpus for domain in inventory.l3],
            'one L3 domain',
            'two',
            'the pCPUs are in one NUMA cell: ',
        ),
    ):
        pair = _pair(inventory, groups)
        if pair is not None:
            return Choice(pair, f'{instead}{one} is compared with {two}')
    siblings = [core & cpus for core in inventory.cores]
    together = next((core for core in siblings if len(core) > 1), None)
    apart = _spread(inventory, cpus)[:2]
    if together is not None and len(apart) > 1:
        sets = (frozenset(sorted(together)[:2]), frozenset(apart))
        return Choice(
            sets,
            'the pCPUs are in one NUMA cell and one L3 domain: thread '
            'siblings are compared with two cores',
        )
    return Choice(
        (frozenset(apart),),
        'the pCPUs are alike: there is nothing to compare them with',
    )


def _pair(
    inventory: Inventory, groups: Sequence[Cpus]
) -> tuple[Cpus, Cpus] | None:
    """Return two pCPUs of one group, and one of each of two groups; None:
    there are not two groups, or none has two cores.
    """
    ordered = [_spread(inventory, group) for group in groups]
    whole = [group for group in ordered if group]
    near = next((group for group in whole if len(group) > 1), None)
    if near is None or len(whole) < 2:
        return None
    other = next(group for group in whole if group is not near)
    return frozenset(near[:2]), frozenset((near[0], other[0]))


def _spread(inventory: Inventory, cpus: Cpus) -> list[int]:
    """Return one pCPU of each core, those of one L3 domain together."""
    first: dict[Cpus, int] = {}
    for cpu in inventory.cpus:
        if cpu.id in cpus:
            first.setdefault(cpu.core, cpu.id)
    domain = {cpu.id: min(cpu.l3 or {0}) for cpu in inventory.cpus}
    return sorted(first.values(), key=lambda cpu: (domain[cpu], cpu))


def arms(
    inventory: Inventory, sets: Iterable[Cpus], memory: str
) -> Iterator[Arm]:
    """Yield each set of pCPUs with each kind of memory.

    :param memory: :data:`BOUND`, :data:`UNBOUND` or :data:`BOTH`.
    """
    for cpus in sets:
        name = f'pCPUs {cpuset.format(cpus)}'
        threads = _threads(cpus)
        if memory in (BOUND, BOTH):
            cells = _cells(inventory, threads)
            yield Arm(f'{name}, memory bound', threads, cells)
        if memory in (UNBOUND, BOTH):
            yield Arm(f'{name}, memory unbound', threads)


def _threads(cpus: Cpus) -> tuple[Cpus, Cpus]:
    """Return where each thread may run: of two pCPUs each has one."""
    if len(cpus) != 2:
        return cpus, cpus
    return frozenset({min(cpus)}), frozenset({max(cpus)})


def _cells(
    inventory: Inventory, threads: tuple[Cpus, Cpus]
) -> tuple[int, int]:
    """Return the cell of each buffer: that of its thread, or the cells of
    both in turn.
    """
    of_each = [
        sorted({inventory.cpu[cpu].cell for cpu in cpus}) for cpus in threads
    ]
    return of_each[0][0], of_each[1][-1]
