"""vCPUs on cores: the fewest cores, then the fewest stranded threads."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core.solver import cores

POOLS = st.lists(st.integers(0, 3), min_size=1, max_size=4)


def by_force(counts, vcpus):
    """Return (cores, threads stranded) of the best way."""
    sizes = [s for s, n in enumerate(counts) for _ in range(n)]
    for number in range(1, len(sizes) + 1):
        left = [
            sum(chosen) - vcpus
            for chosen in combinations(sizes, number)
            if sum(chosen) >= vcpus
        ]
        if left:
            return number, min(left)
    raise AssertionError('does not fit')


class CoresTest(testtools.TestCase):
    @settings(max_examples=200, deadline=None)
    @given(pool=POOLS, data=st.data())
    def test_none_is_better(self, pool, data):
        counts = (0, *pool)
        room = sum(size * number for size, number in enumerate(counts))
        if not room:
            return
        vcpus = data.draw(st.integers(1, room))
        self.assertEqual(by_force(counts, vcpus), cores.fill(counts, vcpus))
        taken = cores.takes(counts, vcpus)
        self.assertEqual(vcpus, sum(used * n for _, used, n in taken))
        in_part = [take for take in taken if take[1] < take[0]]
        self.assertLessEqual(sum(number for _, _, number in in_part), 1)
        for size, number in enumerate(counts):
            own = sum(n for s, _, n in taken if s == size)
            self.assertLessEqual(own, number)

    def test_what_does_not_fit(self):
        self.assertRaises(ValueError, cores.takes, (0, 1, 0, 1), 5)

    def test_isolated(self):
        self.assertEqual((2, 1), cores.fill_isolated((0, 1, 3), 2))
        self.assertEqual([(1, 1, 1), (2, 1, 1)], cores.isolated((0, 1, 3), 2))
