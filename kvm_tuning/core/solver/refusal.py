"""Say why there is no room for a guest: how much was free where."""

from collections import Counter
from collections.abc import Iterable, Sequence

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import CellDemand, ThreadPolicy
from kvm_tuning.core.exceptions import Exhausted, Refused, Unsupported
from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.core.solver import pages, stock
from kvm_tuning.core.solver.devices import Offer
from kvm_tuning.core.solver.fit import Fitter
from kvm_tuning.core.solver.grid import Domain, Row
from kvm_tuning.core.solver.packing import Ask, Even

# How many host cells and L3 domains are named, the best ones: large hosts have
# dozens, and the text is kept in the guest's receipt.
_MOST = 3


def no_host_cell(fitter: Fitter, cell: CellDemand) -> Refused:
    """Return why a guest cell fits on no host cell."""
    ask = fitter.ask(cell)
    limits = fitter.fewest(ask)
    what = f'guest cell {cell.cell} needs {_needs(fitter, cell, ask)}'
    if all(limit is None for limit in limits):
        if uneven := _uneven(fitter, what, ask):
            return uneven
        return Unsupported(
            f'{what} in one host cell, and no host cell of this host is that '
            f'large: {_sizes(fitter)}. Split the guest into more cells '
            f'(hw:numa_nodes), or widen [placement] dedicated_cpus'
        )
    missing = _missing_sizes(fitter, cell)
    if missing is not None:
        return missing
    whys = _whys(fitter, cell, ask, fitter.grid.rows)
    return Exhausted(f'{what}. {whys}')


def _uneven(fitter: Fitter, what: str, ask: Ask) -> Refused | None:
    """Return that a cell is large enough, but not in equal parts."""
    plain = fitter.fewest(ask._replace(even=Even.NO))
    if all(limit is None for limit in plain):
        return None
    sizes = sorted({d.size for d in fitter.grid.domains if d.size})
    return Unsupported(
        f'{what}: {ask.vcpus} vCPUs cannot be divided so on this host, whose '
        f'L3 domains have {", ".join(map(str, sizes))} allocatable pCPUs. '
        f'Choose another number of vCPUs'
    )


def too_few_cells(
    fitter: Fitter,
    cells: Sequence[int],
    columns: Sequence[int],
) -> Refused:
    """Return why several guest cells cannot each have a host cell."""
    wants, rows = fitter.wants, fitter.grid.rows
    if len(rows) < len(wants.cells):
        return Unsupported(
            f'the guest has {len(wants.cells)} NUMA cells and each needs a '
            f'host cell of its own: this host has {len(rows)}'
        )
    demands = [wants.cells[index] for index in cells]
    if len(demands) == 1:
        return no_host_cell(fitter, demands[0])
    names = ', '.join(str(demand.cell) for demand in demands)
    where = ', '.join(str(rows[column].cell) for column in columns) or 'none'
    whys = _whys(
        fitter,
        demands[0],
        fitter.ask(demands[0]),
        [row for row in rows if row.index not in columns],
    )
    return Exhausted(
        f'guest cells {names} need a host cell each, and only host cells '
        f'{where} have room. {whys}'
    )


def no_devices(offered: Sequence[Offer]) -> Refused:
    """Return why there are not enough PCI functions."""
    parts = '; '.join(
        f'{demand.key}: {demand.count} wanted, affinity '
        f'{demand.affinity.value}, free: {_by_cell(free)}'
        for demand, free in offered
    )
    return Exhausted(
        f'not enough PCI functions near the host cells that have room '
        f'(hw:pci_numa_affinity_policy). {parts}'
    )


def what_is_free(fitter: Fitter, cell: CellDemand) -> str:
    """Say which L3 domains have the most room for a guest cell's dedicated
    vCPUs.
    """
    rows = fitter.grid.rows
    offers = _offers(fitter, fitter.ask(cell), rows)
    return 'free of allocatable pCPUs: ' + _best(offers, len(rows) > 1)


def _by_cell(free: Iterable[PciDevice]) -> str:
    counts = Counter(device.cell for device in free)
    return (
        ', '.join(
            f'{count} in '
            + ('an unknown cell' if cell is None else f'host cell {cell}')
            for cell, count in sorted(
                counts.items(), key=lambda item: (item[0] is None, item[0])
            )
        )
        or 'none'
    )


def _needs(fitter: Fitter, cell: CellDemand, ask: Ask) -> str:
    wants = fitter.wants
    parts = []
    if ask.vcpus:
        text = f'{ask.vcpus} dedicated pCPUs'
        if ask.policy is not ThreadPolicy.PREFER:
            text += f' (hw:cpu_thread_policy={ask.policy.value})'
        limits = [n for n in fitter.fewest(ask) if n is not None]
        if wants.strict and wants.locality is not None and limits:
            domains = 'domain' if min(limits) == 1 else 'domains'
            text += (
                f' in {min(limits)} L3 {domains} '
                f'({wants.locality.asked_by}, strict)'
            )
        if wants.even is not None and wants.even.strict:
            text += f', equally many in each L3 domain ({wants.even.asked_by})'
        parts.append(text)
    if ask.emulator:
        parts.append('one more for the emulator')
    shared = len(cell.vcpus) - ask.vcpus
    if shared:
        parts.append(f'shared pCPUs for {shared} vCPUs')
    if wants.memory_is_bound or cell.cell in wants.sizes_kib:
        sizes = wants.sizes_kib.get(cell.cell)
        kind = (
            ' in pages of ' + ' or '.join(f'{size} KiB' for size in sizes)
            if sizes
            else ''
        )
        parts.append(f'{cell.memory_kib // 1024} MiB of memory{kind}')
    return ' and '.join(filter(None, [', '.join(parts[:-1]), parts[-1]]))


def _sizes(fitter: Fitter) -> str:
    return ', '.join(
        f'host cell {row.cell} has {row.size} allocatable pCPUs'
        for row in fitter.grid.rows
    )


def _missing_sizes(fitter: Fitter, cell: CellDemand) -> Refused | None:
    """Report it when no cell of the host has pages of the size at all."""
    sizes = fitter.wants.sizes_kib.get(cell.cell)
    if not sizes:
        return None
    inventory = fitter.site.inventory
    there = {pool.size_kib for c in inventory.cells for pool in c.pages}
    there.add(inventory.page_size_kib)
    text = ' or '.join(f'{size} KiB' for size in sizes)
    if there.isdisjoint(sizes):
        return Unsupported(
            f'guest cell {cell.cell} wants pages of {text} '
            f'(hw:mem_page_size), and this host has pages of '
            + ', '.join(f'{size}' for size in sorted(there))
            + ' KiB'
        )
    if all(cell.memory_kib % size for size in sizes):
        return Unsupported(
            f'guest cell {cell.cell} has {cell.memory_kib} KiB of memory, '
            f'which is not a multiple of {text} (hw:mem_page_size)'
        )
    return None


def _whys(
    fitter: Fitter, cell: CellDemand, ask: Ask, rows: Sequence[Row]
) -> str:
    """Describe host cells, those with the most free pCPUs."""
    free = fitter.stock.row_free
    best = sorted(rows, key=lambda row: -free[row.index])[:_MOST]
    text = '; '.join(
        f'host cell {row.cell}: {_why(fitter, cell, ask, row)}'
        for row in sorted(best, key=lambda row: row.index)
    )
    text += _others(
        len(rows) - len(best), '; at most as many pCPUs are free', 'host cell'
    )
    return text + _processes(fitter)


def _processes(fitter: Fitter) -> str:
    """Name the processes that hold pCPUs and are not guests."""
    claims = [c for c in fitter.site.ledger.claims if c.foreign]
    if not claims:
        return ''
    text = ', '.join(
        f'{claim.name} {cpuset.format(claim.pcpus)}'
        for claim in claims[:_MOST]
    )
    more = len(claims) - _MOST
    return f'. Processes that are not guests hold pCPUs: {text}' + (
        f', and {more} more' if more > 0 else ''
    )


def _why(fitter: Fitter, cell: CellDemand, ask: Ask, row: Row) -> str:
    """Describe a host cell by everything that the guest cell may lack."""
    parts = []
    if ask.vcpus or ask.emulator:
        offers = _offers(fitter, ask, [row])
        free = fitter.stock.row_free[row.index]
        if not offers:
            parts.append('no allocatable pCPU')
        elif len(offers) <= _MOST:
            parts.append('free of allocatable pCPUs: ' + _best(offers))
        else:
            parts.append(
                f'{free}/{row.size} of allocatable pCPUs free, the best are '
                + _best(offers)
            )
    if len(cell.vcpus) > ask.vcpus:
        free = len(row.shared - fitter.site.ledger.pcpus)
        parts.append(f'{free} of {len(row.shared)} shared pCPUs')
    if fitter.pages(cell, row) is None:
        parts.append(_memory(fitter, cell, row))
    return ', '.join(parts)


def _offers(
    fitter: Fitter, ask: Ask, rows: Iterable[Row]
) -> list[tuple[int, int, Domain]]:
    """Return the vCPUs that domains can hold now, and with nobody there."""
    kinds = fitter.kinds[-1].mask
    now = fitter.stock.slots(ask.policy, kinds)
    hardware = stock.empty(fitter.grid).slots(ask.policy, kinds)
    return [
        (now[domain.index], hardware[domain.index], domain)
        for row in rows
        for domain in row.domains
        if hardware[domain.index]
    ]


def _best(
    offers: Sequence[tuple[int, int, Domain]], with_cell: bool = False
) -> str:
    """Name the domains that can hold the most, in order."""
    best = sorted(offers, key=lambda offer: -offer[0])[:_MOST]
    text = ', '.join(
        f'{now}/{hardware} in {domain.name}'
        + (f' (host cell {domain.cell})' if with_cell else '')
        for now, hardware, domain in sorted(
            best, key=lambda offer: offer[2].index
        )
    )
    return text + _others(len(offers) - len(best), ', no more', 'domain')


def _others(count: int, start: str, what: str) -> str:
    """Say how many are not named because they have no more."""
    if not count:
        return ''
    return f'{start} in {count} other {what}' + 's' * (count != 1)


def _memory(fitter: Fitter, cell: CellDemand, row: Row) -> str:
    site = fitter.site
    host = site.inventory.cell[row.cell]
    sizes = fitter.wants.sizes_kib.get(cell.cell)
    parts = [
        f'{pages.free_pages(site, host.id, pool)} free pages of '
        f'{pool.size_kib} KiB'
        for pool in host.pages
        if sizes and pool.size_kib in sizes
    ]
    if not sizes or site.inventory.page_size_kib in sizes:
        free = max(0, pages.small_free_kib(site, host)) // 1024
        parts.append(f'{free} MiB of small pages free')
    return ' and '.join(parts) or 'no such pages'
