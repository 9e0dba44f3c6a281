"""The throw-away libvirt itself."""

import glob
import os
import subprocess
import sys
import tempfile
import time

import fixtures
import testtools

from kvm_tuning.adapters.trial import instance
from kvm_tuning.adapters.trial.judge import Judge
from kvm_tuning.core import domain

#: libvirt 9.0 aborts on a distance to a cell that is not there; later ones
#: refuse it.
BAD = """\
<domain type='qemu'>
  <name>bad</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <cpu>
    <numa>
      <cell id='0' cpus='0' memory='65536' unit='KiB'>
        <distances>
          <sibling id='0' value='10'/>
          <sibling id='1' value='21'/>
        </distances>
      </cell>
    </numa>
  </cpu>
</domain>
"""
GOOD = BAD.replace("<sibling id='1' value='21'/>", '')


class InstanceTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.kept = self.useFixture(fixtures.TempDir()).path

    def running(self, **options):
        manager = instance.running(kept=self.kept, **options)
        try:
            running = manager.__enter__()
        except instance.Unavailable as error:
            self.skipTest(str(error))
        self.addCleanup(manager.__exit__, None, None, None)
        return running

    def test_it_defines_and_forgets(self):
        running = self.running()
        for _each in range(2):
            answer = running.define(GOOD)
            self.assertEqual('', answer.error)
            self.assertIn('<uuid>', answer.xml)
        self.assertEqual(
            2, len({running.define(GOOD).xml for _each in range(2)})
        )

    def test_it_says_why_not(self):
        answer = self.running().define(GOOD.replace('<vcpu>1', '<vcpu>0'))
        self.assertIsNone(answer.xml)
        self.assertIn('<vcpu>', answer.error)
        self.assertFalse(answer.died)

    def test_a_document_that_kills_it_kills_nobody_else(self):
        running = self.running()
        answer = running.define(BAD)
        self.assertIsNone(answer.xml)
        if answer.died:
            self.assertFalse(running.alive)
            self.assertIn('died of SIGABRT', answer.error)

    def test_one_that_is_too_slow_is_ended(self):
        self.running().define(GOOD)
        running = self.running(timeout=60)
        running._timeout = 0.0
        answer = running.define(GOOD)
        self.assertTrue(answer.died)
        self.assertFalse(running.alive)

    def test_nothing_is_left_behind(self):
        before = set(glob.glob(f'{tempfile.gettempdir()}/kvm-tuning-trial.*'))
        with instance.running(kept=self.kept) as running:
            running.define(BAD)
        after = set(glob.glob(f'{tempfile.gettempdir()}/kvm-tuning-trial.*'))
        self.assertEqual(set(), after - before)
        self.assertNotEqual([], os.listdir(self.kept) or [running.version])

    def test_nothing_is_left_behind_by_one_whose_parent_is_killed(self):
        before = set(glob.glob(f'{tempfile.gettempdir()}/kvm-tuning-trial.*'))
        program = (
            'import os, signal\n'
            'from kvm_tuning.adapters.trial import instance\n'
            f'with instance.running(kept={self.kept!r}):\n'
            '    os.kill(os.getpid(), signal.SIGKILL)\n'
        )
        self.running()
        subprocess.run([sys.executable, '-c', program], check=False)
        made = set(glob.glob(f'{tempfile.gettempdir()}/kvm-tuning-trial.*'))
        for _each in range(100):
            # One is that of this test.
            if len(made - before) < 2:
                return
            time.sleep(0.1)
            made = set(
                glob.glob(f'{tempfile.gettempdir()}/kvm-tuning-trial.*')
            )
        self.fail(f'left behind: {made - before}')

    def test_a_judge_survives_a_death(self):
        judge = Judge(start=lambda: instance.running(kept=self.kept))
        self.addCleanup(judge.close)
        found = domain.read(GOOD)
        verdict = judge.judge(found, BAD)
        if verdict.not_judged:
            self.skipTest(verdict.not_judged)
        self.assertNotEqual('', verdict.refused)
        vcpu = '<vcpu>1</vcpu>'
        tuned = GOOD.replace(vcpu, f'{vcpu}<iothreads>1</iothreads>')
        self.assertEqual('', judge.judge(found, tuned).refused)
