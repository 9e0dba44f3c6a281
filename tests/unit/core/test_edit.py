"""Edits of a domain's XML, and taking them back."""

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
import testtools

from kvm_tuning.core import edit
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import InvalidDocument

BASE = """<domain type='kvm'>
  <name>one</name>
  <vcpu placement='static'>2</vcpu>
  <!-- kept -->
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'><target dev='vdb' bus='virtio'/></disk>
  </devices>
  <odd/>
</domain>"""

VDA = "devices/disk[target/@dev='vda']"
VDB = "devices/disk[target/@dev='vdb']"


def text(root):
    return etree.tostring(root, encoding='unicode')


class EditTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = etree.fromstring(BASE)
        self.before = text(self.root)
        self.editor = edit.Editor(self.root)

    def test_an_element_made_by_two_keys_has_each_of_them(self):
        editor = edit.Editor(etree.fromstring('<domain/>'))
        # Nobody has the key yet, which is remembered.
        editor.remove(Absent("vcpu[@k='1']/a"))
        editor.apply(Element("vcpu[@k='1'][@m='3']"))
        editor.apply(Element("vcpu[@k='1']", {'x': '2'}))
        (made,) = editor.root
        self.assertEqual({'k': '1', 'm': '3', 'x': '2'}, dict(made.attrib))

    def test_a_child_made_later_is_a_key_of_its_parent(self):
        editor = edit.Editor(etree.fromstring('<domain><d><i/></d></domain>'))
        path = "d/i[t/@k='1']"
        editor.remove(Absent(f'{path}/a'))
        editor.apply(Element("d/i/t[@k='1']"))
        editor.apply(Element(path, {'x': '2'}, make=True))
        self.assertEqual(1, len(editor.root.findall('d/i')))

    def test_makes_what_is_missing_and_indents_it(self):
        self.editor.apply(
            Element("cputune/vcpupin[@vcpu='0']", {'cpuset': '3'})
        )
        self.assertIn(
            '\n  <cputune>\n    <vcpupin vcpu="0" cpuset="3"/>\n  </cputune>\n'
            '</domain>',
            text(self.root),
        )

    def test_a_line_without_breaks_stays_one(self):
        root = etree.fromstring('<domain><name>a</name></domain>')
        promise = edit.Editor(root).apply(Element('a/b', {'c': 'd'}))
        self.assertEqual(
            '<domain><name>a</name><a><b c="d"/></a></domain>', text(root)
        )
        edit.Editor(root).take_back([promise])
        self.assertEqual('<domain><name>a</name></domain>', text(root))

    def test_reaches_a_disk_by_its_target(self):
        self.editor.apply(Element(f'{VDB}/driver', {'io': 'native'}))
        disk = self.root.findall('devices/disk')[1]
        self.assertEqual('native', disk.find('driver').get('io'))

    def test_a_missing_device_is_never_made(self):
        effect = Element("devices/disk[target/@dev='vdz']/driver", {'a': 'b'})
        error = self.assertRaises(InvalidDocument, self.editor.apply, effect)
        self.assertIn('vdz', str(error))
        self.assertEqual(self.before, text(self.root))

    def test_an_attribute_taken_away_comes_back_in_its_place(self):
        promise = self.editor.apply(
            Element(f'{VDA}/driver', {'type': None, 'io': 'native'})
        )
        self.assertNotIn('type="raw"', text(self.root))
        self.assertEqual([], self.editor.take_back([promise]))
        self.assertEqual(self.before, text(self.root))

    def test_what_somebody_else_changed_stays(self):
        promise = self.editor.apply(
            Element(f'{VDA}/driver', {'cache': 'writeback', 'io': 'native'})
        )
        self.root.find('devices/disk/driver').set('cache', 'unsafe')
        self.assertEqual(
            [f'{VDA}/driver/cache'], self.editor.take_back([promise])
        )
        driver = self.root.find('devices/disk/driver')
        self.assertEqual('unsafe', driver.get('cache'))
        self.assertIsNone(driver.get('io'))

    def test_a_made_element_that_others_use_stays(self):
        promise = self.editor.apply(
            Element("cputune/vcpupin[@vcpu='0']", {'cpuset': '3'})
        )
        etree.SubElement(self.root.find('cputune'), 'shares').text = '9'
        self.editor.take_back([promise])
        self.assertEqual('9', self.root.findtext('cputune/shares'))
        self.assertIsNone(self.root.find('cputune/vcpupin'))

    def test_elements_taken_out_come_back_where_they_were(self):
        removal = self.editor.remove(Absent('devices/disk'))
        self.assertEqual(2, len(removal.removed))
        self.assertIsNone(self.root.find('devices/disk'))
        self.editor.take_back([removal])
        self.assertEqual(self.before, text(self.root))

    def test_an_address_that_libvirt_made_anew_gives_way(self):
        disk = self.root.find('devices/disk')
        etree.SubElement(disk, 'address', type='pci', slot='0x03')
        before = text(self.root)
        removal = self.editor.remove(Absent(f'{VDA}/address'))
        etree.SubElement(disk, 'address', type='drive', unit='0')
        self.assertEqual([], edit.Editor(self.root).take_back([removal]))
        self.assertEqual(before, text(self.root))

    def test_a_device_that_was_made_goes_with_what_libvirt_added(self):
        path = "devices/controller[@type='scsi'][@index='0']"
        promise = self.editor.apply(Element(path, {'model': 'virtio-scsi'}))
        controller = self.root.find('devices/controller')
        etree.SubElement(controller, 'address', type='pci')
        self.assertEqual([], edit.Editor(self.root).take_back([promise]))
        self.assertEqual(self.before, text(self.root))

    def test_of_several_parents_the_first_one_is_meant(self):
        root = etree.fromstring('<domain><a/><a k="1"><b/></a></domain>')
        before = text(root)
        editor = edit.Editor(root)
        removal = editor.remove(Absent('a/b'))
        self.assertEqual((), removal.removed)
        etree.SubElement(root[0], 'b')
        removal = edit.Editor(root).remove(Absent('a/b'))
        self.assertEqual(before, text(root))
        self.assertEqual([], edit.Editor(root).take_back([removal]))
        self.assertEqual(1, len(root[0]))

    def test_what_somebody_else_put_there_stays(self):
        removal = self.editor.remove(Absent('odd'))
        etree.SubElement(self.root, 'odd', new='yes')
        self.assertEqual(['odd'], edit.Editor(self.root).take_back([removal]))
        self.assertEqual('yes', self.root.find('odd').get('new'))

    def test_an_element_that_is_gone_is_reported(self):
        promise = self.editor.apply(Element('memoryBacking/nosharepages'))
        self.root.remove(self.root.find('memoryBacking'))
        self.assertEqual(
            ['memoryBacking/nosharepages'], self.editor.take_back([promise])
        )


NAMES = st.sampled_from(['a', 'b', 'c', 'vcpu'])
VALUES = st.text('xyz"\'<>& é', max_size=4)
KEYS = st.sampled_from(['', "[@k='1']", "[@k='2']", "[@k='1'][@m='3']"])
STEPS = st.builds(lambda name, key: name + key, NAMES, KEYS)
PATHS = st.lists(STEPS, min_size=1, max_size=3).map('/'.join)
ELEMENTS = st.builds(
    Element,
    PATHS,
    st.dictionaries(
        st.sampled_from(['p', 'q', 'r']), st.none() | VALUES, max_size=3
    ),
    st.none() | st.just('text'),
)
ABSENTS = st.builds(Absent, PATHS)


@st.composite
def documents(draw, depth=0):
    name = 'domain' if not depth else draw(NAMES)
    element = etree.Element(name)
    for key in draw(st.lists(st.sampled_from('kmpqr'), unique=True)):
        element.set(key, draw(st.sampled_from(['1', '2', 'x"y', "it's"])))
    if depth < 3:
        for child in draw(st.lists(documents(depth + 1), max_size=3)):
            element.append(child)
        if draw(st.booleans()):
            element.append(etree.Comment('c <a k="1"/>'))
    if not len(element):
        element.text = draw(st.sampled_from([None, ' ', '\n', 'words']))
    if not depth and draw(st.booleans()):
        etree.indent(element)
    return element


class TakeBackTest(testtools.TestCase):
    @settings(max_examples=300, deadline=None)
    @given(documents(), st.lists(st.one_of(ELEMENTS, ABSENTS), max_size=6))
    def test_undoing_everything_gives_the_bytes_of_before(self, root, effects):
        before = text(root)
        editor = edit.Editor(root)
        promises = []
        for effect in effects:
            if isinstance(effect, Element):
                promises.append(editor.apply(effect))
            else:
                promises.append(editor.remove(effect))
        edit.Editor(root).take_back(promises)
        self.assertEqual(before, text(root))
