"""Guests below a root, assessed: a clean one, and each broken in one way."""

import collections
from dataclasses import replace
from pathlib import Path

import fixtures
import testtools

from kvm_tuning.adapters import assessment
from kvm_tuning.core.assess.assess import HOST_RULES, RULES
from kvm_tuning.core.assess.codes import CODES
from kvm_tuning.core.assess.finding import Severity
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import WrongUsage
from kvm_tuning.host.access.proc import Process
from tests.fixtures import memory_dir, qemu_identity, recorded_guest
from tests.fixtures.assessed_guest import HOST, MEMORY_MIB, AssessedGuest
from tests.fixtures.recorded_guest import RecordedGuest

KIB = MEMORY_MIB << 10
EVERYWHERE = '0-31'
FLOATING = (EVERYWHERE,) * 4
#: Where helper threads of a guest that floats are.
BESIDES = {'emulator': EVERYWHERE, 'iothread': EVERYWHERE, 'vhost': EVERYWHERE}
NO_HINT = {'cpu': 'host'}

#: What is changed of the clean guest, by what is found then and nothing else.
BROKEN = {
    'cell-span': {'pins': ('0', '16', '8', '24')},
    'l3-span': {'pins': ('0', '16', '4', '20')},
    'vcpus-on-one-pcpu': {'pins': ('0', '0', '1', '17'), **NO_HINT},
    'memory-remote': {'huge_kib': {0: KIB * 62 // 100, 1: KIB * 38 // 100}},
    'memory-small-pages': {
        'huge_kib': {}, 'small_kib': {0: KIB}, 'transparent_kib': KIB // 10,
    },
    'memory-merged': {'merged': 512},
    'memory-swapped': {'swapped_kib': 300 << 10},
    'memory-locked': {
        'huge_kib': {}, 'small_kib': {0: KIB}, 'transparent_kib': KIB,
        'locked_kib': KIB,
    },
    'vcpus-wait': {'wait_ns': 10**9 // 2},
    'emulator-on-vcpus': {'emulator': '0-2'},
    'iothread-on-vcpus': {'iothread': '16'},
    'vhost-on-vcpus': {'vhost': '17-18'},
    'emulator-remote': {'emulator': '8-15'},
    'iothread-remote': {'iothread': '9'},
    'vhost-remote': {'vhost': '10,26'},
    'siblings-hidden': {'smp': '4,sockets=1,cores=4,threads=1'},
    'siblings-invented': {'pins': ('0', '1', '2', '3'), 'emulator': '18',
                          'iothread': '19', 'vhost': '18'},
    'hint-dedicated-missing': NO_HINT,
    'iothread-idle': {'iothreads': ('io1', 'io2')},
    'disk-no-iothread': {'iothreads': ()},
    'disk-unsafe': {'drive': {'cache': {'direct': False, 'no-flush': True}}},
    'disk-cache': {'drive': {'cache': {'direct': False}, 'aio': 'threads'}},
    'disk-engine': {'drive': {'aio': 'threads'}},
    'disk-queues': {'disk': {'num-queues': 1}},
    'disk-model': {
        'disk': {'driver': 'ide-hd', 'iothread': None}, 'iothreads': (),
    },
    'nic-model': {'nic': {'driver': 'e1000e'}},
    'nic-no-vhost': {'netdev': {'vhost': None}},
    'nic-queues': {'netdev': {'fds': None}},
    'nic-queues-unused': {'netdev': {'fds': '30:31:32:33:34:35'}},
    'device-remote': {
        'more': ('-device', 'vfio-pci,host=0000:00:00.0,id=hostdev0'),
    },
    'guest-cells-missing': {
        'pins': tuple(map(str, (*range(12), *range(16, 28)))),
        'smp': '24,sockets=1,cores=24,threads=1',
        'emulator': '12', 'iothread': '12', 'vhost': '12',
        'netdev': {'fds': ':'.join(map(str, range(30, 54)))},
    },
}  # fmt: skip
#: Found besides, for the same reason.
ALSO = {
    'guest-cells-missing': {'siblings-hidden'},
}


class AssessmentTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        place = memory_dir.place()
        self.root = self.useFixture(fixtures.TempDir(place)).path
        HOST.write(self.root)

    def assess(self, *guests, names=(), records=(), walk=True):
        for guest in guests:
            guest.write(self.root)
        found = assessment.assessment(
            records, assessment.How(self.root, walk=walk), names
        )
        return {each.guest.setup.name: each.findings for each in found.guests}

    def codes(self, findings):
        return {
            each.code
            for each in findings
            if each.severity is not Severity.UNKNOWN
        }


class OneWayTest(AssessmentTest):
    def test_nothing_is_found_at_a_clean_guest(self):
        found = self.assess(AssessedGuest())
        self.assertEqual(set(), self.codes(found['clean']))
        # What takes two samples, which files do not give.
        self.assertEqual(
            ['foreign-threads'], [each.code for each in found['clean']]
        )

    def test_each_is_found_and_nothing_else(self):
        address = next(d.address for d in HOST.inventory().devices if d.pf)
        for code, changes in BROKEN.items():
            if code == 'device-remote':
                more = (word.replace('0000:00:00.0', address)
                        for word in changes['more'])  # fmt: skip
                changes = {'more': tuple(more)}
            self.root = self.useFixture(
                fixtures.TempDir(memory_dir.place())
            ).path
            HOST.write(self.root)
            found = self.assess(AssessedGuest(name='broken', **changes))
            self.assertEqual(
                {code, *ALSO.get(code, ())}, self.codes(found['broken']), code
            )

    def test_guests_that_share(self):
        for code, changes in {
            'pcpu-shared': {'pins': ('1', '17', '3', '19'), **NO_HINT},
            'core-shared': {
                'pins': ('3', '19', '7', '23'), 'emulator': '21',
                'iothread': '21', 'vhost': '21', **NO_HINT,
            },
            'floats-over-pinned': {'pins': FLOATING, **BESIDES, **NO_HINT},
        }.items():  # fmt: skip
            first = AssessedGuest(pins=('0', '16', '1', '17'), **NO_HINT)
            if code == 'core-shared':
                first = replace(first, pins=('0', '1', '2', '4'))
            second = AssessedGuest(name='second', pid=2000, **changes)
            if code == 'core-shared':
                second = replace(second, pins=('16', '17', '18', '20'))
            found = self.assess(first, second)
            self.assertIn(code, self.codes(found['second']), code)

    def test_a_guest_that_floats(self):
        found = self.assess(
            AssessedGuest(pins=FLOATING, **BESIDES, **NO_HINT)
        )['clean']
        self.assertEqual({'cell-span'}, self.codes(found))
        (span,) = [each for each in found if each.code == 'cell-span']
        self.assertEqual(
            '4 vCPUs may run on 2 NUMA cells, 1 would hold them', span.evidence
        )
        self.assertEqual(frozenset({0, 1}), span.where.cells)
        moves = [each for each in found if each.code == 'vcpus-migrate']
        self.assertEqual(['--seconds'], [each.needs for each in moves])

    def test_a_guest_that_floats_and_is_told_otherwise(self):
        found = self.assess(AssessedGuest(pins=FLOATING, **BESIDES))['clean']
        self.assertIn('hint-dedicated-wrong', self.codes(found))

    def test_pcpus_of_its_own_without_one_for_each_vcpu(self):
        pins = ('0-1,16-17',) * 4
        found = self.assess(AssessedGuest(pins=pins))['clean']
        self.assertEqual(set(), self.codes(found))

    def test_a_hint_where_another_guest_is(self):
        found = self.assess(
            AssessedGuest(), AssessedGuest('b', 2000, ('1', '17', '3', '19'))
        )
        self.assertIn('hint-dedicated-wrong', self.codes(found['clean']))

    def test_a_device_whose_cell_nobody_knows(self):
        more = ('-device', 'vfio-pci,host=0000:7f:00.0')
        found = self.assess(AssessedGuest(more=more))['clean']
        (device,) = [f for f in found if f.code == 'device-remote']
        self.assertEqual(Severity.UNKNOWN, device.severity)
        self.assertIn('0000:7f:00.0', device.evidence)

    def test_one_that_floats_within_its_l3_domain(self):
        pins = ('0-3,16-19',) * 4
        helpers = dict.fromkeys(BESIDES, '0-3,16-19')
        found = self.assess(AssessedGuest(pins=pins, **helpers, **NO_HINT))
        self.assertEqual(set(), self.codes(found['clean']))

    def test_whole_cores_that_one_l3_domain_does_not_have(self):
        pins = tuple(map(str, range(8)))
        found = self.assess(
            AssessedGuest(
                pins=pins,
                smp='8,sockets=1,cores=8,threads=1',
                emulator='24',
                netdev={'fds': '1:2:3:4:5:6:7:8'},
            )
        )['clean']
        # Eight cores take two domains, though one has eight threads.
        self.assertNotIn('l3-span', self.codes(found))

    def test_cells_that_the_guest_sees(self):
        found = self.assess(
            AssessedGuest(
                pins=('0', '16', '8', '24'),
                huge_kib={0: KIB // 2, 1: KIB // 2},
                more=('-numa', 'node,nodeid=0', '-numa', 'node,nodeid=1'),
            )
        )['clean']
        self.assertEqual(set(), self.codes(found))

    def test_every_code_is_found_somewhere_here(self):
        rules = {code for rule in RULES for code in rule.codes}
        hosts = {code for codes, _check in HOST_RULES for code in codes}
        self.assertEqual({*rules, *hosts}, set(CODES))
        elsewhere = {
            'pcpu-shared', 'core-shared', 'floats-over-pinned',
            'hint-dedicated-wrong', 'vcpus-migrate', 'foreign-threads',
        }  # fmt: skip
        self.assertEqual(rules, {*BROKEN, *elsewhere})


class LookTest(AssessmentTest):
    def setUp(self):
        super().setUp()
        self.reads = collections.Counter()
        original = Process._read

        def counted(process, name, *args):
            self.reads[process.pid, name] += 1
            return original(process, name, *args)

        self.patch(Process, '_read', counted)

    def test_page_tables_are_not_walked_where_groups_count(self):
        self.assess(AssessedGuest())
        walked = {
            n for _p, n in self.reads if 'smaps' in n or 'numa_maps' in n
        }
        self.assertEqual(set(), walked)

    def recorded(self, **how):
        guest = self.useFixture(RecordedGuest())
        HOST.write(str(guest.root))
        self.root = str(guest.root)
        return self.assess(**how)['probe']

    def test_page_tables_are_walked_once_where_nothing_else_counts(self):
        found = self.recorded()
        self.assertNotIn('memory-remote', {each.code for each in found})
        self.assertEqual(1, self.reads[recorded_guest.PID, 'smaps'])
        self.assertEqual(1, self.reads[recorded_guest.PID, 'numa_maps'])

    def test_page_tables_are_not_walked_unless_allowed(self):
        found = self.recorded(walk=False)
        self.assertEqual(0, self.reads[recorded_guest.PID, 'smaps'])
        self.assertEqual(0, self.reads[recorded_guest.PID, 'numa_maps'])
        needs = {each.code: each.needs for each in found}
        self.assertEqual('to read its page tables', needs['memory-remote'])

    def test_a_guest_costs_the_same_among_many(self):
        costs = []
        for count in (2, 8):
            self.root = self.useFixture(fixtures.TempDir()).path
            HOST.write(self.root)
            self.reads.clear()
            self.assess(
                *(
                    AssessedGuest(f'g{number}', 1000 + 20 * number)
                    for number in range(count)
                )
            )
            costs.append(
                sum(n for (pid, _name), n in self.reads.items() if pid == 1000)
            )
        self.assertEqual(costs[0], costs[1])

    def test_others_are_looked_at_once(self):
        others = range(5000, 5020)
        for pid in others:
            home = Path(self.root) / 'proc' / str(pid)
            home.mkdir(parents=True)
            (home / 'cmdline').write_text('worker\0')
            (home / 'comm').write_text('worker\n')
        self.assess(AssessedGuest(), AssessedGuest('b', 2000))
        counts = [
            n for (pid, name), n in self.reads.items()
            if pid in others and name == 'cmdline'
        ]  # fmt: skip
        self.assertEqual([1] * 20, counts)


class WhichTest(AssessmentTest):
    def test_by_name_uuid_and_pid(self):
        one, two = AssessedGuest('one'), AssessedGuest('two', 2000)
        for names, wanted in (
            (['one'], ['one']),
            ([two.uuid.upper()], ['two']),
            (['1000', 'two'], ['one', 'two']),
        ):
            found = self.assess(one, two, names=names)
            self.assertEqual(wanted, list(found))
            # The other one is a neighbour all the same.
            self.assertIn('pcpu-shared', self.codes(found[wanted[0]]))

    def test_one_that_is_not_there(self):
        error = self.assertRaises(
            WrongUsage, self.assess, AssessedGuest(), names=['nobody']
        )
        self.assertIn("'nobody'; running: clean", str(error))

    def test_no_guest(self):
        self.assertEqual({}, self.assess())

    def test_a_qemu_that_only_answers(self):
        guest = AssessedGuest(machine='none,accel=kvm')
        self.assertEqual({}, self.assess(guest))

    def test_a_program_of_somebody_elses(self):
        AssessedGuest().write(self.root)
        link = Path(self.root) / 'proc/1000/exe'
        link.unlink()
        link.symlink_to('/home/joe/tool')
        self.assertEqual({}, self.assess())
        link.unlink()
        # A recorded /proc may have no link.
        self.assertEqual(['clean'], list(self.assess()))

    def test_an_unnamed_one(self):
        guest = AssessedGuest(name='')
        guest.write(self.root)
        self.assertEqual(['pid 1000'], list(self.assess()))

    def test_a_record_and_its_process_are_one_guest(self):
        guest = self.useFixture(RecordedGuest())
        HOST.write(str(guest.root))
        self.root = str(guest.root)
        record = Record('probe', recorded_guest.UUID, None, guest.xml)
        found = self.assess(records=[record])
        self.assertEqual(['probe'], list(found))
        # QEMU's arguments tell of a NIC what the document leaves open.
        self.assertIn('nic-no-vhost', self.codes(found['probe']))
        (unsafe,) = [f for f in found['probe'] if f.code == 'disk-unsafe']
        self.assertIn('sda', unsafe.evidence)

    def test_a_record_that_is_not_a_document_is_seen_by_its_process(self):
        guest = AssessedGuest('odd', emulator='0')
        record = Record('odd', guest.uuid, None, '<domain><vcpu>x</vcpu>')
        found = self.assess(guest, records=[record])
        self.assertEqual({'emulator-on-vcpus'}, self.codes(found['odd']))

    def test_a_record_of_which_nothing_can_be_read(self):
        record = Record('odd', 'x', None, '<domain><vcpu>x</vcpu></domain>')
        found = self.assess(records=[record])['odd']
        rules = {code for rule in RULES for code in rule.codes}
        self.assertEqual(rules, {each.code for each in found})
        self.assertEqual({Severity.UNKNOWN}, {each.severity for each in found})
        self.assertIn('its document cannot be read', found[0].evidence)

    def test_a_document_without_a_process(self):
        pins = ''.join(
            f"<vcpupin vcpu='{n}' cpuset='{cpu}'/>"
            for n, cpu in enumerate((0, 16, 8, 24))
        )
        live = (
            "<domain type='kvm'><name>far</name><vcpu>4</vcpu>"
            f"<memory unit='MiB'>64</memory><cputune>{pins}"
            "<emulatorpin cpuset='0'/></cputune></domain>"
        )
        found = self.assess(records=[Record('far', '', None, live)])['far']
        self.assertEqual(
            {'cell-span', 'siblings-hidden', 'hint-dedicated-missing',
             'emulator-on-vcpus'},
            self.codes(found),
        )  # fmt: skip
        unknown = {f.code for f in found if f.severity is Severity.UNKNOWN}
        self.assertIn('memory-swapped', unknown)
        self.assertIn('vcpus-wait', unknown)

    def test_threads_without_names(self):
        AssessedGuest(pins=FLOATING).write(self.root)
        home = Path(self.root) / 'proc/1000'
        (home / 'cmdline').write_text(
            f'/{qemu_identity.PROGRAM}\0-m\x00512\0-smp\x004\0'
        )
        (home / 'cgroup').write_text('0::/user.slice/x.scope\n')
        for task in (home / 'task').iterdir():
            (task / 'comm').write_text('qemu-system-x86\n')
            (task / 'status').write_text('Cpus_allowed_list:\t0-31\n')
        (found,) = self.assess().values()
        self.assertEqual({'cell-span'}, self.codes(found))
        needs = {f.code: f.needs for f in found}
        self.assertIn('debug-threads', needs['emulator-on-vcpus'])
