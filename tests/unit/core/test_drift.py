"""What is drift of a document, and what is only libvirt's way to write."""

from lxml import etree
import testtools

from kvm_tuning.core import drift
from kvm_tuning.core.edit import TEXT, Promise, Removal

NIC = "devices/interface[mac/@address='52:54:00:AB:00:01']/driver"
PAGE = "memoryBacking/hugepages/page[@size='2048']"


def points(xml, path, wanted, live=False):
    root = etree.fromstring(f'<domain>{xml}</domain>')
    promise = Promise(path, wanted, dict.fromkeys(wanted))
    return list(drift.points(root, promise, live))


class SameTest(testtools.TestCase):
    def check(self, same, xml, path, wanted, live=False):
        found = points(xml, path, wanted, live)
        self.assertEqual(same, all(p.same for p in found), found)

    def test_lists_of_cpus(self):
        for text, same in (('0-1', True), ('1,0', True), ('0-2', False)):
            self.check(
                same,
                f'<cputune><emulatorpin cpuset="{text}"/></cputune>',
                'cputune/emulatorpin',
                {'cpuset': '0,1'},
            )

    def test_keys_of_elements_in_any_order(self):
        xml = (
            '<cputune><iothreadpin iothread="2" cpuset="3"/>'
            '<iothreadpin iothread="1" cpuset="4"/></cputune>'
        )
        path = "cputune/iothreadpin[@iothread='1']"
        self.check(True, xml, path, {'cpuset': '4'})
        self.check(False, xml, path, {'cpuset': '3'})

    def test_units(self):
        xml = '<memory unit="KiB">2097152</memory>'
        self.check(True, xml, 'memory', {TEXT: '2', 'unit': 'GiB'})
        self.check(False, xml, 'memory', {TEXT: '2', 'unit': 'GB'})
        self.check(True, xml, 'memory', {TEXT: '2097152'})
        (point,) = points(xml, 'memory', {TEXT: '2', 'unit': 'GiB'})
        self.assertEqual('2 GiB', point.wanted)
        self.assertEqual('2097152 KiB', point.found)

    def test_a_plain_number_has_no_unit(self):
        xml = '<iothreads> 2\n</iothreads>'
        self.check(True, xml, 'iothreads', {TEXT: '2'})
        self.check(False, xml, 'iothreads', {TEXT: '3'})

    def test_sizes_as_keys(self):
        xml = (
            '<memoryBacking><hugepages>'
            '<page size="2" unit="M" nodeset="0"/></hugepages></memoryBacking>'
        )
        self.check(True, xml, PAGE, {'unit': 'KiB', 'nodeset': '0'})

    def test_a_unit_alone_is_no_drift(self):
        xml = (
            '<memoryBacking><hugepages>'
            '<page size="2" unit="MiB"/></hugepages></memoryBacking>'
        )
        self.check(True, xml, PAGE, {'unit': 'KiB'})

    def test_switches(self):
        xml = '<features><hidden state="on"/></features>'
        self.check(True, xml, 'features/hidden', {'state': 'yes'})
        self.check(False, xml, 'features/hidden', {'state': 'no'})

    def test_numbers(self):
        xml = '<a port="0x0a"/>'
        self.check(True, xml, 'a', {'port': '10'})
        self.check(True, xml, 'a', {'port': '010'})
        self.check(False, xml, 'a', {'port': '0x0b'})

    def test_mac_addresses(self):
        xml = (
            '<devices><interface><mac address="52:54:00:ab:00:01"/>'
            '<driver queues="4"/></interface></devices>'
        )
        self.check(True, xml, NIC, {'queues': '4'})
        self.check(False, xml, NIC, {'queues': '2'})

    def test_one_queue_is_left_out(self):
        xml = (
            '<devices><interface><mac address="52:54:00:ab:00:01"/>'
            '<driver name="qemu"/></interface></devices>'
        )
        self.check(True, xml, NIC, {'queues': '1'})
        self.check(False, xml, NIC, {'queues': '2'})

    def test_what_a_live_document_says_otherwise(self):
        for xml, path, wanted in (
            ('<currentMemory unit="KiB">1</currentMemory>',
             'currentMemory', {TEXT: '4', 'unit': 'KiB'}),
            ('<cpu mode="custom"/>', 'cpu', {'mode': 'host-model'}),
            ('<os><type machine="pc-q35-7.2">hvm</type></os>',
             'os/type', {'machine': 'q35'}),
            ('<os><type machine="pc-i440fx-9.0">hvm</type></os>',
             'os/type', {'machine': 'pc'}),
        ):  # fmt: skip
            self.check(True, xml, path, wanted, live=True)
            self.check(False, xml, path, wanted, live=False)

    def test_another_machine_is_drift(self):
        xml = '<os><type machine="pc-i440fx-7.2">hvm</type></os>'
        self.check(False, xml, 'os/type', {'machine': 'q35'}, live=True)
        self.check(False, '<os/>', 'os/type', {'machine': 'q35'}, live=True)

    def test_garbage_is_compared_as_it_is(self):
        xml = '<cputune><emulatorpin cpuset="all"/></cputune>'
        self.check(True, xml, 'cputune/emulatorpin', {'cpuset': 'all'})
        self.check(False, xml, 'cputune/emulatorpin', {'cpuset': '0'})


class PresenceTest(testtools.TestCase):
    def test_an_element_without_values(self):
        path = 'memoryBacking/nosharepages'
        (point,) = points(
            '<memoryBacking><nosharepages/></memoryBacking>', path, {}
        )
        self.assertEqual((True, 'present'), (point.same, point.found))
        (point,) = points('', path, {})
        self.assertEqual((False, 'absent'), (point.same, point.found))

    def test_an_attribute_that_must_be_gone(self):
        (point,) = points(
            '<vcpu current="1">2</vcpu>', 'vcpu', {'current': None}
        )
        self.assertEqual(('absent', '1', False), (
            point.wanted, point.found, point.same,
        ))  # fmt: skip
        (point,) = points('<vcpu>2</vcpu>', 'vcpu', {'current': None})
        self.assertTrue(point.same)

    def test_an_element_that_must_be_gone(self):
        root = etree.fromstring('<domain><a><b/></a></domain>')
        (point,) = drift.points(root, Removal('a/b'), False)
        self.assertEqual(('absent', 'present', False), (
            point.wanted, point.found, point.same,
        ))  # fmt: skip

    def test_libvirt_makes_addresses_anew(self):
        root = etree.fromstring(
            '<domain><devices><disk><target dev="vda"/><address/></disk>'
            '</devices></domain>'
        )
        path = "devices/disk[target/@dev='vda']/address"
        (point,) = drift.points(root, Removal(path), False)
        self.assertTrue(point.same)

    def test_addresses_name_attributes(self):
        first, second = points(
            '<iothreads a="1">2</iothreads>',
            'iothreads',
            {TEXT: '2', 'a': '1'},
        )
        self.assertEqual('iothreads', first.address)
        self.assertEqual('iothreads/@a', second.address)
