"""What threads do between two samples."""

import os
from pathlib import Path

import fixtures
import testtools

from kvm_tuning.core.assess.guest import Activity, Foreign
from kvm_tuning.core.observed import Kind, Thread, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests import activity

SCHED = 'CPU 0/KVM (7, #threads: 5)\nse.nr_migrations      :    {}\n'


class ActivityTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.useFixture(fixtures.TempDir()).path)

    def put(self, name, text):
        path = self.root / 'proc' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def vcpu(self, run, wait, moves=None):
        self.put('7/task/8/schedstat', f'{run} {wait} 9\n')
        if moves is not None:
            self.put('7/task/8/sched', SCHED.format(moves))

    def sample(self):
        threads = (
            Thread(8, 'CPU 0/KVM', Kind.VCPU, 0, frozenset({0})),
            Thread(9, 'worker', Kind.WORKER, None, frozenset({0})),
        )
        return activity.vcpus(Process(7, str(self.root)), threads)

    def stat(self, pid, name, ticks, pcpu, task=None):
        words = ['S', *'0' * 10, str(ticks), '0', *'0' * 23, str(pcpu), '0']
        place = f'{pid}/stat' if task is None else f'{pid}/task/{task}/stat'
        self.put(place, f'{task or pid} ({name}) {" ".join(words)}\n')

    def test_between_two_samples(self):
        self.vcpu(100, 10, 5)
        first = self.sample()
        self.assertEqual({8: Activity(100, 10, 5)}, first)
        self.vcpu(400, 110, 12)
        self.assertEqual(
            {8: Activity(300, 100, 7)}, activity.between(first, self.sample())
        )

    def test_a_kernel_that_does_not_count_moves(self):
        self.vcpu(1, 1)
        first = self.sample()
        self.assertIsNone(activity.between(first, self.sample())[8].moves)

    def test_a_kernel_that_counts_nothing(self):
        self.put('7/status', '')
        self.assertIsInstance(self.sample(), Unknown)
        self.vcpu('x', 1)
        self.assertIsInstance(self.sample(), Unknown)
        self.assertIsInstance(activity.between(self.sample(), {}), Unknown)
        self.assertIsInstance(activity.between({}, self.sample()), Unknown)

    def others(self):
        return activity.Others(str(self.root), {7})

    def test_others(self):
        for pid, name in (
            (7, 'qemu'), (20, 'a (b) c'), (21, 'idle'), (22, 'vhost-7'),
            (23, 'kvm-pit/7'),
        ):  # fmt: skip
            self.stat(pid, name, 0, 3)
        others = self.others()
        for pid, name in ((7, 'qemu'), (20, 'a (b) c'), (22, 'vhost-7'),
                          (23, 'kvm-pit/7'), (24, 'new')):  # fmt: skip
            self.stat(pid, name, 500, 3)
        self.stat(21, 'idle', 1, 3)
        self.stat(20, 'x', 100, 1, task=20)
        self.stat(20, 'y', 400, 5, task=30)
        hertz = 100
        self.patch(activity.os, 'sysconf', lambda _name: hertz)
        self.assertEqual((Foreign(20, 'a (b) c', 5, 50),), others.busy(10))

    def test_this_process_is_not_one_of_others(self):
        others = activity.Others('/', set())
        self.assertNotIn(os.getpid(), others._before)
        # It would be, as any other.
        self.assertIsNotNone(activity._stat(Process(os.getpid()), 'stat'))

    def test_texts_that_are_not_what_they_are_said_to_be(self):
        for text in ('', '20', '20 (x) S 1', '20 (x) ' + 'y ' * 50):
            self.put('20/stat', text)
            self.assertEqual((), self.others().busy(1))
