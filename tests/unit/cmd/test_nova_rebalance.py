"""``nova rebalance`` where Nova is, and where it is not."""

import sys
import types

import testtools

from kvm_tuning.cmd.nova_rebalance import NovaRebalance
from kvm_tuning.core.exceptions import CloudFailed, WrongUsage
from kvm_tuning.core.healing import host, told
from kvm_tuning.core.healing.occupants import Occupant
from tests.fixtures.fake_host import FakeHost

REMOTE = 'kvm_tuning.adapters.nova.remote'


class NovaRebalanceTest(testtools.TestCase):
    def report(self, *argv):
        command = NovaRebalance(None, None)
        return command.report(command.get_parser('x').parse_args(argv))

    def remote(self, module):
        before = sys.modules.get(REMOTE)
        sys.modules[REMOTE] = module
        if before is None:
            self.addCleanup(sys.modules.pop, REMOTE)
        else:
            self.addCleanup(sys.modules.__setitem__, REMOTE, before)

    def test_it_plans_only(self):
        self.remote(None)
        error = self.assertRaises(WrongUsage, self.report, 'compute1')
        self.assertIn('give --dry-run', str(error))

    def test_without_nova(self):
        self.remote(None)
        error = self.assertRaises(
            CloudFailed, self.report, 'compute1', '--dry-run'
        )
        self.assertIn('environment of a Nova service', str(error))

    def test_what_nova_compute_answers_is_shown(self):
        inventory = FakeHost(
            cells=1, l3_per_cell=2, cores=4, threads=1
        ).inventory()
        servers = [
            Occupant('a', 'a', {0: 0, 1: 4}),
            Occupant('b', 'b', {0: 1, 1: 5}, why='it is suspended'),
        ]
        made = host.make(inventory, servers, inventory.online, {})
        asked = []

        def plan(*args):
            asked.append(args)
            return told.document(made, inventory)

        module = types.ModuleType(REMOTE)
        module.connect, module.plan = asked.append, plan
        self.remote(module)
        found = self.report(
            'compute1', '--dry-run', '--budget', '50%', '--config-file', 'n'
        )
        self.assertEqual([['n'], ('compute1', 0.5, 0.0)], asked)
        self.assertEqual(1, found.document['moved'])
        rows = found.sections[0].rows
        self.assertEqual(['a', 'b'], [row[0] for row in rows])
        self.assertEqual('it is suspended', rows[1][-1])
