"""Huge pages for the guest's memory."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import Demand, PageDemand
from kvm_tuning.core.effects import Absent, Consequence, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Flag, Knob, Size
from kvm_tuning.core.nova import topology
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome

_GIB = 1024**2
# Every size that a Linux architecture has (the kernel's vm/hugetlbpage and the
# architectures' own lists), the largest first, and the small page as Nova
# defines it.
_LARGE = (16 * _GIB, 2 * _GIB, _GIB, 512 * 1024, 32 * 1024, 16 * 1024, 2048)
_SMALL = 4


class HugePages(Hook):
    """Pages come from the pools of the guest's host cells, together with its
    pCPUs.
    """

    name = 'huge_pages'
    knobs = (
        Knob(
            'hw:mem_page_size',
            Size(('small', 'large', 'any')),
            'Size of the pages behind the guest memory: a size, the largest '
            'that fits (large), small pages (small), or either (any).',
            nova=True,
            image='hw_mem_page_size',
            preferable=False,
        ),
        Knob(
            'hw:locked_memory',
            Flag(),
            'The guest memory is locked into RAM. Needs hw:mem_page_size.',
            nova=True,
            image='hw_locked_memory',
            preferable=False,
        ),
    )
    cells = True

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        if request.topology is None:
            return
        for cell in request.topology.cells:
            if cell.page_size is not None:
                yield PageDemand(cell.id, _sizes(cell.page_size))

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        cells: dict[int, list[int]] = {}
        for cell in placement.cells:
            if cell.page_kib is not None:
                cells.setdefault(cell.page_kib, []).append(cell.cell)
        for size, guest_cells in cells.items():
            yield Element(
                f"memoryBacking/hugepages/page[@size='{size}']",
                {'unit': 'KiB', 'nodeset': cpuset.format(guest_cells)},
            )
        if cells:
            yield Consequence(
                'huge-pages',
                'operator',
                'huge pages are held from the start of the guest until it '
                'stops; they are neither swapped nor shared by KSM',
            )
        elif request.get('hw:mem_page_size') is not None:
            yield Absent('memoryBacking/hugepages')
        elif guest.huge_pages:
            yield Consequence(
                'own-huge-pages',
                'operator',
                "the domain's own <hugepages> stay, and its pages are not "
                'counted: request hw:mem_page_size',
            )
        if request.value('hw:locked_memory') is True:
            yield Element('memoryBacking/locked')


def _sizes(page_size: int) -> tuple[int, ...]:
    if page_size == topology.SMALL:
        return (_SMALL,)
    if page_size == topology.LARGE:
        return _LARGE
    if page_size == topology.ANY:
        return (*_LARGE, _SMALL)
    return (page_size,)
