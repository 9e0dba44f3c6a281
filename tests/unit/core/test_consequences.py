"""What a plan says of resizes, migration and reachability."""

import testtools

from kvm_tuning.core import consequences
from tests.unit.test_scenarios import plan_of

PORTS = {'pfs': [{'name': 'enp1s0', 'vfs': 2, 'vf_driver': 'igbvf'}]}


def said(code, **scenario):
    """Return the texts of one code in the plan of a scenario."""
    _domain, made = plan_of(scenario)
    return [each.text for each in made.consequences if each.code == code]


class ResizeTest(testtools.TestCase):
    def resize(self, **flavor):
        return said(consequences.RESIZE, flavor=flavor, host=PORTS)

    def test_what_is_chosen_anew(self):
        (text,) = self.resize(
            **{
                'hw:cpu_policy': 'dedicated',
                'hw:mem_page_size': 'large',
                'kvm:vif_queues': 'auto',
                'kvm:cache_topology': 'emulate',
                'kvm:vfs': 1,
            }
        )
        for what in ('pCPUs', 'huge pages', 'queues', 'cache', 'VFs'):
            self.assertIn(what, text)

    def test_only_what_is_there(self):
        (text,) = self.resize(**{'kvm:vfs': 1})
        self.assertIn('VFs', text)
        for what in ('pCPUs', 'pages', 'queues', 'cache'):
            self.assertNotIn(what, text)

    def test_what_is_the_same_at_any_size(self):
        self.assertEqual([], self.resize(**{'kvm:page_sharing': 'false'}))
        self.assertEqual([], self.resize(**{'kvm:vif_queues': '2'}))


class MigrationTest(testtools.TestCase):
    def test_a_vf_below_a_macvtap_says_so_too(self):
        flavor = {'kvm:vfs': 1, 'kvm:vf_attachment': 'macvtap'}
        for code in (
            consequences.NOT_MIGRATABLE,
            consequences.HOST_UNREACHABLE,
        ):
            (text,) = said(code, flavor=flavor, host=PORTS)
            self.assertIn('enp1s0v0', text)
