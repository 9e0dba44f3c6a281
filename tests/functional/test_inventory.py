"""This host, as we read it and as libvirt does."""

from collections.abc import Callable
from dataclasses import replace

from lxml import etree
import testtools
from testtools.matchers import Equals

from kvm_tuning.core import cpuset
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.host.inventory import reader
from tests.fixtures import tiny_guest

_TRIES = 10


class TestAgainstLibvirt(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        connection = self.useFixture(tiny_guest.Libvirt()).connection
        # Others may take pages and CPUs meanwhile: an answer counts when it
        # was the same to us before and after.
        for _try in range(_TRIES):
            self.ours = reader.read(devices=False)
            document = connection.getCapabilities()
            if _still(reader.read(devices=False)) == _still(self.ours):
                break
        else:
            self.skipTest('this host does not stay the same')
        # libvirt's own document, about this host.
        self.host = etree.fromstring(document).find('host')
        self.cells = {
            int(cell.get('id')): cell
            for cell in self.host.iterfind('topology/cells/cell')
        }

    def each_cell(self, read: Callable[[etree._Element], object]) -> dict:
        return {number: read(cell) for number, cell in self.cells.items()}

    def test_cells(self):
        self.assertThat(
            self.each_cell(
                lambda cell: {int(cpu.get('id')) for cpu in _online(cell)}
            ),
            Equals({cell.id: set(cell.cpus) for cell in self.ours.cells}),
        )

    def test_memory(self):
        self.assertThat(
            self.each_cell(lambda cell: int(cell.findtext('memory')) * 1024),
            Equals({cell.id: cell.memory_bytes for cell in self.ours.cells}),
        )

    def test_huge_pages(self):
        base = str(self.ours.page_size_kib)
        self.assertThat(
            self.each_cell(
                lambda cell: {
                    int(pages.get('size')): int(pages.text)
                    for pages in cell.iterfind('pages')
                    if pages.get('size') != base
                }
            ),
            Equals(
                {
                    cell.id: {pool.size_kib: pool.total for pool in cell.pages}
                    for cell in self.ours.cells
                }
            ),
        )

    def test_base_page_size(self):
        sizes = {
            int(pages.get('size'))
            for cell in self.cells.values()
            for pages in cell.iterfind('pages')
        }
        self.assertThat(min(sizes), Equals(self.ours.page_size_kib))

    def test_distances(self):
        self.assertThat(
            self.each_cell(
                lambda cell: {
                    int(sibling.get('id')): int(sibling.get('value'))
                    for sibling in cell.iterfind('distances/sibling')
                }
            ),
            Equals(
                {cell.id: dict(cell.distances) for cell in self.ours.cells}
            ),
        )

    def test_siblings_and_ids(self):
        theirs = {
            int(cpu.get('id')): (
                cpuset.parse(cpu.get('siblings')),
                int(cpu.get('core_id')),
                int(cpu.get('socket_id')),
                int(cpu.get('die_id', 0)),
            )
            for cell in self.cells.values()
            for cpu in _online(cell)
        }
        self.assertThat(
            theirs,
            Equals(
                {
                    cpu.id: (
                        cpu.core,
                        # libvirt's word for not known is 0.
                        cpu.core_id or 0,
                        cpu.package_id or 0,
                        cpu.die_id or 0,
                    )
                    for cpu in self.ours.cpus
                }
            ),
        )

    def test_l3_domains(self):
        banks = {
            cpuset.parse(bank.get('cpus'))
            for bank in self.host.iterfind('cache/bank[@level="3"]')
        }
        self.assertThat(banks, Equals(set(self.ours.l3)))


def _online(cell: etree._Element) -> list[etree._Element]:
    """Return the CPUs of a cell that are online: the others have no ids."""
    return [
        cpu
        for cpu in cell.iterfind('cpus/cpu')
        if cpu.get('socket_id') is not None
    ]


def _still(found: Inventory) -> Inventory:
    """Return what does not change from one moment to the next."""
    cells = (
        replace(
            cell,
            free_memory_bytes=0,
            pages=tuple(replace(pool, free=0) for pool in cell.pages),
        )
        for cell in found.cells
    )
    return replace(found, cells=tuple(cells))
