"""The first boot: all is made, and a reboot is asked for."""

from pathlib import Path

from tests.lab import ports
from tests.lab.cloud_init import PAGES, CloudInitTest


class FirstTest(CloudInitTest):
    def test_made_and_reboots(self):
        result, log = self.ended()
        self.assertEqual([], result['errors'])
        self.assertEqual({}, result['recoverable_errors'])
        self.assertIn('kvm-tuning: made: ', log)
        self.assertIn('reboots for: kernel arguments', log)
        for cell in (0, 1):
            pages = Path(
                f'/sys/devices/system/node/node{cell}/hugepages/'
                f'hugepages-2048kB/nr_hugepages'
            )
            self.assertEqual(str(PAGES), pages.read_text().strip())
        self.assertEqual(
            [2, 2], [len(ports.vfs(address)) for address in ports.PORTS]
        )
        # Not ready before the reboot, so that nothing has started.
        said = self.tool('host', 'ready', status=1).stderr
        self.assertIn('after a reboot', said)
        self.assertFalse(self.compute())
        # It was asked for when cloud-init had ended.
        self.shell('systemctl is-active cloud-final.service')
        self.assertIn(
            '/usr/bin/systemctl reboot',
            self.shell('journalctl -b -o cat -u kvm-tuning-reboot.service'),
        )
        self.assertIn('kvm-tuning: made: ', self.shell('journalctl -b -o cat'))
