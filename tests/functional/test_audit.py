"""A real guest is audited: its promises are kept, until one is broken."""

import json
import os
from pathlib import Path
import re
import time

from lxml import etree
import testtools

from kvm_tuning.core import domain, edit
from kvm_tuning.core.audit import compare
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.effects import Element
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.observed import Kind
from kvm_tuning.host.guests import observe
from kvm_tuning.host.inventory import reader
from tests.fixtures import tiny_guest
from tests.fixtures.huge_pages import HugePages
from tests.fixtures.promises import DISK, NIC, promise, receipt
from tests.fixtures.thread_affinity import moved

_PAGE_COUNT = 64
_KSM = Path('/sys/kernel/mm/ksm')

FIRST, SECOND = DISK.format('vda'), DISK.format('vdb')
NO_SHARING = Element('memoryBacking/nosharepages')
#: What every guest here is promised; {mac} is its NIC's.
PROMISES = (
    Element("cputune/vcpupin[@vcpu='0']", {'cpuset': '0'}),
    Element("cputune/vcpupin[@vcpu='1']", {'cpuset': '1'}),
    Element('cputune/emulatorpin', {'cpuset': '0'}),
    Element('iothreads', text='2'),
    Element("cputune/iothreadpin[@iothread='1']", {'cpuset': '1'}),
    Element("cputune/iothreadpin[@iothread='2']", {'cpuset': '0'}),
    Element('numatune/memory', {'mode': 'strict', 'nodeset': '0'}),
    Element(
        FIRST,
        {'cache': 'none', 'io': 'native', 'iothread': '1', 'queues': '2'},
    ),
    Element(SECOND, {'cache': 'writeback', 'io': 'threads', 'iothread': '2'}),
    Element(
        NIC.format('{mac}') + '/driver',
        {'name': 'qemu', 'queues': '2', 'rx_queue_size': '512'},
    ),
    Element(NIC.format('{mac}') + '/model', {'type': 'virtio'}),
)


class Tuned:
    """Tunes the sample and remembers what was promised."""

    def __init__(self, *effects):
        self._effects = effects
        self.promises = ()

    def __call__(self, xml):
        mac = re.search("<mac address='(.*?)'", xml)[1]
        root = etree.fromstring(xml.encode())
        editor = edit.Editor(root)
        self.promises = tuple(
            editor.apply(Element(e.path.format(mac=mac), e.attributes, e.text))
            for e in self._effects
        )
        return etree.tostring(root, encoding='unicode')


class AuditTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.libvirt = self.useFixture(tiny_guest.Libvirt())
        self.inventory = reader.read()
        if len(self.inventory.cpus) < 2:
            self.skipTest('pinning to two pCPUs needs two')

    def start(self, *effects):
        tuned = Tuned(*PROMISES, *effects)
        self.guest = self.useFixture(
            tiny_guest.TinyGuest(self.libvirt.connection, edit=tuned)
        )
        self.promises = tuned.promises
        self.guest.domain.create()
        self.guest.wait_until_ready()
        self.pid = observe.find(
            self.guest.domain.UUIDString(), self.guest.name
        )

    def observe(self, monitor=None):
        xml = self.guest.domain.XMLDesc()
        return xml, observe.observe(self.pid, xml, monitor=monitor)

    def audit(self, monitor=None, others=None, **more):
        xml, observed = self.observe(monitor)
        return compare.compare(
            domain.read(xml),
            receipt(*self.promises, **more),
            observed,
            self.inventory,
            others or Ledger(),
        )

    def broken(self, **more):
        return [
            (f.address, f.severity.value, f.found)
            for f in self.audit(**more)
            if f.severity not in (Severity.OK, Severity.INFO)
        ]

    def thread(self, kind, index):
        _xml, observed = self.observe()
        (found,) = [
            t for t in observed.threads if (t.kind, t.index) == (kind, index)
        ]
        return found


class RunningGuestTest(AuditTest):
    """One start serves several looks: a boot under emulation takes long."""

    def test_kept_and_broken_promises(self):
        self.start()
        findings = self.audit()
        self.assertEqual([], self.broken())
        # Values of the promises, and the one that is there or not.
        count = sum(len(p.wanted) or 1 for p in self.promises)
        kept = [f for f in findings if f.severity is Severity.OK]
        self.assertEqual(count, len(kept))

        vcpu = self.thread(Kind.VCPU, 1)
        with moved(vcpu.tid, {0, 1}):
            self.assertEqual(
                [(
                    "cputune/vcpupin[@vcpu='1']/@cpuset",
                    'error',
                    f'0-1 (thread {vcpu.tid} {vcpu.name})',
                )],
                self.broken(),
            )  # fmt: skip
        iothread = self.thread(Kind.IOTHREAD, 2)
        with moved(iothread.tid, {1}):
            self.assertEqual(
                ["cputune/iothreadpin[@iothread='2']/@cpuset"],
                [b[0] for b in self.broken()],
            )
        with moved(self.pid, {1}):
            self.assertEqual(
                ['cputune/emulatorpin/@cpuset'], [b[0] for b in self.broken()]
            )
        self.assertEqual([], self.broken())

        # Somebody pins anew by libvirt: document and kernel agree, and both
        # are not what was promised.
        self.guest.domain.pinVcpu(0, (False, True))
        ((address, severity, found),) = self.broken()
        self.assertEqual("cputune/vcpupin[@vcpu='0']/@cpuset", address)
        self.assertEqual('error', severity)
        self.assertIn('the live XML: 1', found)
        self.guest.domain.pinVcpu(0, (True, False))

        self._another_guest()
        self._without_rights()
        self._plugged()
        self._monitor()
        self._page_sharing()

    def _another_guest(self):
        claim = Claim('x', 'other', pcpus=frozenset({1}))
        rows = self.broken(others=Ledger((claim,)))
        self.assertEqual(
            [('guest/vCPU', 'error'), ('guest/iothread', 'warning')],
            [row[:2] for row in rows],
        )

    def _without_rights(self):
        """Nobody sees affinities and little else, and says so."""
        if os.geteuid() != 0:
            return
        xml = self.guest.domain.XMLDesc()
        os.seteuid(65534)
        try:
            observed = observe.observe(self.pid, xml)
        finally:
            os.seteuid(0)
        findings = compare.compare(
            domain.read(xml),
            receipt(*self.promises),
            observed,
            self.inventory,
            Ledger(),
        )
        states = {f.address: f for f in findings}
        pin = states["cputune/vcpupin[@vcpu='0']/@cpuset"]
        self.assertEqual(Severity.OK, pin.severity)
        for address in (f'{FIRST}/@cache', 'numatune/memory/@mode'):
            self.assertEqual(Severity.UNKNOWN, states[address].severity)
            self.assertIn('CAP_SYS_PTRACE', states[address].why)

    def _plugged(self):
        """What QEMU's arguments do not have is unknown, not broken."""
        path = self.guest.folder / 'plugged.img'
        path.write_bytes(bytes(1 << 20))
        self.guest.domain.attachDevice(
            f"<disk type='file' device='disk'><driver name='qemu' type='raw' "
            f"cache='none'/><source file='{path}'/>"
            f"<target dev='sdz' bus='usb'/></disk>"
        )
        _xml, observed = self.observe()
        disk = observed.disks['sdz']
        self.assertIs(True, disk.direct)
        self.assertEqual('--monitor', disk.queues.needs)
        self.assertEqual([], self.broken())

    def _monitor(self):
        try:
            import libvirt_qemu
        except ImportError:
            return

        def monitor(command):
            text = json.dumps(command)
            answer = libvirt_qemu.qemuMonitorCommand(
                self.guest.domain, text, 0
            )
            return json.loads(answer)

        _xml, without = self.observe()
        _xml, asked = self.observe(monitor)
        told = (Kind.VCPU, Kind.IOTHREAD)
        self.assertEqual(
            [t for t in without.threads if t.kind in told],
            [t for t in asked.threads if t.kind in told],
        )
        self.assertEqual([], self.broken(monitor=monitor))

    def _page_sharing(self):
        """A promise that came after the start: a restart would keep it."""
        self.promises = (promise('memoryBacking/nosharepages'),)
        self.assertEqual(
            [(
                'memoryBacking/nosharepages',
                'error',
                'KSM may merge (the live XML: absent)',
            )],
            self.broken(),
        )  # fmt: skip
        try:
            self._merge()
        except PermissionError:
            return
        ((_address, _severity, found),) = self.broken()
        self.assertRegex(found, r'KSM may merge, [1-9]\d* pages are merged')

    def _merge(self):
        """Let KSM run until it has merged some of the guest's pages."""
        for name, value in (
            ('run', '1'),
            ('pages_to_scan', '20000'),
            ('sleep_millisecs', '20'),
        ):
            place = _KSM / name
            self.addCleanup(place.write_text, place.read_text())
            place.write_text(value)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            _xml, observed = self.observe()
            if observed.memory.ksm.merging_pages:
                return
            time.sleep(0.5)
        self.fail('KSM has merged nothing in 60 s')


class MemoryTest(AuditTest):
    """Guest RAM in huge pages in one of two cells."""

    def setUp(self):
        super().setUp()
        pages = self.useFixture(HugePages(_PAGE_COUNT))
        if not pages.reserved:
            self.skipTest(pages.reason)

    def test_one_cell_in_huge_pages(self):
        self.start(
            NO_SHARING,
            # Of memfd: libvirt needs no mount of hugetlbfs then.
            Element('memoryBacking/source', {'type': 'memfd'}),
            Element('memory', {'unit': 'KiB'}, '262144'),
            Element(
                "memoryBacking/hugepages/page[@size='2048']",
                {'unit': 'KiB', 'nodeset': '0'},
            ),
            *(
                Element(
                    f"cpu/numa/cell[@id='{cell}']",
                    {'cpus': str(cell), 'memory': '131072', 'unit': 'KiB'},
                )
                for cell in (0, 1)
            ),
        )
        # libvirt's document has the source; no rule asks the kernel for it.
        self.assertEqual(
            ['memoryBacking/source/@type'], [b[0] for b in self.broken()]
        )
        _xml, observed = self.observe()
        first, second = observed.memory.ram
        self.assertEqual((2048, 4), (first.page_kib, second.page_kib))
        self.assertEqual(131072, first.resident_kib)
        self.assertEqual({0: 131072}, first.nodes_kib)

        # The promise of the other cell is found broken.
        self.promises = (
            promise(
                "memoryBacking/hugepages/page[@size='2048']",
                unit='KiB',
                nodeset='1',
            ),
        )
        rows = [b for b in self.broken() if 'hugepages' in b[0]]
        self.assertEqual(
            [(
                "memoryBacking/hugepages/page[@size='2048']/@nodeset",
                'error',
                '128 MiB in pages of 4 KiB (the live XML: 0)',
            )],
            rows,
        )  # fmt: skip
