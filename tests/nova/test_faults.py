"""Our errors, as Nova's users and operators read them."""

import testtools

from kvm_tuning.adapters.nova.compute import faults
from kvm_tuning.core.exceptions import (
    ConflictingKnobs,
    Exhausted,
    InventoryUnreadable,
    Unsupported,
)


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

    def test_a_tenant_reads_no_figures_of_the_host(self):
        for error in (
            Exhausted(
                'kvm:cpu_locality=l3: host cell 0 has 3 free pCPUs (5-7), '
                'web holds 1-4'
            ),
            Exhausted('the guest needs 512 MiB, and only 100 MiB are free'),
            InventoryUnreadable('/sys/x: 7 of 12 pages'),
        ):
            for fault in (faults.of(error), faults.elsewhere(error)):
                text = fault.format_message()
                self.assertIn(error.code, text)
                self.assertIn('for operators', text)
                for figure in ('5-7', 'web', '512', '100', '12', 'pages'):
                    self.assertNotIn(figure, text)
        self.assertIn('kvm:cpu_locality=l3', faults.shown(Exhausted(
            'kvm:cpu_locality=l3: host cell 0 has 3 free pCPUs'
        )))  # fmt: skip

    def test_a_missing_feature_is_named_without_figures(self):
        error = Unsupported(
            'kvm:vif_queues=8: no cell has 4 pCPUs of 2-3,7; /dev/vhost-net '
            'is missing'
        )
        text = faults.shown(error)
        self.assertIn('kvm:vif_queues=8: no cell has (...) pCPUs of', text)
        self.assertIn('/dev/vhost-net is missing', text)
        self.assertNotIn('2-3', text)

    def test_what_is_wrong_with_a_flavor_is_said_in_full(self):
        error = ConflictingKnobs('kvm:a=1 needs kvm:b=2 (from the flavor)')
        self.assertIn(str(error), faults.of(error).format_message())
