"""What a measurement compares, and what it says of differences."""

import testtools
from testtools.matchers import Equals, Is

from kvm_tuning.core.bench import arms, memory, spread
from tests.fixtures.fake_host import FakeHost


def choose(allowed=None, **host):
    inventory = FakeHost(**host).inventory()
    cpus = inventory.online if allowed is None else frozenset(allowed)
    found = arms.choose(inventory, cpus)
    return [sorted(cpus) for cpus in found.sets], found.reason


class ChooseTest(testtools.TestCase):
    def test_one_cell_against_two(self):
        sets, reason = choose(cells=2, l3_per_cell=2, cores=4, threads=2)
        self.assertThat(sets, Equals([[0, 1], [0, 8]]))
        self.assertThat(reason, Equals('one NUMA cell is compared with two'))

    def test_two_cores_and_never_siblings(self):
        sets, _reason = choose(
            cells=2, l3_per_cell=1, cores=2, threads=2, numbering='adjacent'
        )
        self.assertThat(sets, Equals([[0, 2], [0, 4]]))

    def test_one_l3_domain_against_two(self):
        sets, reason = choose(cells=1, l3_per_cell=2, cores=4, threads=1)
        self.assertThat(sets, Equals([[0, 1], [0, 4]]))
        self.assertIn('one NUMA cell', reason)

    def test_siblings_against_cores(self):
        sets, reason = choose(cells=1, l3_per_cell=1, cores=4, threads=2)
        self.assertThat(sets, Equals([[0, 4], [0, 1]]))
        self.assertIn('siblings', reason)

    def test_nothing_to_compare(self):
        sets, reason = choose(cells=1, l3_per_cell=0, cores=2, threads=1)
        self.assertThat(sets, Equals([[0, 1]]))
        self.assertIn('alike', reason)
        sets, _reason = choose(cells=1, l3_per_cell=1, cores=1, threads=1)
        self.assertThat(sets, Equals([[0]]))

    def test_only_allowed_pcpus(self):
        sets, _reason = choose(
            (2, 3, 9), cells=2, l3_per_cell=2, cores=4, threads=1
        )
        self.assertThat(sets, Equals([[2, 3], [2, 9]]))

    def test_a_cell_with_one_allowed_pcpu_is_the_other_one(self):
        sets, _reason = choose(
            (0, 9, 10), cells=2, l3_per_cell=2, cores=4, threads=1
        )
        self.assertThat(sets, Equals([[9, 10], [0, 9]]))


class ArmsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.host = FakeHost(
            cells=2, l3_per_cell=1, cores=4, threads=1, cell_ids=(0, 8)
        ).inventory()

    def arms(self, memory, *sets):
        return list(arms.arms(self.host, map(frozenset, sets), memory))

    def test_two_pcpus_are_one_a_thread(self):
        (arm,) = self.arms('unbound', {3, 5})
        self.assertThat(arm.cpus, Equals((frozenset({3}), frozenset({5}))))
        self.assertThat(arm.cells, Is(None))

    def test_more_are_all_of_both_threads(self):
        (arm,) = self.arms('unbound', {0, 1, 2})
        self.assertThat(arm.cpus, Equals((frozenset({0, 1, 2}),) * 2))

    def test_bound_memory_is_in_the_cell_of_its_thread(self):
        for cpus, cells in (
            ({0, 1}, (0, 0)),
            ({5, 6}, (8, 8)),
            ({0, 5}, (0, 8)),
            (range(8), (0, 8)),
        ):
            (arm,) = self.arms('bound', cpus)
            self.assertThat(arm.cells, Equals(cells), cpus)

    def test_both(self):
        names = [arm.name for arm in self.arms('both', {0, 1}, {0, 4})]
        self.assertThat(
            names,
            Equals(
                [
                    'pCPUs 0-1, memory bound',
                    'pCPUs 0-1, memory unbound',
                    'pCPUs 0,4, memory bound',
                    'pCPUs 0,4, memory unbound',
                ]
            ),
        )


class SpreadTest(testtools.TestCase):
    def test_each_round_in_one_direction_is_a_difference(self):
        found = spread.compare([1, 2, 3, 4, 5], [2, 3, 4, 5, 6])
        self.assertThat(found.shown, Is(True))
        self.assertThat(found.ratio.least, Equals(1.2))
        self.assertThat(found.ratio.most, Equals(2))
        found = spread.compare([2] * 5, [1] * 5)
        self.assertThat(found.shown, Is(True))

    def test_one_round_in_the_other_is_none(self):
        found = spread.compare([1] * 5, [2, 2, 2, 2, 0.9])
        self.assertThat(found.shown, Is(False))

    def test_equal_rounds_are_none(self):
        found = spread.compare([1] * 5, [1, 2, 2, 2, 2])
        self.assertThat(found.shown, Is(False))

    def test_few_rounds_are_none(self):
        found = spread.compare([1] * 4, [2] * 4)
        self.assertThat(found.shown, Is(False))


def printed(**more):
    thread = {
        'faults': 1,
        'voluntary_switches': 2,
        'involuntary_switches': 3,
        'migrations': 4,
        'looks': {'0': 3, '1': 1},
        'checksum': 'ffffffffffffffff',
        'ns': 10,
    }
    return {
        'threads': [thread, {**thread, 'ns': 20, 'checksum': '2'}],
        'fill_faults': 5,
        'huge_kib': 1024,
        'pages': {'0': 75},
        'elsewhere': 25,
        'hypervisor': '',
        **more,
    }


class ReadTest(testtools.TestCase):
    def test_counts(self):
        run = memory.read(printed(), 1)
        self.assertThat(run.counts.faults, Equals(2))
        self.assertThat(run.counts.migrations, Equals(8))
        self.assertThat(run.counts.huge_share, Equals(0.5))
        # 3 of 4 looks were in the cell of 75 of 100 pages.
        self.assertThat(run.counts.local_share, Equals(0.5625))
        self.assertThat(run.ns, Equals(20))
        self.assertThat(run.checksum, Equals('0000000000000001'))

    def test_what_the_kernel_does_not_show_is_unknown(self):
        threads = printed()['threads']
        threads[1]['migrations'] = None
        run = memory.read(
            printed(pages=None, huge_kib=None, threads=threads), 1
        )
        self.assertThat(run.counts.local_share, Is(None))
        self.assertThat(run.counts.huge_share, Is(None))
        self.assertThat(run.counts.migrations, Is(None))
        self.assertThat(run.counts.faults, Equals(2))

    def test_something_else(self):
        for wrong in ({}, {**printed(), 'threads': [{}]}):
            self.assertRaises(KeyError, memory.read, wrong, 1)
