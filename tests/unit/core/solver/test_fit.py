"""The straight way for guests of one cell gives the answer of the long one."""

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core.demands import (
    CellDemand,
    Locality,
    LocalityDemand,
    PageDemand,
    ThreadDemand,
    ThreadPolicy,
)
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Policy, Site
from kvm_tuning.core.solver import grid as grids
from kvm_tuning.core.solver import wants
from kvm_tuning.core.solver.fit import Fitter
from tests.fixtures.fake_host import FakeHost

HOSTS = st.builds(
    FakeHost,
    cells=st.integers(1, 4),
    l3_per_cell=st.integers(0, 6),
    cores=st.integers(1, 4),
    threads=st.sampled_from((1, 2, 2, 4)),
    huge_pages=st.just({2048: 64}),
    offline=st.lists(st.integers(1, 40), max_size=3).map(tuple),
    numbering=st.sampled_from(('linear', 'adjacent')),
)

POLICIES = (
    *[ThreadPolicy.PREFER] * 3,
    *[ThreadPolicy.REQUIRE] * 2,
    ThreadPolicy.ISOLATE,
)


@st.composite
def fitters(draw):
    inventory = draw(HOSTS).inventory()
    online = sorted(inventory.online)
    taken = draw(st.sets(st.sampled_from(online), max_size=12).map(frozenset))
    shared = draw(st.sets(st.sampled_from(online), max_size=2).map(frozenset))
    vcpus = frozenset(range(draw(st.integers(1, 5))))
    memory = draw(st.sampled_from((2048, 64 * 2048)))
    level = draw(st.sampled_from((None, *[Locality.L3] * 4)))
    demands = [
        CellDemand(0, vcpus, vcpus, memory),
        ThreadDemand(draw(st.sampled_from(POLICIES))),
    ]
    if draw(st.booleans()):
        demands.append(PageDemand(0, (2048,)))
    if level is not None:
        demands.append(
            LocalityDemand(
                level, level is Locality.L3 and draw(st.booleans()), 'test'
            )
        )
    pages = {(0, 2048): draw(st.sampled_from((0, 64)))}
    site = Site(
        inventory,
        Ledger((Claim('other', 'other', taken, pages=pages),)),
        policy=Policy(
            dedicated_cpus=inventory.online - shared,
            pack_cells=draw(st.integers(0, 9)) > 0,
        ),
    )
    return Fitter(
        wants.sort(demands), site, grids.of(site.inventory, site.policy)
    )


class SingleTest(testtools.TestCase):
    def test_as_the_long_way(self):
        answers = []

        @settings(max_examples=450, deadline=None)
        @given(fitters())
        def check(fitter):
            (cell,) = fitter.wants.cells
            found = fitter.single(cell)
            answers.append(found)
            if found is None:
                return
            best, _ = fitter.best(cell)
            self.assertEqual(best, found[0])
            # All the rows that are as good, each once and none left out.
            self.assertEqual(
                [
                    fit
                    for fit in fitter.fits(cell)
                    if fit is not None and fit.cost == best.cost
                ],
                found,
            )

        check()
        answered = [found for found in answers if found is not None]
        self.assertTrue(len(answered) > 50, len(answered))
        self.assertTrue(any(len(found) > 1 for found in answered))
