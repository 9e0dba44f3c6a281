"""Threads of real processes are placed, and no others."""

import os
import subprocess
import sys

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

    def test_found_and_placed(self):
        (thread,) = vhost.vhost(self.process.pid)
        self.assertEqual(self.tid, thread.tid)
        self.assertEqual(set(self.cpus), thread.cpus)
        before = privsep.ctx.client_mode
        self.addCleanup(privsep.ctx.set_client_mode, before)
        privsep.ctx.set_client_mode(False)
        privsep.set_affinity(self.tid, self.cpus[:1])
        (thread,) = vhost.vhost(self.process.pid)
        self.assertEqual({self.cpus[0]}, thread.cpus)
        self.assertEqual(set(self.cpus), vhost.emulator(self.process.pid))

    def test_no_other_thread_is_placed(self):
        for tid in (self.process.pid, os.getpid()):
            error = self.assertRaises(
                PermissionError, vhost.set_affinity, tid, self.cpus[:1]
            )
            self.assertIn('not a vhost thread', str(error))
        self.assertEqual(
            set(self.cpus), os.sched_getaffinity(self.process.pid)
        )

    def test_a_thread_that_has_ended(self):
        self.assertRaises(OSError, vhost.set_affinity, 1 << 22, [0])
