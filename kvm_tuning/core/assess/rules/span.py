"""How many cells and L3 domains the vCPUs are on, and how few would do."""

from collections.abc import Iterator

from kvm_tuning.core.assess import place
from kvm_tuning.core.assess.case import Case, counted
from kvm_tuning.core.assess.finding import Finding, Where, found
from kvm_tuning.core.assess.place import Place


def cells(case: Case) -> Iterator[Finding]:
    """Yield that the vCPUs are on more cells than necessary."""
    where = case.place
    few = max(_fewest_cells(case, where), case.guest.setup.cells, 1)
    if len(where.cells) > few:
        yield found(
            'cell-span',
            _evidence(where, len(where.cells), few, 'NUMA cell'),
            Where(where.pcpus, where.cells),
        )


def l3_domains(case: Case) -> Iterator[Finding]:
    """Yield that the vCPUs are on more L3 domains than necessary, in the
    cells that they are on: unless these are too many, which says it all.
    """
    where = case.place
    if any(cells(case)):
        return
    on, few = l3_count(case)
    if on > few:
        yield found(
            'l3-span',
            _evidence(where, on, few, 'L3 domain'),
            Where(where.pcpus),
        )


def l3_count(case: Case) -> tuple[int, int]:
    """Return how many L3 domains the vCPUs may run on, and how few would do
    in their cells.

    :raises Unseen: where they may run is not known.
    """
    where = case.place
    on = sum(bool(each & where.pcpus) for each in case.host.domains)
    return on, _fewest_domains(case, where)


def _fewest_cells(case: Case, where: Place) -> int:
    """Return how few cells have the pCPUs and the memory."""
    inventory = case.host.inventory
    with_cpus = [each for each in inventory.cells if each.cpus]
    by_cpus = place.fewest((each.cpus for each in with_cpus), where, inventory)
    wanted, by_memory = case.guest.setup.memory_kib << 10, 0
    for size in sorted((c.memory_bytes for c in with_cpus), reverse=True):
        if wanted <= 0:
            break
        wanted -= size
        by_memory += 1
    return max(by_cpus, by_memory)


def _fewest_domains(case: Case, where: Place) -> int:
    """Return how few L3 domains would do in the cells where the vCPUs are."""
    inventory, domains = case.host.inventory, case.host.domains
    if not where.fixed:
        on = frozenset[int]().union(
            *(inventory.cell[cell].cpus for cell in where.cells)
        )
        return place.fewest(
            (each for each in domains if each <= on), where, inventory
        )
    total = 0
    for cell in where.cells:
        cpus = inventory.cell[cell].cpus
        here = tuple(each for each in where.vcpus if each <= cpus)
        part = Place(
            here, where.pcpus & cpus, where.held & cpus, frozenset({cell})
        )
        total += place.fewest(
            (each for each in domains if each <= cpus), part, inventory
        )
    return total


def _evidence(where: Place, on: int, few: int, what: str) -> str:
    are = 'are' if where.fixed else 'may run'
    return (
        f'{counted(len(where.vcpus), "vCPU")} {are} on {counted(on, what)}, '
        f'{few} would hold them'
    )


def guest_cells(case: Case) -> Iterator[Finding]:
    """Yield that a guest which no cell could hold sees one."""
    where, setup = case.place, case.guest.setup
    few = _fewest_cells(case, where)
    if few > 1 and len(where.cells) > 1 and setup.cells < 2:
        yield found(
            'guest-cells-missing',
            f'{counted(len(where.vcpus), "vCPU")} and '
            f'{setup.memory_kib >> 10} MiB take {counted(few, "NUMA cell")}, '
            f'the guest sees one',
            Where(where.pcpus, where.cells),
        )
