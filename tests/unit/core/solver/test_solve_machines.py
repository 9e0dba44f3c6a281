"""Guests on real machines, as hwloc has recorded them."""

import testtools

from kvm_tuning.core.demands import (
    EmulatorDemand,
    Locality,
    LocalityDemand,
    ThreadDemand,
    ThreadPolicy,
)
from kvm_tuning.core.exceptions import Exhausted, Unsupported
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Policy, Site
from kvm_tuning.core.solver.solve import solve
from kvm_tuning.host.inventory import reader
from tests.fixtures import host_dumps
from tests.unit.core.solver.sites import dedicated

STRICT = LocalityDemand(Locality.L3, True)
PREFERRED = LocalityDemand(Locality.L3, False)


class MachinesTest(testtools.TestCase):
    def site(self, name, taken=()):
        if not host_dumps.available():
            self.skipTest('KVM_TUNING_HOST_DUMPS is not set')
        root = self.useFixture(host_dumps.HostDump(name)).root
        found = reader.read(root)
        return Site(
            found,
            Ledger((Claim('b', 'b', frozenset(taken)),)),
            policy=Policy(found.online),
        )

    def taking(self, site, cpus):
        ledger = Ledger((Claim('b', 'b', frozenset(cpus)),))
        return Site(site.inventory, ledger, policy=site.policy)

    def domains(self, site, placement):
        return {site.inventory.cpu[cpu].l3 for cpu in placement.held}

    def test_four_l3_of_six_a_cell(self):
        site = self.site('96em64t-4no4pa3ca2co')
        for demand in (STRICT, PREFERRED):
            placement = solve([dedicated(0, 6), demand], site)
            self.assertEqual(1, len(self.domains(site, placement)))
            placement = solve([dedicated(0, 12), demand], site)
            self.assertEqual(2, len(self.domains(site, placement)))
            self.assertEqual(1, len(placement.cells))

    def test_four_left_in_each(self):
        site = self.site('96em64t-4no4pa3ca2co')
        taken = [c for l3 in site.inventory.l3 for c in sorted(l3)[:2]]
        site = self.taking(site, taken)
        error = self.assertRaises(
            Exhausted, solve, [dedicated(0, 6), STRICT], site
        )
        # Four cells of four L3 domains: the best three of each say enough.
        self.assertEqual(9, str(error).count('4/6 in L3 of CPUs'))
        self.assertEqual(3, str(error).count('no more in 1 other domain'))
        self.assertIn('are free in 1 other host cell', str(error))
        placement = solve([dedicated(0, 6), PREFERRED], site)
        self.assertEqual(2, len(self.domains(site, placement)))
        (unkept,) = placement.unkept
        self.assertEqual('2 L3 domains', unkept.found)

    def test_a_cell_is_one_l3_of_six(self):
        site = self.site('48amd64-4pa2n6c-sparse')
        error = self.assertRaises(Unsupported, solve, [dedicated(0, 12)], site)
        self.assertIn('hw:numa_nodes', str(error))
        placement = solve([dedicated(0, 6), dedicated(1, 6), STRICT], site)
        self.assertEqual(12, len(placement.held))
        self.assertEqual(2, len(self.domains(site, placement)))

    def test_every_machine_takes_guests(self):
        for name in host_dumps.NAMES:
            site = self.site(name)
            held = set()
            for policy in ThreadPolicy:
                demands = [
                    dedicated(0, 1, 0),
                    ThreadDemand(policy),
                    EmulatorDemand(),
                ]
                for _ in range(8):
                    try:
                        placement = solve(demands, self.taking(site, held))
                    except (Exhausted, Unsupported):
                        break
                    self.assertFalse(held & placement.held)
                    held |= placement.held
            self.assertTrue(held, name)
