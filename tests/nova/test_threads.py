"""Threads are where the receipt says, from the start and after a restart."""

import logging

import fixtures
from lxml import etree
import testtools

from kvm_tuning.adapters.nova.compute import receipts, threads
from kvm_tuning.core import domain, receipt
from kvm_tuning.core.edit import Promise
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.receipt import Receipt
from tests.fixtures.fake_vfs import FakeWriter, add_process, affinities
from tests.nova import base

SPECS = {
    'hw__cpu_policy': 'dedicated',
    'kvm__emulator_cpus': 'housekeeping',
    'kvm__vhost_cpus': 'housekeeping',
    'kvm__iothreads': '2',
}
PID = 42
INACTIVE = 2  # VIR_DOMAIN_XML_INACTIVE


class ThreadsTest(base.ServersTest):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(
            fixtures.FakeLogger('kvm_tuning', level=logging.INFO)
        )
        self.root = self.useFixture(fixtures.TempDir()).path
        self.patch('threads.ROOT', self.root)
        self.patch('threads.WRITER', FakeWriter(root=self.root))
        self.patch('threads.observe.find', self.find)
        self.runs = False
        self.start()

    def patch(self, name, value):
        self.useFixture(
            fixtures.MonkeyPatch(
                f'kvm_tuning.adapters.nova.compute.{name}', value
            )
        )

    def find(self, uuid, name, root):
        """Let the guest be a process, its vhost thread on all pCPUs."""
        if not self.runs:
            add_process(self.root, PID, uuid, '0-1', ['0-11'])
            self.runs = True
        return PID

    def boot(self, **specs):
        return self._create_server(
            flavor_id=self.flavor(4, **specs),
            networks=[{'port': self.neutron.port_1['id']}],
        )

    @property
    def vhost(self):
        return affinities(self.root, PID)[PID + 1]

    def test_threads_are_placed_at_start_and_again_at_a_restart(self):
        threads.started(None, '<domain/>')
        server = self.boot(**SPECS)
        self.assertEqual('0,1', self.vhost)

        # A soft reboot starts the same definition again.
        threads.WRITER.set_affinity(None, PID + 1, {5})
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver._soft_reboot',
                lambda *args: True,
            )
        )
        self._reboot_server(server)
        self.assertEqual('0,1', self.vhost)

        threads.WRITER.set_affinity(None, PID + 1, {5})
        definition = self.xml(server)
        drifted = definition.replace(
            '<emulatorpin cpuset="0-1"/>', '<emulatorpin cpuset="7"/>'
        ).replace(
            '<iothreadpin cpuset="0-1" iothread="1"/>',
            '<iothreadpin cpuset="8" iothread="1"/>',
        )
        self.assertNotEqual(definition, drifted)
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.tests.fixtures.libvirt.Domain.XMLDesc',
                lambda domain, flags: (
                    definition if flags & INACTIVE else drifted
                ),
            )
        )
        self.domains.pinned.clear()
        self.restart_compute_service('compute1')
        wanted = (True, True)
        self.assertEqual(
            {('emulator', (wanted, 1)), ('iothread', (1, wanted, 1))},
            set(self.domains.pinned),
        )
        self.assertEqual('0,1', self.vhost)
        self.assertIn('as promised', self.log.output)

        # What cannot be read or placed stops nothing.
        def fails(*args):
            raise InventoryUnreadable('no such process')

        self.patch('threads.observe.find', fails)
        host = self.computes['compute1'].driver._host
        receipts.reconcile(host)
        self.assertIn('no such process', self.log.output)
        threads.started(host.list_guests()[0], definition)


class Running:
    """A running guest that counts the pins."""

    uuid = name = 'one'

    def __init__(self):
        self._domain = self
        self.pinned = []

    def pinVcpuFlags(self, vcpu, cpus, flags):
        self.pinned.append((vcpu, cpus, flags))


class ReplaceTest(testtools.TestCase):
    def read(self, promised, pinned):
        text = (
            '<domain type="kvm"><vcpu>1</vcpu><cputune>'
            f'<vcpupin vcpu="0" cpuset="{pinned}"/></cputune><metadata/>'
            '</domain>'
        )
        root = etree.fromstring(text)
        path = "cputune/vcpupin[@vcpu='0']"
        made = Receipt(
            'f', promises=(Promise(path, {'cpuset': promised}, {}),)
        )
        root.find('metadata').append(receipt.write(made))
        return domain.read(etree.tostring(root, encoding='unicode'))

    def test_a_vcpu_goes_back(self):
        guest = Running()
        threads.replace(guest, self.read('2', '2'), self.read('2', '3'))
        self.assertEqual([(0, (False, False, True), 1)], guest.pinned)

    def test_what_stands_where_it_was_promised_is_not_touched(self):
        guest = Running()
        threads.replace(guest, self.read('2', '2'), self.read('2', '2'))
        self.assertEqual([], guest.pinned)

    def test_what_the_definition_says_otherwise_stays(self):
        """It may be the promise of the host that the guest came from."""
        guest = Running()
        threads.replace(guest, self.read('2', '4'), self.read('2', '3'))
        self.assertEqual([], guest.pinned)
