"""Says why a guest has no place: how much was free where."""

from collections import Counter
from collections.abc import Iterable, Sequence

from kvm_tuning.core.demands import CellDemand, ThreadPolicy
from kvm_tuning.core.exceptions import Exhausted, Refused, Unsupported
from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.core.solver import pages, stock
from kvm_tuning.core.solver.devices import Offer
from kvm_tuning.core.solver.fit import Fitter
from kvm_tuning.core.solver.grid import Row
from kvm_tuning.core.solver.packing import Ask


def no_host_cell(fitter: Fitter, cell: CellDemand) -> Refused:
    """Return why a guest cell fits on no host cell."""
    ask = fitter.ask(cell)
    limits = fitter.fewest(ask)
    what = f'guest cell {cell.cell} needs {_needs(fitter, cell, ask)}'
    if all(limit is None for limit in limits):
        return Unsupported(
            f'{what} in one host cell, and no host cell of this host is that '
            f'large: {_sizes(fitter)}. Split the guest into more cells '
            f'(hw:numa_nodes), or widen [placement] dedicated_cpus'
        )
    missing = _missing_sizes(fitter, cell)
    if missing is not None:
        return missing
    whys = '; '.join(
        f'host cell {row.cell}: {_why(fitter, cell, ask, index)}'
        for index, row in enumerate(fitter.grid.rows)
    )
    return Exhausted(f'{what}. {whys}')


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
    whys = '; '.join(
        f'host cell {row.cell}: '
        f'{_why(fitter, demands[0], fitter.ask(demands[0]), index)}'
        for index, row in enumerate(rows)
        if index not in columns
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
    """Say what each host cell has for a guest cell's dedicated vCPUs."""
    ask = fitter.ask(cell)
    return '; '.join(
        f'host cell {row.cell}: {_cpus(fitter, ask, row)}'
        for row in fitter.grid.rows
    )


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
    """Say it when no cell of the host has pages of the size at all."""
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
            f'which is no multiple of {text} (hw:mem_page_size)'
        )
    return None


def _why(fitter: Fitter, cell: CellDemand, ask: Ask, index: int) -> str:
    """Say what a host cell has, of all that the guest cell may lack."""
    row = fitter.grid.rows[index]
    parts = []
    if ask.vcpus or ask.emulator:
        parts.append(_cpus(fitter, ask, row))
    if len(cell.vcpus) > ask.vcpus:
        free = len(row.shared - fitter.site.ledger.pcpus)
        parts.append(f'{free} of {len(row.shared)} shared pCPUs')
    if fitter.pages(cell, row) is None:
        parts.append(_memory(fitter, cell, row))
    return ', '.join(parts)


def _cpus(fitter: Fitter, ask: Ask, row: Row) -> str:
    kinds = fitter.kinds[-1].mask
    now = fitter.stock.slots(ask.policy, kinds)
    hardware = stock.empty(fitter.grid).slots(ask.policy, kinds)
    parts = [
        f'{now[domain.index]}/{hardware[domain.index]} in {domain.name}'
        for domain in row.domains
        if hardware[domain.index]
    ]
    if not parts:
        return 'no allocatable pCPU'
    return 'free of allocatable pCPUs: ' + ', '.join(parts)


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
