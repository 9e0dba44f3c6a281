"""Our errors, as Nova's users and operators read them."""

import testtools

from kvm_tuning.adapters.nova.compute import faults
from kvm_tuning.core.exceptions import Unsupported


class FaultsTest(testtools.TestCase):
    def test_options_are_novas(self):
        """A message names the options that are read under Nova."""
        error = Unsupported(
            'have some in [placement] shared_cpus, or widen '
            '[placement] dedicated_cpus'
        )
        self.assertEqual(
            'Unsupported: have some in [compute] cpu_shared_set, or widen '
            '[compute] cpu_dedicated_set',
            faults.told(error),
        )
