from lxml import etree
import testtools

from kvm_tuning.core import edit
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, Unsupported
from kvm_tuning.core.references import follow, table
from kvm_tuning.core.references.table import Fate, Thing

#: One element of each place that names vCPU 2 or guest cell 2 alone, and
#: what is around it.
_NAMED = {
    'cputune/vcpupin': ("<vcpupin vcpu='2' cpuset='1'/>",),
    'cputune/vcpusched': ("<vcpusched vcpus='2' scheduler='fifo'/>",),
    'cputune/cachetune': ("<cachetune vcpus='2'/>",),
    'cputune/cachetune/monitor': (
        "<cachetune vcpus='0-2'><monitor level='3' vcpus='0'/>",
        "<monitor level='3' vcpus='2'/></cachetune>",
    ),
    'cputune/memorytune': ("<memorytune vcpus='2'/>",),
    'cputune/memorytune/monitor': (
        "<memorytune vcpus='0-2'><monitor level='3' vcpus='0'/>",
        "<monitor level='3' vcpus='2'/></memorytune>",
    ),
    'cpu/numa/interconnects/latency': (
        "<interconnects><latency initiator='0' target='0' value='1'/>",
        "<latency initiator='2' target='2' value='1'/></interconnects>",
    ),
    'cpu/numa/interconnects/bandwidth': (
        "<interconnects><bandwidth initiator='0' target='0' value='1'/>",
        "<bandwidth initiator='2' target='2' value='1'/></interconnects>",
    ),
    'cpu/numa/cell/distances/sibling': (
        "<cell id='0' cpus='0'><distances><sibling id='0' value='10'/>",
        "<sibling id='2' value='20'/></distances></cell>",
    ),
    'numatune/memnode': (
        "<memory mode='strict' nodeset='0'/>",
        "<memnode cellid='2' mode='strict' nodeset='0'/>",
    ),
    'memoryBacking/hugepages/page': (
        "<hugepages><page size='2048' nodeset='0'/>",
        "<page size='4' nodeset='2'/></hugepages>",
    ),
}
_CELLS = "<cell id='1' cpus='1'/><cell id='2' cpus='2'/>"


def document(reference):
    """Return a domain that names what goes in one place."""
    parts = {'cputune': '', 'numatune': '', 'memoryBacking': ''}
    top, below = reference.path.split('/')[:2]
    named = ''.join(_NAMED[reference.path])
    numa = named if top == 'cpu' else "<cell id='0' cpus='0'/>"
    if below == 'numa' and 'cell ' not in named:
        numa = f"<cell id='0' cpus='0'/>{numa}"
    head, tail = numa, ''
    if 'interconnects' in numa:
        head, _, tail = numa.partition('<interconnects>')
        tail = f'<interconnects>{tail}'
    if top in parts:
        parts[top] = named
    texts = [f'<{tag}>{text}</{tag}>' for tag, text in parts.items() if text]
    return (
        f'<domain><vcpu>3</vcpu>{"".join(texts)}'
        f'<cpu><numa>{head}{_CELLS}{tail}</numa></cpu><devices/></domain>'
    )


def applied(xml, *effects):
    """Return the document with the effects, the promises, and the editor."""
    root = etree.fromstring(xml)
    editor = edit.Editor(root)
    changed = follow.changes(root, effects)
    promises = [
        editor.apply(e) if isinstance(e, Element) else editor.remove(e)
        for e in effects
    ]
    promises += follow.follow(editor, changed)
    return root, promises


_FEWER = {
    Thing.VCPU: (Element('vcpu', text='2'),),
    Thing.CELL: (Absent("cpu/numa/cell[@id='2']"),),
}


class NumbersTest(testtools.TestCase):
    def test_every_place_loses_what_is_gone_and_gets_it_back(self):
        for each in table.REFERENCES:
            if each.fate is Fate.REFUSED:
                continue
            xml = document(each)
            root, promises = applied(xml, *_FEWER[each.thing])
            named = [
                e.get(each.attribute)
                for e in root.findall(each.path)
                if '2' in (e.get(each.attribute) or '')
            ]
            self.assertEqual([], named, each.path)
            self.assertEqual(
                [], edit.Editor(root).take_back(promises), each.path
            )
            self.assertEqual(xml.replace("'", '"'), _text(root), each.path)

    def test_a_set_gets_smaller(self):
        xml = (
            "<domain><vcpu>4</vcpu><cputune><cachetune vcpus='0,2-3'>"
            "<cache id='0'/><monitor level='3' vcpus='2-3'/></cachetune>"
            '</cputune></domain>'
        )
        root, promises = applied(xml, Element('vcpu', text='3'))
        found = root.find('cputune/cachetune')
        self.assertEqual('0,2', found.get('vcpus'))
        self.assertEqual('2', found.find('monitor').get('vcpus'))
        self.assertIsNotNone(found.find('cache'))
        edit.Editor(root).take_back(promises)
        self.assertEqual(xml.replace("'", '"'), _text(root))

    def test_nothing_goes_when_nothing_is_gone(self):
        for each in table.REFERENCES:
            if each.fate is not Fate.REFUSED:
                xml = document(each)
                root, promises = applied(xml, Element('vcpu', text='3'))
                self.assertEqual(1, len(promises), each.path)

    def test_a_device_in_a_cell_that_goes_is_refused(self):
        for device in (
            '<memory><target><node>2</node></target></memory>',
            '<controller><target><node>2</node></target></controller>',
        ):
            xml = (
                f"<domain><cpu><numa><cell id='0'/>{_CELLS}</numa></cpu>"
                f'<devices>{device}</devices></domain>'
            )
            error = self.assertRaises(
                ConflictingKnobs, applied, xml, *_FEWER[Thing.CELL]
            )
            self.assertIn('guest cell 2', str(error))

    def test_a_list_that_is_none_is_left(self):
        xml = (
            "<domain><vcpu>3</vcpu><cputune><vcpusched vcpus='all'/>"
            '</cputune></domain>'
        )
        root, _promises = applied(xml, *_FEWER[Thing.VCPU])
        self.assertIsNotNone(root.find('cputune/vcpusched'))


class DiskTest(testtools.TestCase):
    def disk(self, name, bus, inner=''):
        return (
            f"<disk><driver/><target dev='{name}' bus='{bus}'/>{inner}</disk>"
        )

    def moved(self, bus, *disks):
        xml = f'<domain><devices>{"".join(disks)}</devices></domain>'
        return applied(
            xml,
            Element("devices/disk[target/@dev='vda']/target", {'bus': bus}),
        )[0]

    def place(self, root):
        address = root.find('devices/disk/address')
        return tuple(address.get(key) for key in ('controller', 'bus', 'unit'))

    def test_a_place_that_others_leave(self):
        others = [
            self.disk('sda', 'sata'),
            self.disk(
                'sdz', 'sata',
                "<address type='drive' controller='0' bus='0' unit='1'/>",
            ),
        ]  # fmt: skip
        root = self.moved('sata', self.disk('vda', 'virtio'), *others)
        self.assertEqual(('0', '0', '2'), self.place(root))

    def test_the_next_controller(self):
        others = [self.disk(f'sd{letter}', 'sata') for letter in 'abcdef']
        root = self.moved('sata', self.disk('vda', 'virtio'), *others)
        self.assertEqual(('1', '0', '0'), self.place(root))

    def test_the_second_channel(self):
        others = [self.disk('hda', 'ide'), self.disk('hdb', 'ide')]
        root = self.moved('ide', self.disk('vda', 'virtio'), *others)
        self.assertEqual(('0', '1', '0'), self.place(root))

    def test_a_bus_that_is_full(self):
        others = [self.disk(f'hd{letter}', 'ide') for letter in 'abcd']
        error = self.assertRaises(
            Unsupported, self.moved, 'ide', self.disk('vda', 'virtio'), *others
        )
        self.assertIn('ide', str(error))

    def test_a_scsi_device_of_the_host_has_its_place(self):
        hostdev = (
            "<hostdev type='scsi'><address type='drive' controller='0' "
            "bus='0' target='0' unit='0'/></hostdev>"
        )
        root = self.moved('scsi', self.disk('vda', 'virtio'), hostdev)
        self.assertEqual(('0', '0', '1'), self.place(root))

    def test_a_bus_that_has_no_places(self):
        root = self.moved(
            'virtio',
            self.disk('vda', 'sata', "<address type='drive' unit='1'/><wwn/>"),
        )
        self.assertIsNone(root.find('devices/disk/address'))
        self.assertIsNone(root.find('devices/disk/wwn'))


def _text(root):
    return etree.tostring(root, encoding='unicode')
