"""Render a host's topology for people and for programs."""

from typing import Any

from kvm_tuning.core import cpuset
from kvm_tuning.core.inventory import Cell, Cpu, Inventory

#: The columns of :func:`rows`.
COLUMNS = ('processor', 'core', 'socket', 'L3', 'cell')
#: The columns of :func:`domains`.
DOMAINS = ('L3', 'socket', 'cell', 'capacity', 'cores', 'threads', 'cpus')

Row = tuple[int, int, int, int | None, int]
Domain = tuple[int | str | None, ...]


def summary(inventory: Inventory) -> dict[str, Any]:
    """Return the topology as plain data for JSON.

    ``packages``, ``cores`` and ``l3`` are lists of lists of CPUs; ``numa``
    is keyed by cell id, as text.
    """
    return {
        'cpus': sorted(inventory.online),
        'packages': _lists(inventory.packages),
        'cores': _lists(inventory.cores),
        'l3': _lists(inventory.l3),
        'numa': {
            str(cell.id): {
                'cpus': sorted(cell.cpus),
                'memory_bytes': cell.memory_bytes,
            }
            for cell in inventory.cells
        },
        'smt': inventory.smt,
        'memory_bytes': inventory.memory_bytes,
        'page_size_kib': inventory.page_size_kib,
        'processors': [_processor(row) for row in rows(inventory)],
        'capacities': {
            str(cpu.id): cpu.capacity
            for cpu in inventory.cpus
            if cpu.capacity is not None
        },
        'free_memory_bytes': {
            str(cell.id): cell.free_memory_bytes for cell in inventory.cells
        },
        'pages': {str(cell.id): _pages(cell) for cell in inventory.cells},
        'distances': {
            str(cell.id): {
                str(other): distance
                for other, distance in sorted(cell.distances.items())
            }
            for cell in inventory.cells
        },
    }


def rows(inventory: Inventory) -> list[Row]:
    """Return processor, core, socket, L3 domain and cell of each CPU.

    A core is named by the kernel's core_id where it is one in its socket,
    and by the number of its first CPU where the kernel shows none. A socket
    likewise; an L3 domain by its place in :attr:`Inventory.l3`, since the
    kernel gives it no name. None: no L3 cache is shown.
    """
    domain = {cpus: index for index, cpus in enumerate(inventory.l3)}
    return [
        (
            cpu.id,
            min(cpu.core) if cpu.core_id is None else cpu.core_id,
            _socket(cpu),
            None if cpu.l3 is None else domain[cpu.l3],
            cpu.cell,
        )
        for cpu in inventory.cpus
    ]


def domains(inventory: Inventory) -> list[Domain]:
    """Return the CPUs that are alike, a row each set of them: its L3 domain,
    socket, cell and capacity, its number of cores, the threads of each, and
    the CPUs as a CPU list.

    Cores that have different numbers of threads, as where one is offline,
    are not alike. None: the kernel shows no L3 cache, or no capacity that
    tells CPUs apart.
    """
    kinds = len({cpu.capacity for cpu in inventory.cpus})
    alike: dict[tuple[int | None, ...], set[Cpu]] = {}
    for row, cpu in zip(rows(inventory), inventory.cpus, strict=True):
        capacity = cpu.capacity if kinds > 1 else None
        key = (row[3], row[2], row[4], capacity, len(cpu.core))
        alike.setdefault(key, set()).add(cpu)
    return [
        (
            *key[:4],
            len({cpu.core for cpu in cpus}),
            key[4],
            cpuset.format({cpu.id for cpu in cpus}),
        )
        for key, cpus in sorted(
            alike.items(), key=lambda item: min(cpu.id for cpu in item[1])
        )
    ]


def sockets(inventory: Inventory) -> list[tuple[int, str]]:
    """Return each socket and its online CPUs as a CPU list."""
    seen = {cpu.package: _socket(cpu) for cpu in inventory.cpus}
    return sorted(
        (number, cpuset.format(cpus)) for cpus, number in seen.items()
    )


def describe(inventory: Inventory) -> str:
    """Return one line: what there is of each, and whether SMT is on."""
    kinds = len({cpu.capacity for cpu in inventory.cpus})
    return ', '.join(
        (
            _count(len(inventory.cpus), 'CPU'),
            _count(len(inventory.packages), 'socket'),
            _count(len(inventory.cores), 'core')
            + (f' of {kinds} kinds' if kinds > 1 else ''),
            _count(len(inventory.l3), 'L3 domain'),
            _count(len(inventory.cells), 'NUMA cell'),
            f'{inventory.memory_bytes / (1 << 30):.1f} GiB of memory',
            'SMT ' + ('on' if inventory.smt else 'off'),
        )
    )


def _lists(sets: tuple[frozenset[int], ...]) -> list[list[int]]:
    return [sorted(cpus) for cpus in sets]


def _socket(cpu: Cpu) -> int:
    return min(cpu.package) if cpu.package_id is None else cpu.package_id


def _processor(row: Row) -> dict[str, int | None]:
    return dict(
        zip(('processor', 'core', 'socket', 'l3', 'cell'), row, strict=True)
    )


def _pages(cell: Cell) -> list[dict[str, int]]:
    return [
        {'size_kib': pool.size_kib, 'total': pool.total, 'free': pool.free}
        for pool in cell.pages
    ]


def _count(number: int, what: str) -> str:
    return f'{number} {what}' if number == 1 else f'{number} {what}s'
