"""Threads of real processes are placed, and no others."""

import os
import subprocess
import sys

import fixtures
import testtools

from kvm_tuning.host.guests import privsep, vhost

_GUEST = """
import os, threading, time
def run():
    tid = threading.get_native_id()
    with open(f'/proc/self/task/{tid}/comm', 'w') as file:
        file.write(f'vhost-{os.getpid()}')
    print(tid, flush=True)
    time.sleep(60)
threading.Thread(target=run, daemon=True).start()
time.sleep(60)
"""


class RealThreadsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.cpus = sorted(os.sched_getaffinity(0))
        self.process = subprocess.Popen(
            [sys.executable, '-c', _GUEST], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.kill)
        self.tid = int(self.process.stdout.readline())

    def libvirts(self, pid):
        """Let libvirt have started a process for the guest ``web``."""
        self.useFixture(
            fixtures.MonkeyPatch(
                f'{vhost.__name__}.Processes.libvirts',
                lambda _self, uuid, name: {('u', 'web'): pid}[uuid, name],
            )
        )

    def refused(self, tid, cpus, *words):
        error = self.assertRaises(
            PermissionError, vhost.set_affinity, 'u', 'web', tid, cpus
        )
        for word in words:
            self.assertIn(word, str(error))

    def test_found_and_placed(self):
        self.libvirts(self.process.pid)
        (thread,) = vhost.vhost(self.process.pid)
        self.assertEqual(self.tid, thread.tid)
        self.assertEqual(set(self.cpus), thread.cpus)
        before = privsep.ctx.client_mode
        self.addCleanup(privsep.ctx.set_client_mode, before)
        privsep.ctx.set_client_mode(False)
        privsep.set_affinity('u', 'web', self.tid, self.cpus[:1])
        (thread,) = vhost.vhost(self.process.pid)
        self.assertEqual({self.cpus[0]}, thread.cpus)
        self.assertEqual(set(self.cpus), vhost.emulator(self.process.pid))

    def test_no_other_thread_is_placed(self):
        self.libvirts(self.process.pid)
        for tid in (self.process.pid, os.getpid()):
            self.refused(tid, self.cpus[:1], 'not a vhost thread of guest web')
        self.assertEqual(
            set(self.cpus), os.sched_getaffinity(self.process.pid)
        )

    def test_a_thread_of_another_process_with_the_name(self):
        # It calls itself vhost-PID of its own process, and is no guest's.
        self.libvirts(os.getpid())
        self.refused(self.tid, self.cpus[:1], 'not a vhost thread')
        self.assertEqual(set(self.cpus), os.sched_getaffinity(self.tid))

    def test_not_out_of_where_the_guest_may_run(self):
        self.libvirts(self.process.pid)
        os.sched_setaffinity(self.process.pid, self.cpus[:1])
        self.refused(self.tid, self.cpus, 'may run on')
        self.assertEqual(set(self.cpus), os.sched_getaffinity(self.tid))

    def test_a_thread_that_has_ended(self):
        self.libvirts(self.process.pid)
        self.refused(1 << 22, [0], 'does not exist')
        self.assertRaises(
            OSError, privsep.set_affinity, 'u', 'web', 1 << 22, [0]
        )

    def test_a_guest_that_libvirt_has_not_started(self):
        # The process has no arguments of a guest at all.
        self.refused(self.tid, self.cpus[:1], 'web')
