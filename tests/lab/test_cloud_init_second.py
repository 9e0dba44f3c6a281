"""The second boot: there is nothing to do. Then another seed, a wrong one."""

import copy
from pathlib import Path
import time

from tests.lab.cloud_init import NODE, CloudInitTest


class SecondTest(CloudInitTest):
    def test_nothing_to_do(self):
        result, log = self.ended()
        self.assertEqual([], result['errors'])
        self.assertEqual({}, result['recoverable_errors'])
        self.assertIn('kvm-tuning: ready; nothing to do', log)
        self.assertIn(' nohz_full=2-3,6-7', Path('/proc/cmdline').read_text())
        self.assertEqual('', self.tool('host', 'ready').stderr)
        states = self.tool('host', 'status', '-f', 'json').document
        self.assertEqual({'as wanted'}, {row['state'] for row in states})
        # The gate has opened by itself, without cloud-init.
        end = time.monotonic() + 60
        while not self.compute():
            self.assertLess(time.monotonic(), end)
            time.sleep(1)
        wrong = copy.deepcopy(NODE)
        wrong['config']['ksm']['run'] = 'sometimes'
        self.seed(2, wrong)
