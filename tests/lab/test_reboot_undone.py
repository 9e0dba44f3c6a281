"""After undo and one more reboot nothing of us is left."""

import json
from pathlib import Path

from tests.lab.host_prep import HostPrepTest
from tests.lab.test_reboot_before import BEFORE, state


class UndoneTest(HostPrepTest):
    def test_as_before(self):
        # Until udev has loaded kvm's second module, which decides on timers.
        self.shell('udevadm settle --timeout=200')
        self.shell('systemctl start kvm-tuning-host-prep')
        before, found = json.loads(BEFORE.read_text()), state()
        self.assert_same(before['files'], found['files'])
        common = before['attributes'].keys() & found['attributes'].keys()
        self.assert_same(
            {name: before['attributes'][name] for name in common},
            {name: found['attributes'][name] for name in common},
        )
        self.assertNotIn('isolcpus', Path('/proc/cmdline').read_text())
        # There is no file of configuration any more to name.
        status = self.tool('host', 'status', '-f', 'json')
        self.assertEqual([], status.document)
