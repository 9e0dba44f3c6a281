"""What a picture says in words."""

from collections.abc import Iterator

from kvm_tuning.core import cpuset
from kvm_tuning.core.inventory import NO_CELL
from kvm_tuning.core.picture.model import Cell, Device, Picture, Resident

_GIB = 1 << 30


def cell(each: Cell) -> str:
    """Return the name of a cell."""
    name = 'No NUMA cell' if each.id == NO_CELL else f'NUMA cell {each.id}'
    if not each.packages:
        return f'{name}, memory only'
    plural = '' if len(each.packages) == 1 else 's'
    return f'{name}, package{plural} {cpuset.format(each.packages)}'


def memory(each: Cell) -> str:
    """Return what memory a cell has, and what is free of it."""
    text = (
        f'{each.free_bytes / _GIB:.1f} of {each.memory_bytes / _GIB:.1f} GiB '
        f'free'
    )
    pools = [
        f'{pool.free} of {pool.total} {_size(pool.size_kib)} pages free'
        for pool in each.pages
        if pool.total
    ]
    return ', '.join((text, *pools))


def _size(kib: int) -> str:
    for unit, factor in (('GiB', 1 << 20), ('MiB', 1 << 10)):
        if kib >= factor:
            return f'{kib // factor} {unit}'
    return f'{kib} KiB'


def device(picture: Picture, each: Device) -> str:
    """Return a device, and the guests that have it or functions of it."""
    having = [
        guest.mark
        for guest in picture.guests
        if guest.functions & each.addresses
    ]
    text = f'{each.kind} {each.name}, {each.about}'
    return f'{text}, at {" ".join(having)}' if having else text


def facts(guest: Resident, picture: Picture) -> Iterator[str]:
    """Yield what there is to know about where a guest is."""
    yield _vcpus(guest, picture)
    for name, pcpus in guest.helpers:
        yield f'{name} on {cpuset.format(pcpus)}'
    if guest.cells_kib is None and guest.memory_kib:
        yield f'{guest.memory_kib / (1 << 20):.1f} GiB, cell not known'
    for id, kib in sorted((guest.cells_kib or {}).items()):
        if kib:
            yield f'{kib / (1 << 20):.1f} GiB on cell {id}'
    yield from sorted(guest.functions)


def _vcpus(guest: Resident, picture: Picture) -> str:
    if not guest.vcpus:
        return 'where its vCPUs run is not known'
    pcpus = frozenset[int]().union(*guest.vcpus.values())
    count = len(guest.vcpus)
    plural = '' if count == 1 else 's'
    text = f'{count} vCPU{plural} on pCPU {cpuset.format(pcpus)}'
    if not guest.fixed:
        return f'{text}, not pinned one to one'
    domains = [
        str(domain.number)
        for cell in picture.cells
        for domain in cell.domains
        if domain.number is not None
        and any(pcpus & frozenset(core) for core in domain.cores)
    ]
    return f'{text} in L3 {", ".join(domains)}' if domains else text


def finding_count(guest: Resident) -> int:
    """Return how many findings of a guest are more than a note."""
    return sum(f.severity in ('error', 'warning') for f in guest.findings)
