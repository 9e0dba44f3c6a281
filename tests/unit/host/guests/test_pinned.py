"""Processes that hold pCPUs and are not guests."""

import fixtures
import testtools

from kvm_tuning.core import cpuset
from kvm_tuning.host.guests import pinned
from tests.fixtures import fake_processes, memory_dir

ONLINE = frozenset(range(32))
DEDICATED = cpuset.parse('4-31')
UUID = '11111111-2222-4333-8444-555555555555'
SCOPE = r'/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator'


class PinnedTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        self.process(1, 'systemd', ['0-31'], parent=0)

    def process(self, pid, name, threads, **more):
        fake_processes.write(self.root, pid, name, threads, **more)

    def held(self, dedicated=DEDICATED, guests=()):
        found = pinned.claims(self.root, ONLINE, dedicated, guests)
        self.assertTrue(all(claim.foreign for claim in found))
        return {claim.name: cpuset.format(claim.pcpus) for claim in found}

    def test_pollers(self):
        self.process(70, 'spdk_tgt', ['4', '5', '4-5'])
        self.process(80, 'ovs-vswitchd', ['0-31', '0-31', '16', '17'])
        self.process(90, 'burn', ['8-11'], parent=80)
        self.assertEqual(
            {
                'spdk_tgt (process 70)': '4-5',
                'ovs-vswitchd (process 80)': '16-17',
                'burn (process 90)': '8-11',
            },
            self.held(),
        )

    def test_what_floats_or_is_elsewhere(self):
        self.process(70, 'all', ['0-31'])
        self.process(71, 'dedicated', ['4-31'])
        self.process(72, 'cell', ['8-23'])
        self.process(73, 'shared', ['2'])
        self.process(74, 'both', ['3-4'])
        self.assertEqual({}, self.held())

    def test_two_dedicated_pcpus_are_not_two_of_many(self):
        self.process(70, 'all', ['4-5'])
        self.assertEqual({}, self.held(frozenset({4, 5})))

    def test_any_pcpu_may_be_dedicated(self):
        self.process(70, 'poller', ['2'])
        self.assertEqual({'poller (process 70)': '2'}, self.held(None))

    def test_kernel_threads(self):
        self.process(2, 'kthreadd', ['0-31'], parent=0)
        self.process(70, 'migration/5', ['5'], parent=2)
        self.assertEqual({}, self.held())

    def test_where_process_1_may_run_nobody_is_pinned(self):
        root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        fake_processes.write(root, 1, 'init', ['4-7'], parent=0)
        fake_processes.write(root, 70, 'sh', ['4-7', '4'])
        (claim,) = pinned.claims(root, ONLINE, DEDICATED, ())
        self.assertEqual({4}, claim.pcpus)

    def test_guests(self):
        self.process(70, 'qemu-kvm', ['4'], arguments=('-uuid', UUID, '-S'))
        self.process(80, 'qemu-kvm', ['5'], group=SCOPE)
        self.process(81, 'swtpm', ['5'], group=SCOPE)
        self.assertEqual({}, self.held(guests={UUID}))
        self.assertEqual({}, self.held(guests=None))
        # It is not of this libvirt.
        self.assertEqual({'qemu-kvm (process 70)': '4'}, self.held())

    def test_what_cannot_be_read(self):
        self.process(70, 'odd', ['x', '6'])
        self.process(71, 'odder', [''])
        self.assertEqual({'odd (process 70)': '6'}, self.held())
