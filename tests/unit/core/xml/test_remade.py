from lxml import etree
import testtools

from kvm_tuning.core import domain, receipt
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.xml import remade

BEFORE = """\
<domain type='kvm'>
  <name>g</name>
  <cputune>
    <vcpupin vcpu='0' cpuset='0'/>
  </cputune>
  <devices>
    <disk/>
    <video/>
  </devices>
</domain>"""
#: With a controller more, one device written otherwise, and without pins.
STORED = """\
<domain type='kvm'>
  <name>g</name>
  <devices>
    <disk/>
    <controller type='scsi'/>
    <video>
      <model/>
    </video>
  </devices>
</domain>"""
_METADATA = """\
  <name>g</name>
  <metadata>
    <r:receipt xmlns:r='urn:kvm-tuning:receipt:1' flavor='f'{}/>
  </metadata>"""


def text(root):
    return etree.tostring(root, encoding='unicode')


class DifferencesTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.before = etree.fromstring(BEFORE)
        self.stored = etree.fromstring(STORED)
        self.found = remade.differences(self.stored, self.before)

    def test_what_libvirt_did_is_undone_to_the_last_space(self):
        self.assertEqual([], list(remade.take_back(self.stored, self.found)))
        self.assertEqual(text(self.before), text(self.stored))

    def test_nothing_is_no_difference(self):
        again = etree.fromstring(BEFORE)
        self.assertEqual((), remade.differences(again, self.before))

    def test_what_somebody_changed_since_stays_and_is_named(self):
        video = self.stored.find('devices/video')
        video.set('mine', 'yes')
        self.assertEqual(
            ['devices/video'],
            list(remade.take_back(self.stored, self.found)),
        )
        self.assertEqual(1, len(self.stored.findall('devices/video')))
        self.assertEqual('yes', self.stored.find('devices/video').get('mine'))
        self.assertIsNone(self.stored.find('devices/controller'))
        self.assertIsNotNone(self.stored.find('cputune/vcpupin'))

    def test_a_parent_that_is_gone_is_named(self):
        self.stored.remove(self.stored.find('devices'))
        found = list(remade.take_back(self.stored, self.found))
        self.assertIn('devices', found)


class RestorableTest(testtools.TestCase):
    def stored(self, **attributes):
        extra = ''.join(f" {k}='{v}'" for k, v in attributes.items())
        xml = STORED.replace('  <name>g</name>', _METADATA.format(extra))
        return domain.read(
            xml.replace("flavor='f'", "flavor='f' made-metadata='yes'")
        )

    def test_the_receipt_has_all_it_takes(self):
        before = domain.read(BEFORE)
        xml = domain.restorable(self.stored(), before)
        again = domain.read(xml)
        self.assertIn("format='2'", xml)
        self.assertTrue(domain.alike(again, before))
        self.assertEqual(BEFORE, domain.undo(again))

    def test_a_receipt_that_is_enough_stays(self):
        stored = self.stored()
        before = domain.read(domain.undo(stored))
        self.assertIs(stored.xml, domain.restorable(stored, before))

    def test_it_survives_writing_and_reading(self):
        xml = domain.restorable(self.stored(), domain.read(BEFORE))
        found = domain.read(xml).receipt
        self.assertEqual(found, receipt.read(receipt.write(found)))
        self.assertEqual(2, len(found.remade))

    def test_a_receipt_of_a_newer_release_is_not_read(self):
        error = self.assertRaises(
            InvalidDocument, self.stored, format=receipt.FORMAT + 1
        )
        self.assertIn('newer release', str(error))
