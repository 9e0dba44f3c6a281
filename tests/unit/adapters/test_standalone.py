import contextlib
import dataclasses
import multiprocessing
import os
import signal

import fixtures
import testtools

from kvm_tuning import loader
from kvm_tuning.adapters import (
    audit,
    holders,
    lock,
    repin,
    standalone,
    starting,
)
from kvm_tuning.adapters.trial.instance import Answer
from kvm_tuning.adapters.trial.judge import Judge
from kvm_tuning.core import cpuset, domain, request
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.exceptions import (
    ConfigInvalid,
    Exhausted,
    InventoryUnreadable,
    LibvirtFailed,
    LockFailed,
    SettingRejected,
    Unsupported,
)
from kvm_tuning.host import configuration
from kvm_tuning.host.guests.settings import Result
from tests.fixtures import fake_processes, memory_dir
from tests.fixtures.domain_store import DomainStore
from tests.fixtures.fake_host import FakeHost, FakePf

HOST = FakeHost(cells=2, l3_per_cell=1, cores=5, threads=1)
SPECS = {'hw:cpu_policy': 'dedicated', 'kvm:emulator_cpus': 'housekeeping'}


def ask(vcpus=2, ram=256, **specs):
    flavor = Flavor('f', '1', vcpus, ram, 0, specs or SPECS)
    return request.read(flavor, None, loader.knobs(loader.load()))


def tune(store, settings, root, name, asked=None):
    return standalone.tune(
        store, settings, loader.load(), asked or ask(), name, root
    )


def pins(store, name, live=False):
    record = store.record(name)
    guest = domain.read(record.live if live else record.defined).current
    return {v: min(cpus) for v, cpus in guest.pins.items()}


class StoreTest(testtools.TestCase):
    #: Three guests of two vCPUs.
    dedicated = '1-4,6-7'

    def setUp(self):
        super().setUp()
        self.become(HOST)
        self.store = DomainStore(self.useFixture(fixtures.TempDir()).path)
        self.conf = self.settings()

    def become(self, host):
        self.root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        host.write(self.root)

    def settings(self, **libvirt):
        folder = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(folder, 'c.conf')
        values = {'lock_path': folder, **libvirt}
        with open(path, 'w') as file:
            file.write(f'[placement]\ndedicated_cpus = {self.dedicated}\n')
            file.write('[libvirt]\n')
            file.writelines(f'{k} = {v}\n' for k, v in values.items())
        return configuration.load(self.root, [path])

    def tune(self, name, asked=None):
        return tune(self.store, self.conf, self.root, name, asked)

    def start(self, name):
        starting.start(self.store, self.conf, name, self.root)
        guest = domain.read(self.store.record(name).live).current
        self.store.affinity[name] = (
            dict(guest.pins),
            dict(guest.iothread_pins),
        )
        self.store.emulator = guest.emulator_pin or frozenset(range(8))

    def repin(self, name, cpus=None):
        return repin.repin(
            self.store, self.conf, loader.load(), name, cpus, self.root
        )


class TuneTest(StoreTest):
    def test_rewrites_the_definition(self):
        self.store.add('g')
        change = self.tune('g')
        self.assertTrue(change.changed)
        self.assertFalse(change.running)
        self.assertEqual({0: 6, 1: 7}, pins(self.store, 'g'))

    def test_twice_changes_nothing(self):
        self.store.add('g')
        self.tune('g')
        self.assertFalse(self.tune('g').changed)

    def test_undo_gives_the_former_bytes(self):
        self.store.add('g')
        before = self.store.record('g').defined
        self.tune('g')
        change = standalone.undo(self.store, self.conf, 'g')
        self.assertTrue(change.changed)
        self.assertEqual(before, self.store.record('g').defined)

    def test_gives_no_pcpu_twice(self):
        for name in 'abc':
            self.store.add(name)
            self.tune(name)
        self.store.add('d')
        before = self.store.record('d').defined
        self.assertRaises(Exhausted, self.tune, 'd')
        self.assertEqual(before, self.store.record('d').defined)
        held = [p for n in 'abc' for p in pins(self.store, n).values()]
        self.assertEqual([1, 2, 3, 4, 6, 7], sorted(held))

    def test_without_dedicated_cpus_a_dedicated_guest_is_refused(self):
        self.store.add('g')
        folder = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(folder, 'c.conf')
        with open(path, 'w') as file:
            file.write(f'[libvirt]\nlock_path = {folder}\n')
        self.conf = configuration.load(self.root, [path])
        error = self.assertRaises(Unsupported, self.tune, 'g')
        self.assertIn('[placement] dedicated_cpus', str(error))

    def test_a_transient_domain_is_refused(self):
        self.store.add('g')
        self.store.start('g')
        (self.store.folder / 'g.xml').unlink()
        self.assertRaises(Unsupported, self.tune, 'g')

    def test_a_rejected_definition_leaves_the_old_one(self):
        self.store.add('g')
        before = self.store.record('g').defined
        self.store.fail.add('define')
        self.assertRaises(LibvirtFailed, self.tune, 'g')
        self.assertEqual(before, self.store.record('g').defined)

    def test_what_is_dropped_is_refused_and_put_back(self):
        self.store.add('g')
        before = self.store.record('g').defined
        self.store.drop = '<nosharepages/>'
        error = self.assertRaises(
            SettingRejected,
            self.tune,
            'g',
            ask(**{'kvm:page_sharing': 'false'}),
        )
        self.assertIn('memoryBacking/nosharepages', str(error))
        self.assertEqual(before, self.store.record('g').defined)

    def test_what_nobody_promised_is_not_dropped_either(self):
        self.store.add('g')
        before = self.store.record('g').defined
        self.store.drop = "      <model type='virtio'/>\n"
        error = self.assertRaises(
            SettingRejected,
            self.tune,
            'g',
            ask(**{'kvm:page_sharing': 'false'}),
        )
        self.assertIn('interface', str(error))
        self.assertIn('model', str(error))
        self.store.drop = ''
        self.store.define('g', before)
        self.tune('g', ask(**{'kvm:page_sharing': 'false'}))

    def test_what_libvirt_adds_goes_with_the_tuning(self):
        self.store.add('g')
        before = self.store.record('g').defined
        self.store.adds = {
            "bus='sata'": "    <controller type='sata' index='0'/>\n"
        }
        image = Image('i', '1', {'hw_disk_bus': 'sata'})
        asked = request.read(
            Flavor('f', '1', 2, 256, 0, {}),
            image,
            loader.knobs(loader.load()),
        )
        self.tune('g', asked)
        self.assertIn('<controller', self.store.record('g').defined)
        standalone.undo(self.store, self.conf, 'g')
        self.assertEqual(before, self.store.record('g').defined)

    def test_a_judge_goes_first(self):
        self.store.add('g')
        before = self.store.record('g').defined

        class Never:
            version = (9, 0, 0)
            alive = True

            def define(self, xml):
                why = 'no such thing' if 'nosharepages' in xml else ''
                return Answer(None if why else xml, why)

        judge = Judge(start=lambda: contextlib.nullcontext(Never()))
        error = self.assertRaises(
            Unsupported,
            standalone.tune,
            self.store,
            self.conf,
            loader.load(),
            ask(**{'kvm:page_sharing': 'false'}),
            'g',
            self.root,
            judge,
        )
        self.assertIn('no such thing', str(error))
        self.assertEqual(before, self.store.record('g').defined)
        self.assertNotIn(('define', 'g'), self.store.calls)

    def test_a_running_guest_is_told_what_needs_a_restart(self):
        self.store.add('g')
        self.start('g')
        change = self.tune('g', ask(**{'kvm:page_sharing': 'false'}))
        self.assertTrue(change.running)
        self.assertEqual(
            [('memoryBacking/nosharepages', 'absent', 'present')],
            [(p.address, p.running, p.defined) for p in change.pending],
        )

    def test_a_running_guest_may_use_its_own_huge_pages_again(self):
        free = FakeHost(cells=1, huge_pages={2048: 128})
        full = dataclasses.replace(free, used_pages={(0, 2048): 128})
        big = ask(**{'hw:mem_page_size': '2048'})
        self.store.add('g')
        self.become(full)
        self.assertRaises(Exhausted, self.tune, 'g', big)
        self.become(free)
        self.tune('g', big)
        self.start('g')
        self.become(full)
        self.assertFalse(self.tune('g', big).changed)

    def test_huge_pages_of_other_guests_are_not_its_own(self):
        free = FakeHost(cells=1, huge_pages={2048: 256})
        self.store.add('g')
        self.become(free)
        self.tune('g', ask(**{'hw:mem_page_size': '2048'}))
        self.start('g')
        # 128 are its own, 100 of another guest
        self.become(dataclasses.replace(free, used_pages={(0, 2048): 228}))
        for ram, fits in ((312, True), (314, False)):
            asked = ask(ram=ram, **{'hw:mem_page_size': '2048'})
            path = self.store.folder / 'g.xml'
            before = path.read_text()
            if fits:
                self.tune('g', asked)
            else:
                self.assertRaises(Exhausted, self.tune, 'g', asked)
            path.write_text(before)

    def test_a_function_that_it_has_by_hand_is_not_given_again(self):
        self.become(
            FakeHost(cells=1, pfs=(FakePf('eth0', vfs=2, vf_driver='igbvf'),))
        )
        self.store.add('g')
        path = self.store.folder / 'g.xml'
        by_hand = (
            "<hostdev mode='subsystem' type='pci'><source><address "
            "domain='0x0000' bus='0x11' slot='0x10' function='0x0'/>"
            '</source></hostdev></devices>'
        )
        path.write_text(path.read_text().replace('</devices>', by_hand))
        vfs = ask(**{'kvm:vfs': '1'})
        self.tune('g', vfs)
        found = domain.read(self.store.record('g').defined).current
        self.assertEqual(2, len(set(found.host_devices)))
        # A second time, too, with the one that it got.
        self.assertFalse(self.tune('g', vfs).changed)


class ForeignTest(StoreTest):
    """Processes that are not guests, on pCPUs that are meant for guests."""

    def setUp(self):
        super().setUp()
        fake_processes.write(self.root, 1, 'systemd', ['0-9'], parent=0)

    def poller(self, pcpu, pid=70):
        fake_processes.write(self.root, pid, 'spdk_tgt', [str(pcpu)])

    def test_are_planned_around(self):
        self.poller(6)
        for name in 'ab':
            self.store.add(name)
            self.tune(name)
        held = [p for n in 'ab' for p in pins(self.store, n).values()]
        self.assertEqual([1, 2, 3, 4], sorted(held))

    def test_are_named_where_there_is_no_room(self):
        for number, pcpu in enumerate((1, 3, 6, 7)):
            self.poller(pcpu, 70 + number)
        self.store.add('g')
        error = self.assertRaises(Exhausted, self.tune, 'g', ask(vcpus=4))
        self.assertIn(
            'Processes that are not guests hold pCPUs: spdk_tgt (process 70) '
            '1, spdk_tgt (process 71) 3, spdk_tgt (process 72) 6, and 1 more',
            str(error),
        )

    def test_guests_themselves_are_not_foreign(self):
        self.store.add('g')
        self.tune('g')
        before = pins(self.store, 'g')
        uuid = self.store.record('g').uuid
        fake_processes.write(
            self.root,
            70,
            'qemu-kvm',
            ['6', '7'],
            arguments=('-uuid', uuid, ''),
        )
        self.tune('g')
        self.assertEqual(before, pins(self.store, 'g'))

    def test_are_named_by_the_audit(self):
        self.store.add('g')
        self.tune('g')

        def found():
            (audited,) = audit.audit(self.store, self.conf, root=self.root)
            return [
                (each.code, each.found)
                for each in audited.findings
                if each.severity is not Severity.OK
            ]

        before = found()
        self.poller(7)
        self.poller(3, 71)
        self.assertEqual(
            [
                (
                    'pcpu-of-a-process',
                    'spdk_tgt (process 70) is pinned to 7',
                )
            ],
            [each for each in found() if each not in before],
        )


class StartTest(StoreTest):
    def test_starts_once(self):
        self.store.add('g')
        self.tune('g')

        def start():
            done = starting.start(self.store, self.conf, 'g', self.root)
            return done.started

        self.assertTrue(start())
        self.assertFalse(start())

    def test_a_process_that_cannot_be_seen_has_started(self):
        self.store.add('g')
        self.tune('g', ask(**SPECS, **{'kvm:vhost_cpus': 'housekeeping'}))

        def unreadable(*_args):
            raise InventoryUnreadable('/proc/7/stat cannot be read')

        self.patch(starting.observe, 'find', unreadable)
        done = starting.start(self.store, self.conf, 'g', self.root)
        self.assertTrue(done.started)
        self.assertIs(Result.FAILED, done.steps[-1].result)
        self.assertIn('cannot be read', done.steps[-1].detail)

    def test_refuses_what_somebody_else_has(self):
        self.store.add('g')
        self.tune('g')
        self.store.add('other')
        self.store.start('other')
        taken = pins(self.store, 'g')[0]
        self.store.affinity['other'] = ({0: frozenset({taken})}, {})
        error = self.assertRaises(
            Exhausted,
            starting.start,
            self.store,
            self.conf,
            'g',
            self.root,
        )
        self.assertIn("'other' holds", str(error))
        self.assertNotIn(('start', 'g'), self.store.calls)


class ListTest(StoreTest):
    def test_who_holds_what(self):
        self.store.add('g')
        self.store.add('h')
        self.tune('g')
        found = holders.read(self.store, self.conf, self.root)
        self.assertEqual(['g', 'h'], [each.name for each in found])
        self.assertEqual(['f', ''], [each.flavor for each in found])
        self.assertEqual({6, 7}, found[0].claims[0].pcpus)
        self.assertEqual((), found[1].claims)

    def test_what_one_holds_besides_pcpus(self):
        self.become(
            FakeHost(cells=1, pfs=(FakePf('eth0', vfs=2, vf_driver='igbvf'),))
        )
        for name in ('g', 'h'):
            self.store.add(name)
        self.tune(
            'g',
            ask(
                **SPECS,
                **{
                    'kvm:vfs': '1',
                    'kvm:iothreads': '2',
                    'kvm:iothread_cpus': 'housekeeping',
                    'kvm:vif_queues': '2',
                    'kvm:disk_queues': '3',
                },
            ),
        )
        found, other = holders.read(self.store, self.conf, self.root)
        self.assertEqual(('eth0/0',), found.vfs)
        self.assertEqual(
            {'52:54:00:00:00:01': 2, 'vda': 3}, dict(found.queues)
        )
        self.assertEqual(
            ['emulator', 'iothread 1', 'iothread 2'],
            [name for name in found.threads if name != 'vhost'],
        )
        for cpus in found.threads.values():
            self.assertEqual(frozenset(), cpus & found.claims[0].pcpus)
        self.assertEqual(((), {}, {}), (
            other.vfs, dict(other.queues), dict(other.threads)
        ))  # fmt: skip


class RepinTest(StoreTest):
    #: Room beside the guest, in its cell and in the other one.
    dedicated = '1-3,6-9'

    def setUp(self):
        super().setUp()
        self.store.add('g')
        self.tune('g')
        self.start('g')
        self.store.calls.clear()

    def test_nothing_to_do(self):
        done = self.repin('g')
        self.assertFalse(done.changed)
        self.assertEqual((), done.moves)

    def test_moves_back_what_was_moved_by_hand(self):
        self.store.affinity['g'][0][0] = frozenset({7})
        done = self.repin('g')
        self.assertEqual(
            [('vCPU 0', {7}, {1})],
            [(m.thread, m.before, m.pin.cpus) for m in done.moves],
        )
        self.assertEqual({1}, self.store.affinity['g'][0][0])

    def test_moves_within_its_cell(self):
        done = self.repin('g', '2-3')
        self.assertTrue(done.changed)
        self.assertEqual({0: 2, 1: 3}, pins(self.store, 'g'))
        self.assertEqual({0: {2}, 1: {3}}, dict(self.store.affinity['g'][0]))
        live = domain.read(
            f'<domain><metadata>{self.store.metadata}</metadata></domain>'
        )
        self.assertEqual({2, 3}, live.receipt.claim.pcpus)

    def test_a_strict_locality_stays_strict(self):
        self.become(FakeHost(cells=1, l3_per_cell=2, cores=5, threads=1))
        self.store.add('s')
        strict = {
            'kvm:cpu_locality': 'l3',
            'kvm:cpu_locality_policy': 'strict',
        }
        self.tune('s', ask(**SPECS, **strict))
        self.start('s')
        self.store.calls.clear()
        # One in each L3 domain.
        error = self.assertRaises(Exhausted, self.repin, 's', '3,6')
        self.assertIn('L3', str(error))
        self.assertEqual([], self.store.calls)

    def test_leaves_strict_memory_only_by_a_restart(self):
        error = self.assertRaises(Unsupported, self.repin, 'g', '6-7')
        self.assertIn('numatune strict', str(error))
        self.assertEqual([], self.store.calls)

    def test_a_place_outside_of_the_dedicated_ones_is_refused(self):
        self.assertRaises(ConfigInvalid, self.repin, 'g', '0,2')

    def test_all_goes_back_when_a_call_fails(self):
        before = self.store.record('g').defined
        for call in ('define', 'set_metadata'):
            self.store.fail = {call}
            self.assertRaises(LibvirtFailed, self.repin, 'g', '2-3')
            self.assertEqual(
                {0: {1}, 1: {2}}, dict(self.store.affinity['g'][0])
            )
        self.store.fail = set()
        self.assertEqual(
            cpuset.format({1, 2}),
            cpuset.format(pins(self.store, 'g').values()),
        )
        self.assertEqual(len(before), len(self.store.record('g').defined))

    def test_one_that_does_not_run_is_refused(self):
        self.store.add('h')
        self.assertRaises(Unsupported, self.repin, 'h')

    def test_one_without_a_receipt_is_refused(self):
        self.store.add('h')
        self.start('h')
        error = self.assertRaises(Unsupported, self.repin, 'h')
        self.assertIn('never tuned', str(error))

    def test_one_tuned_since_its_start_is_refused(self):
        self.tune('g', ask(**SPECS, **{'kvm:page_sharing': 'false'}))
        error = self.assertRaises(Unsupported, self.repin, 'g')
        self.assertIn('restart', str(error))


class LockTest(StoreTest):
    def test_two_processes_never_give_one_pcpu_twice(self):
        names = [f'g{number}' for number in range(6)]
        for name in names:
            self.store.add(name)
        self.store.delay = 0.05
        context = multiprocessing.get_context('fork')
        outcomes = context.Queue()
        processes = [
            context.Process(
                target=_tune_all,
                args=(self.store, self.conf, self.root, mine, outcomes),
            )
            for mine in (names[::2], names[1::2])
        ]
        for process in processes:
            process.start()
        results = [outcomes.get(timeout=60) for _name in names]
        for process in processes:
            process.join(60)
        # Six dedicated pCPUs hold three guests of two vCPUs.
        self.assertEqual(['Exhausted'] * 3 + ['tuned'] * 3, sorted(results))
        held = [
            pcpu for name in names for pcpu in pins(self.store, name).values()
        ]
        self.assertEqual(sorted(set(held)), sorted(held))
        self.assertEqual(6, len(held))

    def test_processes_that_are_killed_leave_no_pcpu_to_two(self):
        names = [f'g{number}' for number in range(20)]
        for name in names:
            self.store.add(name)
        context = multiprocessing.get_context('fork')
        ways = ('before', 'after')
        processes = [
            context.Process(
                target=_tune_dying,
                args=(self.store, self.conf, self.root, name, ways[n % 2]),
            )
            for n, name in enumerate(names)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        # Each that found room has died, so the first did
        ends = [process.exitcode for process in processes]
        self.assertIn(-signal.SIGKILL, ends)
        self.assertEqual(set(), {*ends} - {0, -signal.SIGKILL})
        # What they left is whole, and the rest of the pCPUs can be had
        for name in names:
            with contextlib.suppress(Exhausted):
                self.tune(name)
        held = [
            pcpu for name in names for pcpu in pins(self.store, name).values()
        ]
        self.assertEqual([1, 2, 3, 4, 6, 7], sorted(held))

    def test_gives_up_in_the_end(self):
        impatient = self.settings(lock_timeout=0)
        ready = multiprocessing.Event()
        done = multiprocessing.Event()
        holder = multiprocessing.get_context('fork').Process(
            target=_hold, args=(impatient, ready, done)
        )
        holder.start()
        self.addCleanup(holder.join, 30)
        self.addCleanup(done.set)
        self.assertTrue(ready.wait(30))
        self.assertRaises(LockFailed, lock.held(impatient).__enter__)

    def test_a_path_that_cannot_be_made(self):
        file = os.path.join(self.root, 'file')
        with open(file, 'w'):
            pass
        settings = self.settings(lock_path=f'{file}/lock')
        error = self.assertRaises(LockFailed, lock.held(settings).__enter__)
        self.assertIn('[libvirt] lock_path', str(error))


def _tune_all(store, settings, root, names, outcomes):
    for name in names:
        try:
            tune(store, settings, root, name)
            outcomes.put('tuned')
        except Exhausted as error:
            outcomes.put(error.code)


def _tune_dying(store, settings, root, name, when):
    """Tune a guest, and die by SIGKILL before or after it is defined."""
    define = store.define

    def dying(*args):
        if when == 'before':
            os.kill(os.getpid(), signal.SIGKILL)
        define(*args)
        if when == 'after':
            os.kill(os.getpid(), signal.SIGKILL)

    store.define = dying
    with contextlib.suppress(Exhausted):
        tune(store, settings, root, name)


def _hold(settings, ready, done):
    with lock.held(settings):
        ready.set()
        done.wait(60)
