from lxml import etree
import testtools

from kvm_tuning.core.audit import readback

WRITTEN = """\
<domain type='kvm'>
  <memory unit='MiB'>512</memory>
  <vcpu cpuset='0,1'>2</vcpu>
  <cputune>
    <vcpupin vcpu='1' cpuset='1'/>
    <vcpupin vcpu='0' cpuset='0'/>
  </cputune>
  <metadata>
    <r:receipt xmlns:r='urn:kvm-tuning:receipt:1' flavor='f'/>
  </metadata>
  <numatune/>
  <devices>
    <interface type='bridge'>
      <mac address='52:54:00:AB:00:01'/>
      <driver queues='1'/>
    </interface>
  </devices>
</domain>
"""
STORED = """\
<domain type='kvm'>
  <uuid>one that libvirt makes</uuid>
  <memory unit='KiB'>524288</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static' cpuset='0-1'>2</vcpu>
  <cputune>
    <vcpupin vcpu='0' cpuset='0'/>
    <vcpupin vcpu='1' cpuset='1'/>
  </cputune>
  <devices>
    <controller type='usb'/>
    <interface type='bridge'>
      <mac address='52:54:00:ab:00:01'/>
      <address type='pci'/>
    </interface>
  </devices>
</domain>
"""


def altered(stored, written=WRITTEN):
    return [
        str(each)
        for each in readback.altered(
            etree.fromstring(written), etree.fromstring(stored)
        )
    ]


class AlteredTest(testtools.TestCase):
    def test_what_libvirt_adds_or_writes_otherwise_is_no_alteration(self):
        self.assertEqual([], altered(STORED))

    def test_an_element_that_is_gone(self):
        stored = STORED.replace("<vcpupin vcpu='1' cpuset='1'/>", '')
        self.assertEqual(
            ["cputune/vcpupin[@vcpu='1'] (wanted present, found absent)"],
            altered(stored),
        )

    def test_an_attribute_that_is_gone_or_other(self):
        stored = STORED.replace(" cpuset='0-1'", '')
        self.assertEqual(
            ['vcpu/@cpuset (wanted 0,1, found absent)'], altered(stored)
        )
        stored = STORED.replace("cpuset='1'", "cpuset='2'")
        self.assertEqual(
            ["cputune/vcpupin[@vcpu='1']/@cpuset (wanted 1, found 2)"],
            altered(stored),
        )

    def test_what_stands_behind_a_unit(self):
        memory = "<memory unit='MiB'>512</memory>"
        written = WRITTEN.replace(
            memory, "<memory unit='MiB' dumpCore='off'>512</memory>"
        )
        self.assertEqual(
            ['memory/@dumpCore (wanted off, found absent)'],
            altered(STORED, written),
        )

    def test_a_text_that_is_other(self):
        stored = STORED.replace('>524288</memory>', '>524287</memory>')
        self.assertEqual(
            ['memory (wanted 512, found 524287)'], altered(stored)
        )

    def test_a_flag_that_is_gone(self):
        written = WRITTEN.replace(
            '<numatune/>', '<memoryBacking><locked/></memoryBacking>'
        )
        self.assertEqual(
            ['memoryBacking (wanted present, found absent)'],
            altered(STORED, written),
        )

    def test_a_driver_that_says_something(self):
        written = WRITTEN.replace("queues='1'", "queues='2'")
        (found,) = altered(STORED, written)
        self.assertIn("[mac/@address='52:54:00:ab:00:01']/driver", found)

    def test_two_like_elements_need_two(self):
        one = '<serial><target port="0"/></serial>'
        written = f'<domain><devices>{one}{one}</devices></domain>'
        stored = f'<domain><devices>{one}</devices></domain>'
        self.assertEqual(
            ['devices/serial (wanted present, found absent)'],
            altered(stored, written),
        )

    def test_threads_one_by_one_or_together(self):
        """libvirt 9.0 prints a vcpusched of several vCPUs for each."""
        written = (
            '<domain><cputune>'
            "<vcpusched vcpus='0-1' scheduler='fifo' priority='1'/>"
            "<iothreadsched iothreads='2' scheduler='batch'/>"
            "<iothreadsched iothreads='1' scheduler='batch'/>"
            '</cputune></domain>'
        )
        each = ''.join(
            f"<vcpusched vcpus='{n}' scheduler='fifo' priority='1'/>"
            for n in (1, 0)
        )
        stored = (
            f'<domain><cputune>{each}'
            "<iothreadsched iothreads='1-2' scheduler='batch'/>"
            '</cputune></domain>'
        )
        self.assertEqual([], altered(stored, written))
        self.assertEqual(
            ["cputune/vcpusched[@vcpus='1']/@priority (wanted 1, found 2)"],
            altered(
                stored.replace("priority='1'", "priority='2'", 1), written
            ),
        )

    def test_a_number_that_is_not_written(self):
        written = (
            "<domain><cpu><numa><cell cpus='0' memory='1'/>"
            "<cell cpus='1' memory='1'/></numa></cpu></domain>"
        )
        stored = (
            "<domain><cpu><numa><cell id='0' cpus='0' memory='1'/>"
            "<cell id='1' cpus='1' memory='2'/></numa></cpu></domain>"
        )
        self.assertEqual(
            ["cpu/numa/cell[@id='1']/@memory (wanted 1, found 2)"],
            altered(stored, written),
        )
