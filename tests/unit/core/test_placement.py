"""The placement of one guest: which cells, pCPUs, pages and devices."""

import testtools

from kvm_tuning.core.demands import CellDemand, Locality, LocalityDemand
from kvm_tuning.core.exceptions import Exhausted, Unsupported
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.placement import solve
from kvm_tuning.core.site import Policy, Site
from tests.fixtures.fake_host import FakeHost

_MIB = 1024


def dedicated(cell: int, vcpus: int, memory_kib: int = _MIB) -> CellDemand:
    own = frozenset(range(100 * cell, 100 * cell + vcpus))
    return CellDemand(cell, own, own, memory_kib)


def site(
    host: FakeHost, taken: tuple[int, ...] = (), shared: tuple[int, ...] = ()
) -> Site:
    inventory = host.inventory()
    return Site(
        inventory,
        Ledger((Claim('other', 'other', frozenset(taken)),)),
        policy=Policy(inventory.online - frozenset(shared)),
    )


class PinTest(testtools.TestCase):
    """Two cells of two L3 domains of four cores with two threads."""

    def test_one_l3_domain_whole_cores(self):
        placement = solve([dedicated(0, 4)], site(FakeHost()))
        self.assertEqual({0: 0, 1: 16, 2: 1, 3: 17}, placement.pins)

    def test_the_fullest_domain_that_fits(self):
        placement = solve(
            [dedicated(0, 4)], site(FakeHost(), taken=(4, 20, 5, 21))
        )
        self.assertEqual({6, 7, 22, 23}, placement.held)

    def test_strict_refuses_what_is_scattered(self):
        demands = [dedicated(0, 6), LocalityDemand(Locality.L3, True)]
        taken = (0, 1, 4, 5, 8, 9, 12, 13)
        error = self.assertRaises(
            Exhausted, solve, demands, site(FakeHost(), (*taken, 2, 6, 10, 14))
        )
        self.assertIn('5/8 in L3 of CPUs 0-3,16-19', str(error))

    def test_without_dedicated_cpus(self):
        error = self.assertRaises(
            Unsupported,
            solve,
            [dedicated(0, 1)],
            Site(FakeHost().inventory()),
        )
        self.assertIn('dedicated_cpus', str(error))
