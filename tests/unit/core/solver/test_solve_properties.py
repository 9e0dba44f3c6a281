"""Whatever hosts, ledgers and guests there are: what must always hold."""

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core.demands import (
    Affinity,
    CellDemand,
    DeviceDemand,
    EmulatorDemand,
    Locality,
    LocalityDemand,
    MemoryDemand,
    MemoryMode,
    PageDemand,
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

HOSTS = st.builds(
    FakeHost,
    cells=st.integers(0, 5),
    l3_per_cell=st.integers(0, 9),
    cores=st.integers(1, 6),
    threads=st.sampled_from((1, 2, 4)),
    small_cores=st.sampled_from((0, 0, 2)),
    huge_pages=st.just({2048: 64, 1024 * 1024: 1}),
    memory_gib=st.integers(1, 4),
    offline=st.lists(st.integers(1, 40), max_size=6).map(tuple),
    numbering=st.sampled_from(('linear', 'adjacent')),
    cells_per_package=st.integers(1, 2),
    memory_cells=st.integers(0, 1),
    pfs=st.lists(
        st.builds(
            FakePf, st.just('eth0'), cell=st.just(None), vfs=st.integers(0, 3)
        ),
        max_size=1,
    ).map(tuple),
)


@st.composite
def sites(draw):
    inventory = draw(HOSTS).inventory()
    cpus = st.sets(st.sampled_from(sorted(inventory.online))).map(frozenset)
    cells = st.sampled_from([cell.id for cell in inventory.cells])
    claims = draw(
        st.lists(
            st.builds(
                Claim,
                owner=st.just('b'),
                name=st.just('b'),
                pcpus=st.just(frozenset()) | cpus,
                shared=cpus.filter(bool),
                shared_vcpus=st.integers(0, 9),
                pages=st.dictionaries(
                    st.tuples(cells, st.just(2048)), st.integers(0, 40)
                ),
                memory_kib=st.dictionaries(cells, st.integers(0, 4 << 20)),
            ),
            max_size=3,
        )
    )
    return Site(
        inventory,
        Ledger(tuple(claims)),
        policy=Policy(
            dedicated_cpus=draw(st.none() | st.just(inventory.online) | cpus),
            shared_cpus=draw(st.none() | cpus),
            reserved_memory_kib=draw(st.sampled_from((0, 1 << 20))),
            pack_cells=draw(st.booleans()),
        ),
    )


@st.composite
def cells(draw):
    demands = []
    for cell in range(draw(st.integers(0, 4))):
        vcpus = frozenset(
            range(40 * cell, 40 * cell + draw(st.integers(1, 24)))
        )
        dedicated = draw(
            st.sampled_from(
                (vcpus, vcpus, frozenset(), frozenset(sorted(vcpus)[::2]))
            )
        )
        memory = draw(st.sampled_from((0, 2048, 100_000, 2 << 20)))
        demands.append(
            CellDemand(cell, vcpus, dedicated, memory, draw(st.booleans()))
        )
    return demands


OTHERS = st.lists(
    st.builds(ThreadDemand, st.sampled_from(list(ThreadPolicy)))
    | st.builds(LocalityDemand, st.sampled_from(list(Locality)), st.booleans())
    | st.builds(EmulatorDemand)
    | st.builds(
        PageDemand,
        st.integers(0, 4),
        st.lists(st.sampled_from((4, 2048, 1024 * 1024)), min_size=1).map(
            tuple
        ),
    )
    | st.builds(
        PoolDemand,
        st.sampled_from(('emulator', 'iothread', 'vhost')),
        st.sampled_from(list(Pool)),
        st.just('kvm:emulator_cpus'),
        st.booleans(),
    )
    | st.builds(MemoryDemand, st.sampled_from(list(MemoryMode)))
    | st.builds(
        DeviceDemand,
        st.sampled_from(('one', 'two')),
        st.integers(0, 3),
        st.sampled_from(list(Affinity)),
        st.just({'vendor': frozenset({'8086'})}),
    ),
    max_size=6,
)


def answer(demands, site):
    """Return the placement, or what the refusal says."""
    try:
        return solve(demands, site)
    except Refused as error:
        return f'{error.code}: {error}'


class PropertyTest(testtools.TestCase):
    @settings(max_examples=400, deadline=None)
    @given(site=sites(), cells=cells(), others=OTHERS)
    def test_an_answer_or_a_refusal(self, site, cells, others):
        demands = [*cells, *others]
        found = answer(demands, site)
        # Equal inputs, equal answers, whatever was asked before.
        again = Site(
            site.inventory, Ledger(site.ledger.claims), policy=site.policy
        )
        self.assertEqual(found, answer(demands, again))
        if isinstance(found, str):
            self.assertNotIn('\n', found)
            return
        held = site.ledger.pcpus
        self.assertLessEqual(
            found.held, site.policy.dedicated_cpus or frozenset()
        )
        self.assertEqual(frozenset(), found.held & held)
        own = [pcpu for c in found.cells for pcpu in c.pins.values()]
        own += [pcpu for c in found.cells for pcpu in c.reserved]
        own += found.emulator
        self.assertEqual(len(own), len(set(own)))
        for demand, cell in zip(cells, found.cells, strict=True):
            self.assertEqual(demand.dedicated, cell.pins.keys())
            self.assertEqual(
                demand.vcpus > demand.dedicated, bool(cell.shared)
            )
            cpus = site.inventory.cell[cell.host_cell].cpus
            own_of_cell = frozenset(cell.pins.values()) | cell.reserved
            self.assertLessEqual(own_of_cell, cpus)
            self.assertFalse(cell.shared & held)
        host_cells = [cell.host_cell for cell in found.cells]
        self.assertEqual(len(host_cells), len(set(host_cells)))
        for pool in found.pools.values():
            self.assertTrue(pool)
            self.assertFalse((pool - found.held) & held)
        self.assertTrue(
            all(
                device in site.inventory.device
                for own in found.devices.values()
                for device in own
            )
        )

    @settings(max_examples=40, deadline=None)
    @given(
        host=HOSTS,
        steps=st.lists(
            st.tuples(
                st.integers(0, 5),
                st.integers(1, 12),
                st.sampled_from(list(ThreadPolicy)),
            ),
            max_size=30,
        ),
    )
    def test_no_pcpu_twice(self, host, steps):
        """Guests come and go; each is placed on what the others leave."""
        inventory = host.inventory()
        claims = {}
        for number, (leaves, vcpus, policy) in enumerate(steps):
            if leaves < 2 and claims:
                del claims[min(claims)]
            site = Site(
                inventory,
                Ledger(tuple(claims.values())),
                policy=Policy(inventory.online),
            )
            own = frozenset(range(vcpus))
            found = answer(
                [CellDemand(0, own, own, 0), ThreadDemand(policy)], site
            )
            if isinstance(found, str):
                continue
            for claim in claims.values():
                self.assertFalse(claim.pcpus & found.held)
            claims[number] = Claim(str(number), str(number), found.held)
