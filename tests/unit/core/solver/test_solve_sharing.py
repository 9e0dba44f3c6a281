"""Where shared vCPUs float, and where helper threads run."""

import testtools

from kvm_tuning.core.demands import (
    Locality,
    LocalityDemand,
    Pool,
    PoolDemand,
)
from kvm_tuning.core.exceptions import Exhausted, Unsupported
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.solver.sharing import load
from kvm_tuning.core.solver.solve import solve
from tests.fixtures.fake_host import FakeHost
from tests.unit.core.solver.sites import dedicated, floating, site

# One core of each of the four L3 domains, and one more of the first.
SHARED = (0, 16, 4, 20, 8, 24, 12, 28, 1, 17)
L3 = LocalityDemand(Locality.L3, False, 'kvm:cpu_locality=l3')
NUMA = LocalityDemand(Locality.NUMA, False)


def busy(vcpus, *cpus):
    return Claim('b', 'b', shared=frozenset(cpus), shared_vcpus=vcpus)


class FloatTest(testtools.TestCase):
    def shared(self, *demands, **more):
        placement = solve(demands, site(FakeHost(), shared=SHARED, **more))
        (cell,) = placement.cells
        return cell.shared

    def test_all_of_them(self):
        self.assertEqual(set(SHARED), self.shared(floating(2, whole=True)))

    def test_the_least_loaded_domain(self):
        guest = floating(2, whole=True)
        self.assertEqual({0, 16, 1, 17}, self.shared(guest, L3))
        other = busy(4, 0, 16, 1, 17)
        self.assertEqual({4, 20}, self.shared(guest, L3, claims=(other,)))

    def test_load_counts_evenly_for_all_that_a_claim_floats_over(self):
        ledger = Ledger((busy(4, 0, 16, 1, 17), busy(6, 1, 17, 8)))
        # 2 of its own, half of 4, two thirds of 6
        self.assertEqual(
            1000 * (2 + 2 + 4) // 2, load(ledger, frozenset({1, 17}), 2)
        )
        self.assertEqual(2000, load(ledger, frozenset({4}), 2))

    def test_the_least_loaded_cell(self):
        guest = floating(2, whole=True)
        self.assertEqual({0, 16, 4, 20, 1, 17}, self.shared(guest, NUMA))
        other = busy(4, *SHARED[:4])
        self.assertEqual(
            {8, 24, 12, 28}, self.shared(guest, NUMA, claims=(other,))
        )

    def test_a_cell_that_has_the_memory(self):
        full = Claim('b', 'b', memory_kib={0: 15 << 20})
        guest = floating(2, whole=True, memory_kib=2 << 20)
        one = site(FakeHost(), shared=SHARED, claims=(full,))
        for level in (L3, NUMA):
            (cell,) = solve([guest, level], one).cells
            self.assertEqual(1, cell.host_cell)
        # Where none has it, the kernel looks elsewhere itself.
        huge = floating(2, whole=True, memory_kib=64 << 20)
        self.assertEqual(0, solve([huge, NUMA], one).cells[0].host_cell)

    def test_a_host_that_is_assumed_to_give_out_nothing(self):
        host = FakeHost()
        every = host.inventory().online
        one = site(host, shared_cpus=None, overlap=True)
        (cell,) = solve([floating(2, whole=True)], one).cells
        self.assertEqual(every, cell.shared)
        helpers = PoolDemand('emulator', Pool.HOUSEKEEPING, 'x')
        placement = solve([dedicated(0, 4), helpers], one)
        self.assertEqual(every - placement.held, placement.pools['emulator'])

    def test_a_guest_with_cells(self):
        self.assertEqual({0, 16, 4, 20, 1, 17}, self.shared(floating(2)))
        self.assertEqual({0, 16, 1, 17}, self.shared(floating(2), L3))
        self.assertEqual(
            {8, 24, 12, 28},
            self.shared(floating(4), claims=(busy(8, 0, 16),)),
        )

    def test_as_many_as_the_cell_has(self):
        error = self.assertRaises(Exhausted, self.shared, floating(7))
        self.assertIn('6 of 6 shared pCPUs', str(error))

    def test_never_what_somebody_holds(self):
        self.assertEqual(
            set(SHARED) - {0, 1},
            self.shared(floating(2, whole=True), taken=(0, 1)),
        )
        error = self.assertRaises(
            Exhausted, self.shared, floating(2, whole=True), taken=SHARED
        )
        self.assertIn('guests hold every', str(error))
        self.assertRaises(Exhausted, self.shared, floating(2), taken=SHARED)

    def test_none_at_all(self):
        error = self.assertRaises(
            Exhausted,
            solve,
            [floating(2, whole=True)],
            site(FakeHost()),
        )
        self.assertIn('shared_cpus', str(error))

    def test_without_l3_information(self):
        host = FakeHost(l3_per_cell=0)
        placement = solve(
            [floating(2, whole=True), L3], site(host, shared=(0, 1, 4))
        )
        self.assertEqual({0, 1}, placement.cells[0].shared)
        self.assertEqual('l3', placement.unkept[0].wanted)


class PoolTest(testtools.TestCase):
    def pools(self, *demands, shared=SHARED, **more):
        return solve(demands, site(FakeHost(), shared=shared, **more))

    def demand(self, pool, strict=True):
        return PoolDemand(
            'vhost', pool, f'kvm:vhost_cpus={pool.value}', strict
        )

    def test_each_kind(self):
        found = {
            pool: self.pools(dedicated(0, 2), self.demand(pool)).pools['vhost']
            for pool in Pool
        }
        self.assertEqual(set(SHARED), found[Pool.HOUSEKEEPING])
        self.assertEqual({0, 16, 1, 17}, found[Pool.L3])
        self.assertEqual({0, 16, 4, 20, 1, 17}, found[Pool.NUMA])
        self.assertEqual({2, 18}, found[Pool.GUEST])

    def test_a_promise_decides_the_cell(self):
        for pool in (Pool.L3, Pool.NUMA):
            for strict in (True, False):
                placement = self.pools(
                    dedicated(0, 2),
                    self.demand(pool, strict),
                    shared=(12, 28),
                )
                self.assertEqual({12, 28}, placement.pools['vhost'])
                self.assertEqual(1, placement.cells[0].host_cell)

    def test_out_of_reach(self):
        for pool in (Pool.L3, Pool.NUMA):
            error = self.assertRaises(
                Unsupported,
                self.pools,
                dedicated(0, 16),
                self.demand(pool),
                shared=(0,),
            )
            self.assertIn(f'kvm:vhost_cpus={pool.value}', str(error))
            placement = self.pools(
                dedicated(0, 16), self.demand(pool, False), shared=(0,)
            )
            self.assertEqual({0}, placement.pools['vhost'])
            (unkept,) = placement.unkept
            self.assertEqual('housekeeping', unkept.found)

    def test_its_own_when_nothing_is_shared(self):
        placement = self.pools(
            dedicated(0, 1), self.demand(Pool.L3, False), shared=()
        )
        self.assertEqual({0}, placement.pools['vhost'])
        self.assertEqual('guest', placement.unkept[0].found)
        error = self.assertRaises(
            Unsupported,
            self.pools,
            dedicated(0, 1),
            self.demand(Pool.HOUSEKEEPING),
            shared=(),
        )
        self.assertIn('no shared pCPU', str(error))

    def test_never_a_held_pcpu(self):
        placement = self.pools(
            dedicated(0, 2), self.demand(Pool.NUMA), taken=(0, 16)
        )
        self.assertEqual({4, 20, 1, 17}, placement.pools['vhost'])

    def test_a_floating_guest(self):
        placement = self.pools(
            floating(2, whole=True), L3, self.demand(Pool.L3)
        )
        self.assertEqual({0, 16, 1, 17}, placement.pools['vhost'])
        self.assertEqual(
            {0, 16, 1, 17},
            self.pools(
                floating(2, whole=True), L3, self.demand(Pool.GUEST)
            ).pools['vhost'],
        )

    def test_without_a_guest(self):
        placement = self.pools(self.demand(Pool.HOUSEKEEPING))
        self.assertEqual(set(SHARED), placement.pools['vhost'])
        self.assertRaises(Unsupported, self.pools, self.demand(Pool.GUEST))
        placement = self.pools(self.demand(Pool.GUEST, False), shared=())
        self.assertEqual({}, placement.pools)
