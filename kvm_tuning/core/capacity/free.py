"""What of a host nobody holds, cell by cell."""

from collections.abc import Mapping
from dataclasses import dataclass

from kvm_tuning.core.inventory import Cell
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver import pages


@dataclass(frozen=True, slots=True)
class Free:
    """What is free in one cell."""

    cell: int
    #: pCPUs that may be dedicated and that nobody holds.
    pcpus: frozenset[int]
    #: Whether all pCPUs of the cell that may be dedicated are free.
    whole: bool
    #: L3 domains of which that is so.
    whole_l3_domains: int
    l3_domains: int
    #: Outside of huge pages.
    memory_kib: int
    #: By size in KiB.
    pages: Mapping[int, int]
    vfs: int


def read(site: Site) -> tuple[Free, ...]:
    """Return what is free in each cell, by number."""
    return tuple(_cell(site, cell) for cell in site.inventory.cells)


def _cell(site: Site, cell: Cell) -> Free:
    allowed = _allowed(site) & cell.cpus
    free = allowed - site.ledger.pcpus
    domains = [part for each in site.inventory.l3 if (part := each & allowed)]
    return Free(
        cell=cell.id,
        pcpus=free,
        whole=bool(allowed) and free == allowed,
        whole_l3_domains=sum(each <= free for each in domains),
        l3_domains=len(domains),
        memory_kib=max(0, pages.small_free_kib(site, cell)),
        pages={
            pool.size_kib: max(0, pages.free_pages(site, cell.id, pool))
            for pool in cell.pages
        },
        vfs=_vfs(site, cell),
    )


def _allowed(site: Site) -> frozenset[int]:
    """Return the online pCPUs that may be dedicated."""
    return (site.policy.dedicated_cpus or frozenset()) & site.inventory.online


def _vfs(site: Site, cell: Cell) -> int:
    """Count the VFs of a cell that nobody has, by address or by NIC."""
    held = site.ledger.devices
    return sum(
        device.kind == 'vf'
        and device.cell == cell.id
        and device.address not in held
        and device.pf not in held
        and held.isdisjoint(f'nic/{name}' for name in device.interfaces)
        for device in site.inventory.devices
    )
