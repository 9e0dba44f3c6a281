"""Matching: everybody who can have a column gets one, at the least cost."""

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core.solver import matching

COSTS = st.integers(1, 5).flatmap(
    lambda columns: st.lists(
        st.lists(
            st.none() | st.integers(-9, 99),
            min_size=columns,
            max_size=columns,
        ),
        max_size=columns,
    )
)


def by_force(costs):
    """Return the least sum, or None."""
    columns = len(costs[0]) if costs else 0
    return min(
        (
            sum(line[c] for line, c in zip(costs, order, strict=True))
            for order in permutations(range(columns), len(costs))
            if None
            not in [line[c] for line, c in zip(costs, order, strict=True)]
        ),
        default=None,
    )


class MatchingTest(testtools.TestCase):
    @settings(max_examples=200, deadline=None)
    @given(costs=COSTS)
    def test_none_is_cheaper(self, costs):
        found = matching.assign(costs)
        best = by_force(costs)
        if best is None:
            self.assertIsNone(found)
            return
        self.assertEqual(len(costs), len(set(found)))
        self.assertEqual(
            best,
            sum(line[c] for line, c in zip(costs, found, strict=True)),
        )

    @settings(max_examples=200, deadline=None)
    @given(costs=COSTS)
    def test_a_shortage_is_one(self, costs):
        fits = [[cost is not None for cost in line] for line in costs]
        short = matching.shortage(fits)
        self.assertEqual(by_force(costs) is None, short is not None)
        if short is not None:
            rows, columns = short
            self.assertLess(len(columns), len(rows))
            reach = {c for r in rows for c, ok in enumerate(fits[r]) if ok}
            self.assertEqual(set(columns), reach)

    def test_large_numbers(self):
        one = 1 << 700
        self.assertEqual([1, 0], matching.assign([[one + 1, one], [one, one]]))
