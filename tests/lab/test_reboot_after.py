"""After the reboot all is as configured, and undo takes all back."""

import json

from tests.lab.host_prep import HostPrepTest
from tests.lab.test_reboot_before import BEFORE, state


class AfterTest(HostPrepTest):
    def test_kept_and_undone(self):
        self.shell(
            'systemctl start kvm-tuning-host-prep.service || '
            'journalctl -u kvm-tuning-host-prep.service'
        )
        self.shell('systemctl is-active kvm-tuning-host-prep.service')
        self.assert_all_is_as_configured()
        # systemd's affinity is in force now, too.
        self.assertEqual({}, self.states())
        self.assertEqual(
            'Cpus_allowed_list:\t0-1,4-5',
            self.shell('grep Cpus_allowed_list /proc/1/status'),
        )
        self.assertEqual([], self.host('apply').document['changed'])
        self.assertEqual([], self.host('undo').document['failed'])
        before = json.loads(BEFORE.read_text())
        found = state()
        self.assertEqual(before['files'], found['files'])
        # The NVMe disk that a restore adds does not outlive a reboot.
        common = before['attributes'].keys() & found['attributes'].keys()
        self.assertIn('/sys/module/igb/parameters/max_vfs', common)
        self.assertEqual(
            {name: before['attributes'][name] for name in common},
            {name: found['attributes'][name] for name in common},
        )
