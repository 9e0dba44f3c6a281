import os

import fixtures
from oslo_config import cfg
import testtools

from kvm_tuning.conf import rebalance
from kvm_tuning.core.exceptions import ConfigInvalid


class RebalanceTest(testtools.TestCase):
    def read(self, text):
        """Return the options that a nova.conf with ``text`` gives."""
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'n.conf')
        with open(path, 'w') as file:
            file.write(f'[kvm_tuning]\n{text}\n')
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[path], default_config_dirs=[])
        rebalance.register(conf)
        # Each driver of a process registers them.
        rebalance.register(conf)
        return conf.kvm_tuning

    def test_nothing_happens_by_default(self):
        self.assertEqual('never', self.read('').rebalance)

    def test_what_is_not_valid_is_refused_at_the_start(self):
        for text, wanted in (
            ('rebalance = apply', 'Valid values are [never, plan]'),
            ('rebalance = sometimes', 'sometimes'),
            ('rebalance_interval = 5', '60'),
            ('rebalance_budget = 101', '100'),
            ('rebalance_least_gain = x', 'rebalance_least_gain'),
        ):
            error = self.assertRaises(ConfigInvalid, self.read, text)
            self.assertIn('nova.conf: ', str(error))
            self.assertIn(wanted, str(error))

    def test_all_can_be_changed_while_nova_compute_runs(self):
        for _group, options in rebalance.list_opts():
            self.assertTrue(all(option.mutable for option in options))
