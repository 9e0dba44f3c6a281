"""A sample of the faults that the hostile tier tries at each call."""

import shutil
import subprocess
import sys

import testtools
from testtools.matchers import Equals, HasLength

# 571 and 530 calls, with four faults each: a prime, so that the sample meets
# calls of every kind.
_EVERY = 113


class FaultsTest(testtools.TestCase):
    def test_nothing_is_lost(self):
        if not (shutil.which('cc') or shutil.which('gcc')):
            self.skipTest('there is no C compiler')
        ran = subprocess.run(
            [sys.executable, '-m', 'tests.hostile.faults']
            + ['--every', str(_EVERY)],
            capture_output=True,
            text=True,
        )
        self.assertThat(ran.returncode, Equals(0), ran.stdout + ran.stderr)
        rows = [line.split() for line in ran.stdout.splitlines()[1:]]
        self.assertThat(rows, HasLength(8))
        for act, fault, calls, tried, _refused, lost in rows:
            self.assertThat(int(calls) > 300, Equals(True), f'{act} {fault}')
            self.assertThat(int(tried) > 2, Equals(True), f'{act} {fault}')
            self.assertThat(lost, Equals('0'))
