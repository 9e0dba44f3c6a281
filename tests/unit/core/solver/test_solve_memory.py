"""Huge pages, memory and devices are placed together with the pCPUs."""

import testtools

from kvm_tuning.core.demands import (
    Affinity,
    DeviceDemand,
    MemoryDemand,
    MemoryMode,
    PageDemand,
)
from kvm_tuning.core.exceptions import Exhausted, Unsupported
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.solver import costs
from kvm_tuning.core.solver.solve import solve
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.unit.core.solver.sites import dedicated, floating, site

GIB = 1024 * 1024
M2, G1 = 2048, GIB
STRICT = MemoryDemand(MemoryMode.STRICT)


def vfs(count, affinity=Affinity.LEGACY, key='kvm:vfs', **match):
    return DeviceDemand(
        key,
        count,
        affinity,
        {k: frozenset({v}) for k, v in (match or {'product': '10ca'}).items()},
    )


class PagesTest(testtools.TestCase):
    def test_where_the_pages_are(self):
        host = FakeHost(huge_pages={M2: (10, 600)})
        placement = solve(
            [dedicated(0, 2, GIB), PageDemand(0, (M2,))], site(host)
        )
        (cell,) = placement.cells
        self.assertEqual(
            (1, M2, 512), (cell.host_cell, cell.page_kib, cell.pages)
        )

    def test_the_best_size_that_is_there(self):
        host = FakeHost(huge_pages={M2: 1024, G1: (0, 2)})
        demands = [dedicated(0, 2, GIB), PageDemand(0, (G1, M2, 4))]
        placement = solve(demands, site(host, pack_cells=False))
        self.assertEqual(G1, placement.cells[0].page_kib)
        cells = [dedicated(n, 2, GIB) for n in (0, 1)]
        pages = [PageDemand(n, (G1, M2)) for n in (0, 1)]
        placement = solve([*cells, *pages], site(host))
        self.assertEqual([M2, G1], [cell.page_kib for cell in placement.cells])
        self.assertEqual(1, placement.cost[costs.PAGES])

    def test_pages_divide_the_memory(self):
        host = FakeHost(huge_pages={M2: 1024, G1: 2})
        demands = [dedicated(0, 2, 1536 * 1024), PageDemand(0, (G1, M2))]
        self.assertEqual(M2, solve(demands, site(host)).cells[0].page_kib)
        demands = [dedicated(0, 2, 1536 * 1024), PageDemand(0, (G1,))]
        error = self.assertRaises(Unsupported, solve, demands, site(host))
        self.assertIn('not a multiple', str(error))

    def test_small_pages(self):
        demands = [dedicated(0, 2, GIB), PageDemand(0, (4,))]
        for page_size in (4, 64):
            one = site(FakeHost(page_size_kib=page_size))
            self.assertIsNone(solve(demands, one).cells[0].page_kib)
        one = site(FakeHost(memory_gib=1), reserved_memory_kib=4)
        error = self.assertRaises(Exhausted, solve, demands, one)
        self.assertIn('1023 MiB of small pages free', str(error))

    def test_no_pool_of_that_size(self):
        demands = [dedicated(0, 2, GIB), PageDemand(0, (G1,))]
        error = self.assertRaises(
            Unsupported, solve, demands, site(FakeHost(huge_pages={M2: 9}))
        )
        self.assertIn('this host has pages of 4, 2048 KiB', str(error))

    def test_what_stopped_guests_hold_is_not_free(self):
        host = FakeHost(cells=1, huge_pages={M2: 600})
        demands = [dedicated(0, 2, GIB), PageDemand(0, (M2,))]
        claim = Claim('b', 'b', pages={(0, M2): 100})
        error = self.assertRaises(
            Exhausted, solve, demands, site(host, claims=(claim,))
        )
        self.assertIn('500 free pages of 2048 KiB', str(error))
        runs = Claim('b', 'b', pages={(0, M2): 100}, pages_in_use=True)
        self.assertEqual(
            512, solve(demands, site(host, claims=(runs,))).cells[0].pages
        )

    def test_reserved_pages(self):
        demands = [dedicated(0, 2, GIB), PageDemand(0, (M2,))]
        reserved = {(0, M2): 100}
        # In use by somebody who is no guest: not to be taken off twice.
        host = FakeHost(
            cells=1, huge_pages={M2: 612}, used_pages={(0, M2): 100}
        )
        solve(demands, site(host, reserved_pages=reserved))
        host = FakeHost(cells=1, huge_pages={M2: 600})
        claim = Claim('b', 'b', pages={(0, M2): 1}, pages_in_use=True)
        error = self.assertRaises(
            Exhausted,
            solve,
            demands,
            site(host, claims=(claim,), reserved_pages=reserved),
        )
        self.assertIn('499 free pages', str(error))


class MemoryTest(testtools.TestCase):
    def test_small_memory_of_a_cell(self):
        host = FakeHost(memory_gib=4, huge_pages={M2: 1024})
        claim = Claim('b', 'b', memory_kib={0: GIB})
        placement = solve(
            [dedicated(0, 2, 2 * GIB)], site(host, claims=(claim,))
        )
        self.assertEqual(1, placement.cells[0].host_cell)
        error = self.assertRaises(
            Exhausted, solve, [dedicated(0, 2, 3 * GIB)], site(host)
        )
        self.assertIn('2048 MiB of small pages', str(error))

    def test_shared_vcpus_overcommit(self):
        """But never more than the cell's own total, as in Nova."""
        host = FakeHost(cells=1, memory_gib=4)
        claim = Claim('b', 'b', memory_kib={0: 3 * GIB})
        one = site(host, shared=range(16), claims=(claim,))
        solve([floating(2, memory_kib=4 * GIB)], one)
        self.assertRaises(
            Exhausted, solve, [floating(2, memory_kib=4 * GIB), STRICT], one
        )
        self.assertRaises(
            Exhausted, solve, [floating(2, memory_kib=5 * GIB)], one
        )

    def test_the_cells_of_the_vcpus(self):
        placement = solve(
            [dedicated(0, 2), dedicated(1, 2), STRICT], site(FakeHost())
        )
        self.assertEqual({0, 1}, placement.memory_cells)

    def test_a_guest_without_cells(self):
        one = site(FakeHost(memory_gib=4), shared=(8, 9))
        placement = solve(
            [floating(2, whole=True, memory_kib=3 * GIB), STRICT], one
        )
        self.assertEqual({1}, placement.memory_cells)
        error = self.assertRaises(
            Exhausted,
            solve,
            [floating(2, whole=True, memory_kib=5 * GIB), STRICT],
            one,
        )
        self.assertIn('4096 MiB are free', str(error))
        placement = solve([floating(2, whole=True, memory_kib=99 * GIB)], one)
        self.assertEqual({}, placement.memory_kib)

    def test_memory_of_several_cells_counts_where_it_is_free(self):
        claim = Claim('b', 'b', memory_kib={0: 3 * GIB})
        one = site(FakeHost(memory_gib=4), shared=(0, 8), claims=(claim,))
        wants = [floating(2, whole=True, memory_kib=4 * GIB), STRICT]
        placement = solve(wants, one)
        self.assertEqual({0, 1}, placement.memory_cells)
        free = placement.memory_kib
        self.assertEqual({0, 1}, set(free))
        self.assertLess(free[0] * 3.9, free[1])
        self.assertIn(sum(free.values()) - 4 * GIB, (0, 1))


class DevicesTest(testtools.TestCase):
    HOST = FakeHost(
        cells=4,
        cells_per_package=2,
        pfs=(FakePf('eth0', cell=1, vfs=2), FakePf('eth1', cell=2, vfs=2)),
    )

    def place(self, *demands, host=None, **more):
        return solve(demands, site(host or self.HOST, **more))

    def test_the_cell_follows_the_device(self):
        for affinity in Affinity:
            placement = self.place(dedicated(0, 2), vfs(2, affinity))
            self.assertEqual(1, placement.cells[0].host_cell)
            self.assertEqual(
                ('0000:11:10.0', '0000:11:10.2'), placement.devices['kvm:vfs']
            )

    def test_what_the_guest_has_draws_its_vcpus(self):
        own = frozenset({'0000:12:10.0', '0000:12:10.2'})
        running = Claim('g', 'g', devices=own)
        for affinity in (Affinity.REQUIRED, Affinity.PREFERRED):
            near = DeviceDemand('own', 2, affinity, {}, present=own)
            placement = self.place(dedicated(0, 2), near, claims=(running,))
            self.assertEqual(2, placement.cells[0].host_cell)
            self.assertEqual({}, placement.devices)
        both = self.place(dedicated(0, 2), vfs(1, Affinity.PREFERRED), near)
        self.assertEqual(2, both.cells[0].host_cell)
        self.assertEqual({'kvm:vfs'}, set(both.devices))

    def test_what_the_guest_has_is_out_of_reach(self):
        own = frozenset({'0000:12:10.0'})
        near = DeviceDemand('own', 1, Affinity.REQUIRED, {}, present=own)
        self.assertRaises(
            Exhausted,
            self.place,
            dedicated(0, 2),
            near,
            taken=(*range(16, 24), *range(48, 56)),
        )

    def test_held_ones_are_not_free(self):
        taken = Claim('b', 'b', devices=frozenset({'0000:11:10.0'}))
        placement = self.place(dedicated(0, 2), vfs(2), claims=(taken,))
        self.assertEqual(2, placement.cells[0].host_cell)
        port = Claim('b', 'b', devices=frozenset({'0000:11:00.0'}))
        placement = self.place(dedicated(0, 2), vfs(1), claims=(port,))
        self.assertEqual(2, placement.cells[0].host_cell)

    def test_a_port_with_a_held_vf(self):
        port = vfs(1, Affinity.PREFERRED, product='10c9')
        taken = Claim('b', 'b', devices=frozenset({'0000:11:10.0'}))
        placement = self.place(dedicated(0, 2), port, claims=(taken,))
        self.assertEqual(('0000:12:00.0',), placement.devices['kvm:vfs'])

    def test_by_port_and_interface(self):
        by_port = vfs(1, Affinity.PREFERRED, pf='0000:12:00.0')
        by_name = vfs(1, key='eth', interfaces='eth1')
        placement = self.place(dedicated(0, 2), by_port, by_name)
        self.assertEqual(
            {'kvm:vfs': ('0000:12:10.0',), 'eth': ('0000:12:00.0',)},
            placement.devices,
        )

    def test_too_many(self):
        error = self.assertRaises(
            Exhausted, self.place, dedicated(0, 2), vfs(3)
        )
        self.assertIn('3 wanted', str(error))
        self.assertIn('2 in host cell 1, 2 in host cell 2', str(error))
        placement = self.place(dedicated(0, 2), vfs(3, Affinity.PREFERRED))
        self.assertEqual(2, placement.cost[costs.AWAY])

    def test_two_cells_reach_both(self):
        cells = [dedicated(0, 2), dedicated(1, 2)]
        placement = self.place(*cells, vfs(3, Affinity.REQUIRED))
        self.assertEqual([1, 2], [c.host_cell for c in placement.cells])
        self.assertRaises(
            Exhausted, self.place, *cells, vfs(5, Affinity.REQUIRED)
        )

    def test_beside(self):
        """Affinity socket: another cell of the package."""
        full = (*range(8, 16), *range(40, 48))
        placement = self.place(
            dedicated(0, 2), vfs(1, Affinity.SOCKET), taken=full
        )
        self.assertEqual(2, placement.cells[0].host_cell)
        full += (*range(16, 24), *range(48, 56))
        placement = self.place(
            dedicated(0, 2), vfs(1, Affinity.SOCKET), taken=full
        )
        self.assertEqual(1, placement.cost[costs.AWAY])
        self.assertRaises(
            Exhausted,
            self.place,
            dedicated(0, 2),
            vfs(1, Affinity.LEGACY),
            taken=full,
        )
        cells = [dedicated(0, 2), dedicated(1, 2)]
        placement = self.place(*cells, vfs(3, Affinity.SOCKET), taken=full)
        self.assertEqual(3, placement.cost[costs.AWAY])

    def test_an_unknown_cell(self):
        host = FakeHost(pfs=(FakePf('eth0', cell=None, vfs=2),))
        placement = self.place(dedicated(0, 2), vfs(1), host=host)
        self.assertEqual(1, placement.cost[costs.AWAY])
        error = self.assertRaises(
            Exhausted,
            self.place,
            dedicated(0, 2),
            vfs(1, Affinity.REQUIRED),
            host=host,
        )
        self.assertIn('2 in an unknown cell', str(error))

    def test_demands_that_compete(self):
        near = vfs(1, Affinity.REQUIRED, 'near')
        far = vfs(2, Affinity.PREFERRED, 'far')
        placement = self.place(dedicated(0, 2), far, near)
        chosen = [a for own in placement.devices.values() for a in own]
        self.assertEqual(3, len(set(chosen)))
        self.assertEqual(2, placement.cost[costs.AWAY])
        both = vfs(2, Affinity.REQUIRED, 'both')
        self.assertRaises(Exhausted, self.place, dedicated(0, 2), near, both)

    def test_without_cells(self):
        one = {'shared': (0, 1)}
        placement = self.place(
            floating(2, whole=True), vfs(4, Affinity.REQUIRED), **one
        )
        self.assertEqual(4, len(placement.devices['kvm:vfs']))
        self.assertRaises(
            Exhausted, self.place, floating(2, whole=True), vfs(5), **one
        )
        self.assertEqual(1, len(self.place(vfs(1)).devices['kvm:vfs']))
        self.assertRaises(Exhausted, self.place, vfs(5))

    def test_no_vcpu_fits(self):
        error = self.assertRaises(
            Exhausted,
            self.place,
            dedicated(0, 16),
            vfs(1),
            taken=(0, 8, 16, 24),
        )
        self.assertIn('guest cell 0 needs', str(error))
