"""Guests get what was promised outside of their definition, however they
were started, and give it back when they end.
"""

import os
from pathlib import Path

import fixtures

from kvm_tuning import loader
from kvm_tuning.adapters import holders, reconcile, repin, starting
from kvm_tuning.core.exceptions import LibvirtFailed, SettingRejected
from kvm_tuning.host.guests.settings import Result
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.fixtures.fake_vfs import FakeWriter, add_process, affinities
from tests.unit.adapters.test_standalone import StoreTest, ask

PF = '0000:11:00.0'
VF = (PF, 0)
SPECS = {
    'kvm:vfs': '1',
    'kvm:vf_attachment': 'macvtap',
    'kvm:vf_trust': 'true',
    'kvm:vhost_cpus': 'housekeeping',
}
HOST = FakeHost(
    cells=2,
    l3_per_cell=1,
    cores=5,
    threads=1,
    pfs=(FakePf('eth0', vfs=2, vf_driver='igbvf'),),
)


class ReconcileTest(StoreTest):
    def setUp(self):
        super().setUp()
        self.become(HOST)
        self.writer = FakeWriter(VF, (PF, 1), root=self.root)
        self.queue = self.useFixture(fixtures.TempDir()).path
        self.add('g', 90)

    def add(self, name, pid, **specs):
        self.store.add(name)
        path = self.store.folder / f'{name}.xml'
        # Nothing answers for vhost in this tree; the domain is kvm's.
        path.write_text(path.read_text().replace('ethernet', 'bridge'))
        uuid = self.store.record(name).uuid
        add_process(self.root, pid, uuid, '0-9', ['0-9'])
        self.tune(name, ask(**{**SPECS, **specs}))

    def reconcile(self, *names, queue=False):
        steps = reconcile.reconcile(
            self.store,
            self.conf,
            names,
            self.queue if queue else None,
            self.root,
            self.writer,
        )
        return [(s.guest, s.kind, s.result) for s in steps]

    def event(self, guest, operation, number=0):
        path = Path(self.queue) / f'{guest}{number}'
        path.write_text(f'{guest}\n{operation}\n')
        os.utime(path, ns=(number, number))

    def start(self, name):
        return starting.start(
            self.store, self.conf, name, self.root, self.writer
        )

    @property
    def trust(self):
        return self.writer.vfs[VF]['trust']

    def vhost(self, pid=90):
        return affinities(self.root, pid)[pid + 1]


class StartTest(ReconcileTest):
    def test_vfs_before_and_threads_after(self):
        order = []
        self.writer.set_vf = lambda *args: (
            order.append('vf'),
            self.writer.vfs[VF].update(trust='1'),
        )
        began = self.store.start
        self.store.start = lambda name: (order.append('start'), began(name))
        done = self.start('g')
        self.assertTrue(done.started)
        self.assertEqual(['vf', 'start'], order)
        self.assertEqual({Result.SET}, {s.result for s in done.steps})
        self.assertEqual('0,5,8,9', self.vhost())

    def test_a_vf_that_cannot_be_so_starts_nothing(self):
        self.writer.ignored.add('trust')
        error = self.assertRaises(SettingRejected, self.start, 'g')
        self.assertIn(f'{PF}/0/trust', str(error))
        self.assertNotIn(('start', 'g'), self.store.calls)

    def test_a_start_that_fails_leaves_the_vf_as_it_was(self):
        self.store.fail.add('start')
        self.assertRaises(LibvirtFailed, self.start, 'g')
        self.assertEqual('0', self.trust)

    def test_threads_that_cannot_be_placed_are_told(self):
        self.writer.refused.add('affinity')
        done = self.start('g')
        self.assertTrue(done.started)
        self.assertIn(Result.FAILED, {s.result for s in done.steps})


class AllTest(ReconcileTest):
    def test_whatever_runs_and_nothing_twice(self):
        self.assertEqual([], self.reconcile())
        self.store.start('g')
        self.assertEqual(
            [
                ('g', 'vf-attribute', Result.SET),
                ('g', 'thread-affinity', Result.SET),
            ],
            self.reconcile(),
        )
        self.assertEqual('1', self.trust)
        self.assertEqual(
            {Result.KEPT}, {result for _g, _k, result in self.reconcile()}
        )
        self.store.stop('g')
        self.assertEqual(
            [('g', 'vf-attribute', Result.RESTORED)], self.reconcile()
        )
        self.assertEqual('0', self.trust)

    def test_by_name(self):
        self.add('h', 100)
        self.store.start('g')
        self.store.start('h')
        found = self.reconcile('h')
        self.assertEqual({'h'}, {guest for guest, _kind, _result in found})
        self.assertRaises(LibvirtFailed, self.reconcile, 'none')

    def test_a_guest_without_a_receipt_is_nobodys(self):
        self.store.add('plain')
        self.store.start('plain')
        self.assertEqual([], self.reconcile('plain'))

    def test_an_unreadable_receipt_is_told(self):
        self.store.start('g')
        live = self.store.folder / 'g.live'
        live.write_text(live.read_text().replace('instance', 'nowhere'))
        self.assertEqual([('g', 'guest', Result.FAILED)], self.reconcile('g'))

    def test_a_guest_that_came_from_another_host(self):
        """Its receipt names another guest's VF here, and other pCPUs."""
        self.store.start('g')
        live = self.store.folder / 'g.live'
        text = live.read_text().replace("dev='eth0v0'", "dev='eth0v1'")
        text = text.replace('dev="eth0v0"', 'dev="eth0v1"')
        live.write_text(text)
        for path in Path(self.root).glob('proc/90/task/90/status'):
            path.write_text('Cpus_allowed_list:\t1-2\n')
        self.assertEqual(
            [
                ('g', 'vf-attribute', Result.FAILED),
                ('g', 'thread-affinity', Result.FAILED),
            ],
            self.reconcile('g'),
        )
        self.assertEqual([], self.writer.writes)


class QueueTest(ReconcileTest):
    def test_only_those_of_the_queue_once(self):
        self.add('h', 100)
        self.store.start('g')
        self.store.start('h')
        self.event('h', 'started')
        found = self.reconcile(queue=True)
        self.assertEqual({'h'}, {guest for guest, _kind, _result in found})
        self.assertEqual([], os.listdir(self.queue))
        self.assertEqual([], self.reconcile(queue=True))

    def test_vfs_before_the_guest_runs(self):
        self.event('g', 'prepare')
        self.assertEqual(
            [('g', 'vf-attribute', Result.SET)], self.reconcile(queue=True)
        )
        self.store.start('g')
        self.event('g', 'started')
        self.assertEqual(
            [
                ('g', 'vf-attribute', Result.KEPT),
                ('g', 'thread-affinity', Result.SET),
            ],
            self.reconcile(queue=True),
        )

    def test_a_start_that_came_to_nothing(self):
        self.event('g', 'prepare')
        self.reconcile(queue=True)
        self.event('g', 'prepare', 1)
        self.event('g', 'release', 2)
        self.assertEqual(
            [('g', 'vf-attribute', Result.RESTORED)],
            self.reconcile(queue=True),
        )

    def test_one_that_is_gone(self):
        self.event('gone', 'release')
        self.assertEqual([], self.reconcile(queue=True))
        self.assertEqual([], os.listdir(self.queue))


class ListTest(ReconcileTest):
    def test_vfs_threads_and_queues(self):
        self.add('h', 100, **{'kvm:vif_queues': '2', 'kvm:iothreads': '1'})
        found = holders.read(self.store, self.conf, self.root)
        first, second = found
        self.assertEqual((('eth0/0',), ('eth0/1',)), (first.vfs, second.vfs))
        self.assertEqual({'vhost'}, set(first.threads))
        self.assertEqual({0, 5, 8, 9}, first.threads['vhost'])
        self.assertEqual({}, first.queues)
        self.assertIn(2, second.queues.values())


class RepinTest(ReconcileTest):
    def test_vhost_threads_follow(self):
        self.store.start('g')
        self.store.affinity['g'] = ({}, {})
        done = repin.repin(
            self.store,
            self.conf,
            loader.load(),
            'g',
            root=self.root,
            writer=self.writer,
        )
        self.assertTrue(done.changed)
        self.assertIn(
            ('thread-affinity', Result.SET),
            [(step.kind, step.result) for step in done.steps],
        )
        self.assertEqual('0,5,8,9', self.vhost())
