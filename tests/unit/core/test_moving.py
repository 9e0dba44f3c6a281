import testtools

from kvm_tuning.core import domain, moving
from kvm_tuning.core.edit import Promise, Removal
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.request import Request
from tests.fixtures.fake_host import FakeHost

HOST = FakeHost(cells=2, l3_per_cell=1, cores=4, threads=1).inventory()
GUEST = Guest('g', None, 'kvm', None, None, 2, 1024)


def pin(vcpu, cpus):
    return Element(f"cputune/vcpupin[@vcpu='{vcpu}']", {'cpuset': cpus})


def plan(*effects):
    return Plan(
        Request('f', 2, 1), GUEST, (), Placement(), effects,
        Claim('u', 'g'), (), (),
    )  # fmt: skip


def receipt(*effects):
    return Receipt(
        'f',
        promises=tuple(
            Removal(e.path)
            if isinstance(e, Absent)
            else Promise(
                e.path,
                dict(e.attributes)
                | ({} if e.text is None else {'#text': e.text}),
                {},
            )
            for e in effects
        ),
    )


def live(inside):
    return domain.read(f'<domain><name>g</name>{inside}</domain>')


class PinsTest(testtools.TestCase):
    def test_every_pin(self):
        effects = (
            pin(1, '2-3'),
            Element('cputune/emulatorpin', {'cpuset': '0'}),
            Element("cputune/iothreadpin[@iothread='2']", {'cpuset': '1'}),
            Element('cputune/shares', text='10'),
            Element('iothreads', text='2'),
            Absent('cputune/emulatorpin'),
        )
        expected = [
            ('vcpupin', 1, {2, 3}),
            ('emulatorpin', 0, {0}),
            ('iothreadpin', 2, {1}),
        ]
        self.assertEqual(expected, list(moving.wanted(plan(*effects))))
        self.assertEqual(expected, list(moving.promised(receipt(*effects))))


class CellsTest(testtools.TestCase):
    def test_cells_of_a_receipt(self):
        found = moving.cells(receipt(pin(0, '1'), pin(1, '6')), HOST)
        self.assertEqual({0, 1}, found)
        self.assertEqual(frozenset(), moving.cells(receipt(), HOST))

    def test_cells_that_are_new(self):
        before = receipt(pin(0, '1'), pin(1, '2'))
        near = plan(pin(0, '2'), pin(1, '3'))
        far = plan(pin(0, '2'), pin(1, '6'))
        self.assertEqual(frozenset(), moving.left(before, near, HOST))
        self.assertEqual({1}, moving.left(before, far, HOST))

    def test_two_cells_that_swap_are_new_to_both(self):
        before = receipt(pin(0, '1'), pin(1, '6'))
        swapped = plan(pin(0, '6'), pin(1, '1'))
        self.assertEqual({0, 1}, moving.left(before, swapped, HOST))


class PlaceAloneTest(testtools.TestCase):
    DISK = Element('devices/disk/driver', {'io': 'native'})

    def check(self, before, after):
        moving.check_place_alone('g', receipt(*before), plan(*after))

    def test_other_pcpus_and_nodes(self):
        self.check(
            [pin(0, '1'), Element('numatune/memory', {'nodeset': '0'})],
            [pin(0, '2'), Element('numatune/memory', {'nodeset': '1'})],
        )

    def test_another_value_elsewhere(self):
        error = self.assertRaises(
            Unsupported,
            self.check,
            [self.DISK],
            [Element('devices/disk/driver', {'io': 'threads'})],
        )
        self.assertIn('devices/disk/driver/@io', str(error))

    def test_an_element_more_or_less(self):
        one, none = [pin(0, '1')], []
        self.assertRaises(Unsupported, self.check, one, none)
        self.assertRaises(Unsupported, self.check, none, one)
        text = [Element('iothreads', text='1')]
        self.check(text, text)
        self.assertRaises(
            Unsupported, self.check, text, [Element('iothreads', text='2')]
        )
        gone = [Absent('memoryBacking/hugepages')]
        self.check(gone, gone)


class MemoryTest(testtools.TestCase):
    def refused(self, inside):
        error = self.assertRaises(
            Unsupported,
            moving.check_memory,
            live(inside),
            frozenset({1}),
        )
        return str(error)

    def test_free_memory_follows(self):
        for inside in (
            '',
            "<numatune><memory mode='preferred' nodeset='0'/></numatune>",
            '<memoryBacking><nosharepages/></memoryBacking>',
        ):
            moving.check_memory(live(inside), frozenset({1}))

    def test_bound_memory_does_not(self):
        for inside in (
            "<numatune><memory mode='strict' nodeset='0'/></numatune>",
            "<numatune><memory nodeset='0'/></numatune>",
            "<numatune><memnode cellid='0' mode='restrictive' nodeset='0'/>"
            '</numatune>',
        ):
            text = self.refused(inside)
            self.assertIn('cannot move to NUMA cell 1', text)
            self.assertIn('numatune strict', text)

    def test_huge_pages_do_not(self):
        inside = '<memoryBacking><hugepages/></memoryBacking>'
        self.assertIn('huge pages', self.refused(inside))

    def test_locked_memory_does_not(self):
        inside = '<memoryBacking><locked/></memoryBacking>'
        self.assertIn('locked', self.refused(inside))
        inside = (
            "<devices><hostdev mode='subsystem' type='pci'><source>"
            "<address domain='0' bus='1' slot='0' function='0'/>"
            '</source></hostdev></devices>'
        )
        self.assertIn('locked', self.refused(inside))
