"""The placement of one guest: which cells, pCPUs, pages and devices."""

from dataclasses import replace
from itertools import groupby

import testtools

from kvm_tuning.core.demands import (
    CellDemand,
    EmulatorDemand,
    EvenDemand,
    Locality,
    LocalityDemand,
    ThreadDemand,
    ThreadPolicy,
)
from kvm_tuning.core.exceptions import Exhausted, Unsupported
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver import costs
from kvm_tuning.core.solver.solve import COST, solve
from tests.fixtures.fake_host import FakeHost
from tests.unit.core.solver.sites import dedicated, site

REQUIRE = ThreadDemand(ThreadPolicy.REQUIRE)
ISOLATE = ThreadDemand(ThreadPolicy.ISOLATE)
STRICT = LocalityDemand(Locality.L3, True, 'kvm:cpu_locality=l3')
EVEN = EvenDemand(True)
PREFERRED = LocalityDemand(Locality.L3, False, 'kvm:cpu_locality=l3')


class DomainsTest(testtools.TestCase):
    """Two cells of two L3 domains of four cores with two threads."""

    def test_one_l3_domain_whole_cores(self):
        placement = solve([dedicated(0, 4)], site(FakeHost()))
        self.assertEqual({0: 0, 1: 16, 2: 1, 3: 17}, placement.pins)

    def test_the_fullest_domain_that_fits(self):
        placement = solve(
            [dedicated(0, 4)], site(FakeHost(), taken=(4, 20, 5, 21))
        )
        self.assertEqual({6, 7, 22, 23}, placement.held)

    def test_beyond_one_domain_whole_ones_first(self):
        host = FakeHost(cells=1, l3_per_cell=4)
        placement = solve(
            [dedicated(0, 12)], site(host, taken=(0, 16, 1, 17, 4, 20))
        )
        self.assertEqual(12, len(placement.held))
        self.assertLessEqual({8, 9, 10, 11, 24, 25, 26, 27}, placement.held)
        self.assertLessEqual({2, 3, 18, 19}, placement.held)

    def test_like_fragments(self):
        host = FakeHost(cells=1, l3_per_cell=16)
        taken = [c for c in range(64) if c % 4 < 2]
        taken += [c + 64 for c in taken]
        one = site(host, taken=taken)
        placement = solve([dedicated(0, 32)], one)
        l3 = {one.inventory.cpu[c].l3 for c in placement.held}
        self.assertEqual(8, len(l3))

    def test_many_fragments(self):
        """More ways than are tried one by one."""
        host = FakeHost(cells=1, l3_per_cell=16, cores=16, threads=1)
        taken = [16 * l3 + c for l3 in range(16) for c in range(16 - l3)]
        one = site(host, taken=taken)
        placement = solve([dedicated(0, 50)], one)
        self.assertEqual(50, len(placement.held))
        l3 = {one.inventory.cpu[c].l3 for c in placement.held}
        self.assertEqual(4, len(l3))
        # 15, 14, 13 and 12 are free there; 50 of them leave little.
        self.assertLessEqual(placement.cost[costs.FREE], 51)

    def test_strict_refuses_what_is_scattered(self):
        taken = (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14)
        error = self.assertRaises(
            Exhausted,
            solve,
            [dedicated(0, 6), STRICT],
            site(FakeHost(), taken),
        )
        self.assertIn('5/8 in L3 of CPUs 0-3,16-19', str(error))
        self.assertIn('in 1 L3 domain', str(error))

    def test_preferred_takes_what_is_scattered(self):
        taken = (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14)
        placement = solve(
            [dedicated(0, 6), PREFERRED], site(FakeHost(), taken)
        )
        (unkept,) = placement.unkept
        self.assertEqual('kvm:cpu_locality=l3', unkept.knob)
        self.assertEqual('1 L3 domain', unkept.wanted)
        self.assertEqual('2 L3 domains', unkept.found)
        self.assertEqual(
            'guest cell 0 needs 6 pCPUs; free of allocatable pCPUs: '
            '5/8 in L3 of CPUs 0-3,16-19 (host cell 0), '
            '5/8 in L3 of CPUs 4-7,20-23 (host cell 0), '
            '5/8 in L3 of CPUs 8-11,24-27 (host cell 1), '
            'no more in 1 other domain',
            unkept.reason,
        )
        self.assertEqual(1, placement.cost[costs.LOCALITY])

    def test_strict_where_the_cells_differ(self):
        """Both host cells are needed, and one allows no single domain."""
        shared = (8, 24, 12, 28)
        one = site(FakeHost(), shared=shared)
        cells = [dedicated(0, 8), dedicated(1, 8)]
        placement = solve([*cells, STRICT], one)
        self.assertEqual(16, len(placement.held))
        # A guest of one cell is measured by the better host cell.
        taken = (0, 4)
        self.assertRaises(
            Exhausted,
            solve,
            [dedicated(0, 8), STRICT],
            site(FakeHost(), taken, shared),
        )

    def test_no_l3_information(self):
        host = FakeHost(l3_per_cell=0)
        error = self.assertRaises(
            Unsupported, solve, [dedicated(0, 2), STRICT], site(host)
        )
        self.assertIn('no L3', str(error))
        placement = solve([dedicated(0, 2), PREFERRED], site(host))
        (unkept,) = placement.unkept
        self.assertEqual('host cell 0', unkept.found)

    def test_without_numa(self):
        placement = solve([dedicated(0, 4)], site(FakeHost(cells=0)))
        self.assertEqual(0, placement.cells[0].host_cell)

    def test_faster_cores_and_one_kind(self):
        host = FakeHost(
            cells=1, l3_per_cell=1, cores=2, threads=2, small_cores=4
        )
        one = site(host)
        fast = {c.id for c in one.inventory.cpus if c.capacity == 1024}
        self.assertEqual(fast, solve([dedicated(0, 4)], one).held)
        # Six do not fit on either kind, four fit on the slow one.
        self.assertEqual(1, solve([dedicated(0, 6)], one).cost[costs.KINDS])
        one = site(host, taken=(min(fast),))
        placement = solve([dedicated(0, 4)], one)
        self.assertFalse(placement.held & fast)

    def test_favoured_cores_are_no_kind(self):
        """A few percent more turbo do not scatter a guest."""
        host = FakeHost(
            cells=1, l3_per_cell=1, cores=2, threads=1, small_cores=2
        )
        one = site(host)
        cpus = tuple(
            replace(cpu, capacity=1000 if cpu.capacity == 1024 else 950)
            for cpu in one.inventory.cpus
        )
        one = replace(one, inventory=replace(one.inventory, cpus=cpus))
        placement = solve([dedicated(0, 3)], one)
        self.assertEqual(0, placement.cost[costs.KINDS])

    def test_reasons(self):
        placement = solve([dedicated(0, 4)], site(FakeHost()))
        self.assertEqual(
            'guest cell 0 is on host cell 0: 4 of 8 free pCPUs in '
            'L3 of CPUs 0-3,16-19',
            placement.reasons[0],
        )
        wide = FakeHost(l3_per_cell=5)
        placement = solve([dedicated(0, 4)], site(wide))
        self.assertEqual(
            'host cell 1 is as good, but comes later', placement.reasons[1]
        )
        placement = solve([dedicated(0, 4)], site(wide, taken=(0, 40)))
        self.assertIn('8 free pCPUs in its L3', placement.reasons[1])
        self.assertEqual(len(COST), len(placement.cost))


class CellsTest(testtools.TestCase):
    def test_each_has_its_own(self):
        placement = solve([dedicated(1, 2), dedicated(0, 2)], site(FakeHost()))
        self.assertEqual(
            [(0, 0), (1, 1)],
            [(cell.cell, cell.host_cell) for cell in placement.cells],
        )

    def test_uneven_cells_go_where_they_fit(self):
        cells = [dedicated(0, 4), dedicated(1, 16)]
        placement = solve(cells, site(FakeHost(), taken=(0,)))
        self.assertEqual([0, 1], [cell.host_cell for cell in placement.cells])
        cells = [dedicated(0, 16), dedicated(1, 4)]
        placement = solve(cells, site(FakeHost(), taken=(0,)))
        self.assertEqual([1, 0], [cell.host_cell for cell in placement.cells])

    def test_one_package(self):
        host = FakeHost(cells=4, cells_per_package=2)
        taken = (8, 9, 10, 11, 12, 40, 41, 42, 43, 44)
        placement = solve(
            [dedicated(0, 8), dedicated(1, 8)], site(host, taken)
        )
        self.assertEqual([2, 3], [cell.host_cell for cell in placement.cells])
        self.assertEqual(0, placement.cost[costs.PACKAGES])

    def test_many_packages(self):
        host = FakeHost(cells=8, l3_per_cell=1)
        cells = [dedicated(cell, 4) for cell in range(8)]
        self.assertEqual(32, len(solve(cells, site(host)).held))
        self.assertEqual(8, len(solve(cells[:2], site(host)).held))

    def test_packed_or_spread(self):
        one = FakeHost()
        taken = (0, 16)
        packed = solve([dedicated(0, 2)], site(one, taken))
        spread = solve([dedicated(0, 2)], site(one, taken, pack_cells=False))
        self.assertEqual(0, packed.cells[0].host_cell)
        self.assertEqual(1, spread.cells[0].host_cell)

    def test_cells_without_cpus(self):
        host = FakeHost(cells=1, memory_cells=1)
        error = self.assertRaises(
            Unsupported, solve, [dedicated(0, 1), dedicated(1, 1)], site(host)
        )
        self.assertIn('this host has 1', str(error))

    def test_too_large_for_any(self):
        error = self.assertRaises(
            Unsupported, solve, [dedicated(0, 17)], site(FakeHost())
        )
        self.assertIn('hw:numa_nodes', str(error))

    def test_one_host_cell_too_few(self):
        host = FakeHost(cells=4)
        full = range(24, 32)
        taken = (*full, *(c + 32 for c in full))
        cells = [dedicated(cell, 8) for cell in range(4)]
        error = self.assertRaises(Exhausted, solve, cells, site(host, taken))
        self.assertIn('only host cells 0, 1, 2', str(error))
        cells = [dedicated(0, 16), dedicated(1, 2)]
        taken = (0, 8, 16, 24)
        error = self.assertRaises(Exhausted, solve, cells, site(host, taken))
        self.assertIn('guest cell 0 needs 16', str(error))


class ThreadsTest(testtools.TestCase):
    def test_without_dedicated_cpus(self):
        error = self.assertRaises(
            Unsupported,
            solve,
            [dedicated(0, 1)],
            Site(FakeHost().inventory()),
        )
        self.assertIn('[placement] dedicated_cpus', str(error))
        error = self.assertRaises(
            Unsupported,
            solve,
            [dedicated(0, 1)],
            site(FakeHost(), dedicated_cpus=frozenset({999})),
        )
        self.assertIn('online', str(error))

    def test_require_takes_siblings_alone(self):
        host = FakeHost(cells=1, l3_per_cell=1)
        one = site(host, taken=(0, 1, 2))
        placement = solve([dedicated(0, 2), REQUIRE], one)
        self.assertEqual({3, 7}, placement.held)
        self.assertRaises(Exhausted, solve, [dedicated(0, 3), REQUIRE], one)

    def test_require_needs_smt(self):
        host = FakeHost(threads=1)
        self.assertRaises(
            Unsupported, solve, [dedicated(0, 1), REQUIRE], site(host)
        )

    def test_prefer_fills_half_cores_last(self):
        host = FakeHost(cells=1, l3_per_cell=1)
        placement = solve([dedicated(0, 3)], site(host, taken=(0,)))
        self.assertEqual({1, 5, 4}, placement.held)

    def test_isolate_holds_siblings(self):
        host = FakeHost(cells=1, l3_per_cell=1)
        placement = solve([dedicated(0, 2), ISOLATE], site(host, taken=(0,)))
        self.assertEqual({0: 1, 1: 2}, placement.pins)
        self.assertEqual({5, 6}, placement.cells[0].reserved)
        error = self.assertRaises(
            Exhausted,
            solve,
            [dedicated(0, 4), ISOLATE],
            site(host, taken=(0,)),
        )
        self.assertIn('hw:cpu_thread_policy=isolate', str(error))

    def test_isolate_never_beside_a_shared_sibling(self):
        host = FakeHost(cells=1, l3_per_cell=1)
        self.assertRaises(
            Unsupported,
            solve,
            [dedicated(0, 1), ISOLATE],
            site(host, shared=(4, 5, 6, 7)),
        )

    def test_four_threads(self):
        host = FakeHost(cells=1, l3_per_cell=1, cores=4, threads=4)
        placement = solve([dedicated(0, 6)], site(host, taken=(0, 4)))
        self.assertEqual({8, 12, 1, 5, 9, 13}, placement.held)

    def test_offline_sibling(self):
        host = FakeHost(cells=1, l3_per_cell=1, offline=(4,))
        placement = solve([dedicated(0, 1), ISOLATE], site(host))
        self.assertEqual({0}, placement.held)


class EvenTest(testtools.TestCase):
    """Dual-CCD and 12-core domains: what fills one only in part."""

    def spread(self, vcpus, host=None, even=EVEN, **more):
        host = host or FakeHost(cells=1, l3_per_cell=2, cores=8)
        one = site(host, **more)
        placement = solve([dedicated(0, vcpus), even], one)
        domains = {cpu: one.inventory.cpu[cpu].l3 for cpu in one.inventory.cpu}
        order = [domains[cpu] for _, cpu in sorted(placement.pins.items())]
        runs = [len(list(run)) for _domain, run in groupby(order)]
        return runs

    def test_halves_of_two_domains(self):
        self.assertEqual([10, 10], self.spread(20))
        self.assertEqual([14, 14], self.spread(28))

    def test_thirds_of_larger_domains(self):
        host = FakeHost(cells=1, l3_per_cell=4, cores=12)
        self.assertEqual([20, 20, 20], self.spread(60, host))
        self.assertEqual([16, 16], self.spread(32, host))

    def test_one_domain_is_even(self):
        self.assertEqual([12], self.spread(12))

    def test_domains_with_too_little_left_are_not_used(self):
        host = FakeHost(cells=1, l3_per_cell=3, cores=8)
        self.assertEqual(
            [10, 10], self.spread(20, host, taken=(*range(4), *range(24, 28)))
        )

    def test_offline_siblings(self):
        host = FakeHost(cells=1, l3_per_cell=2, cores=8, offline=(31,))
        self.assertEqual([14, 14], self.spread(28, host))

    def test_a_wish_takes_no_domain_more(self):
        host = FakeHost(cells=1, l3_per_cell=3, cores=8)
        wish = EvenDemand(False)
        self.assertEqual([10, 10], self.spread(20, host, wish))
        self.assertEqual([16, 1], self.spread(17, host, wish))

    def test_what_cannot_be_divided_is_refused(self):
        error = self.assertRaises(Unsupported, self.spread, 17)
        self.assertIn('cannot be divided', str(error))


class EmulatorTest(testtools.TestCase):
    def test_beside_the_vcpus(self):
        placement = solve(
            [dedicated(0, 3), EmulatorDemand()], site(FakeHost())
        )
        self.assertEqual({17}, placement.emulator)
        self.assertEqual(4, len(placement.held))

    def test_room_is_worth_another_domain(self):
        host = FakeHost(cells=1)
        one = site(host, taken=(0, 8, 1, 9))
        placement = solve([dedicated(0, 4), EmulatorDemand()], one)
        self.assertEqual({4, 5, 12, 13}, set(placement.pins.values()))
        self.assertEqual({6}, placement.emulator)

    def test_never_spreads_the_vcpus(self):
        # Cell 0 has 6 and 6 free of 8 in its domains, cell 1 has 8 and 1.
        taken = (0, 16, 4, 20, *range(12, 16), *range(28, 31))
        one = site(FakeHost(), taken=taken)
        placement = solve([dedicated(0, 8), EmulatorDemand(), PREFERRED], one)
        self.assertEqual(
            {8, 9, 10, 11, 24, 25, 26, 27}, set(placement.pins.values())
        )
        self.assertEqual({31}, placement.emulator)

    def test_outside_when_there_is_no_room(self):
        host = FakeHost(cells=1)
        placement = solve([dedicated(0, 8), EmulatorDemand()], site(host))
        self.assertEqual(1, placement.cost[costs.EMULATOR])
        self.assertEqual(9, len(placement.held))

    def test_isolated(self):
        placement = solve(
            [dedicated(0, 2), ISOLATE, EmulatorDemand()], site(FakeHost())
        )
        self.assertEqual({2}, placement.emulator)
        self.assertEqual({16, 17, 18}, placement.cells[0].reserved)

    def test_only_the_first_cell(self):
        cells = [dedicated(0, 2), dedicated(1, 2)]
        placement = solve([*cells, EmulatorDemand()], site(FakeHost()))
        self.assertEqual(5, len(placement.held))

    def test_no_room_at_all(self):
        host = FakeHost(cells=1)
        error = self.assertRaises(
            Exhausted,
            solve,
            [dedicated(0, 15), EmulatorDemand()],
            site(host, taken=(0,)),
        )
        self.assertIn('one more for the emulator', str(error))

    def test_mixed_vcpus(self):
        cell = CellDemand(0, frozenset(range(4)), frozenset({0, 1}), 1024)
        one = site(FakeHost(), shared=(0, 16, 8, 24))
        placement = solve([cell], one)
        self.assertEqual({0, 16}, placement.cells[0].shared)
        placement = solve([cell, PREFERRED], one)
        self.assertEqual({0, 16}, placement.cells[0].shared)
        self.assertEqual({0, 1}, set(placement.pins))
