"""No placement of all that there are is better than the solver's."""

from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core.demands import (
    Affinity,
    CellDemand,
    DeviceDemand,
    EmulatorDemand,
    Locality,
    LocalityDemand,
    Pool,
    PoolDemand,
    ThreadDemand,
    ThreadPolicy,
)
from kvm_tuning.core.exceptions import Refused
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Policy, Site
from kvm_tuning.core.solver.solve import solve
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.unit.core.solver.by_force import Force

MOST_CPUS = 12
# Cells, L3 domains a cell (0: not known), cores a domain, threads a core.
SHAPES = [
    shape
    for shape in product(range(1, 4), range(4), range(1, 4), (1, 2, 4))
    if 3 < shape[0] * max(1, shape[1]) * shape[2] * shape[3] <= MOST_CPUS
]
VF = frozenset({'10ca'})


@st.composite
def hosts(draw):
    cells, l3, cores, threads = draw(st.sampled_from(SHAPES))
    small = draw(st.sampled_from((0, 0, 0, 1)))
    count = cells * max(1, l3) * (cores * threads + small)
    assume(count <= MOST_CPUS)
    offline = draw(st.sets(st.integers(0, count - 1), max_size=2))
    return FakeHost(
        cells=cells,
        l3_per_cell=l3,
        cores=cores,
        threads=threads,
        small_cores=small,
        offline=tuple(offline),
        cells_per_package=draw(st.integers(1, 2)),
        numbering=draw(st.sampled_from(('linear', 'adjacent'))),
        pfs=tuple(
            FakePf(f'eth{i}', cell=cell, vfs=2)
            for i, cell in enumerate(
                draw(
                    st.lists(st.none() | st.integers(0, cells - 1), max_size=2)
                )
            )
        ),
    )


@st.composite
def sites(draw):
    inventory = draw(hosts()).inventory()
    online = sorted(inventory.online)
    some = st.sets(st.sampled_from(online))
    dedicated = inventory.online - draw(
        st.sets(st.sampled_from(online), max_size=2)
    )
    taken = draw(st.sets(st.sampled_from(online), max_size=len(online) // 3))
    functions = [d.address for d in inventory.devices if d.pf]
    held = draw(st.sets(st.sampled_from(functions))) if functions else ()
    return Site(
        inventory,
        Ledger((Claim('a', 'a', frozenset(taken), devices=frozenset(held)),)),
        policy=Policy(
            dedicated_cpus=dedicated,
            shared_cpus=draw(st.none() | some.map(frozenset)),
            pack_cells=draw(st.booleans()),
        ),
    )


@st.composite
def guests(draw):
    demands = []
    for cell in range(draw(st.integers(1, 2))):
        vcpus = draw(st.sampled_from((1, 2, 2, 3, 3, 4, 5)))
        own = frozenset(range(8 * cell, 8 * cell + vcpus))
        demands.append(CellDemand(cell, own, own, 0))
    if draw(st.booleans()):
        demands.append(ThreadDemand(draw(st.sampled_from(list(ThreadPolicy)))))
    if draw(st.booleans()):
        demands.append(
            LocalityDemand(
                draw(st.sampled_from(list(Locality))), draw(st.booleans())
            )
        )
    if draw(st.sampled_from((True, False, False))):
        demands.append(EmulatorDemand())
    if draw(st.sampled_from((True, False, False))):
        demands.append(
            PoolDemand(
                'emulator',
                draw(st.sampled_from((Pool.L3, Pool.NUMA))),
                'kvm:emulator_cpus',
                draw(st.booleans()),
            )
        )
    if draw(st.sampled_from((True, False, False))):
        demands.append(
            DeviceDemand(
                'kvm:vfs',
                draw(st.integers(1, 3)),
                draw(st.sampled_from(list(Affinity))),
                {'product': VF},
            )
        )
    return demands


class ByForceTest(testtools.TestCase):
    @settings(max_examples=200, deadline=None)
    @given(site=sites(), demands=guests())
    def test_none_is_better(self, site, demands):
        force = Force(demands, site)
        best = force.best()
        try:
            placement = solve(demands, site)
        except Refused as error:
            self.assertTrue(
                best is None or self._is_promised(force, best, error, site),
                (str(error), best),
            )
            return
        self.assertEqual(best, placement.cost)
        self.assertEqual(best, force.of_placement(placement))

    def _is_promised(self, force, best, error, site):
        """Whether nothing but a promise is why there is no placement."""
        if force.strict and not site.inventory.l3:
            return 'no L3 cache' in str(error)
        if force.policy is ThreadPolicy.REQUIRE and not site.inventory.smt:
            return 'siblings' in str(error)
        # Every guest cell is out of reach of the promised pool.
        return best[0] == len(force.cells) and 'shared' in str(error)
