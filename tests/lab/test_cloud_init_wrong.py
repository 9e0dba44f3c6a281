"""A boot with a configuration that makes no sense."""

from tests.lab.cloud_init import CloudInitTest

_SAID = "kvm_tuning.config.ksm.run = 'sometimes': want off or on"


class WrongTest(CloudInitTest):
    def test_told_and_shut(self):
        result, log = self.ended(status=1)
        self.assertEqual('error', result['status'])
        self.assertIn(_SAID, ' '.join(result['errors']))
        self.assertIn(_SAID, log)
        self.assertIn(_SAID, self.tool('host', 'ready', status=1).stderr)
        self.assertFalse(self.compute())
        self.shell('systemctl restart nova-compute.service', status=1)
        self.assertIn(
            _SAID, self.shell('journalctl -b -o cat -u nova-compute.service')
        )
