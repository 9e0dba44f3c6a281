"""Assignments come in order, every set of columns once."""

from itertools import islice, permutations

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core.solver import ranking

COSTS = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(
            st.none() | st.integers(-5, 20),
            min_size=columns,
            max_size=columns,
        ),
        min_size=1,
        max_size=columns,
    )
)


def price(costs, columns):
    return sum(
        line[column] for line, column in zip(costs, columns, strict=True)
    )


def by_force(costs):
    """Return the cheapest cost of each set of columns."""
    best = {}
    for columns in permutations(range(len(costs[0])), len(costs)):
        if any(
            line[c] is None for line, c in zip(costs, columns, strict=True)
        ):
            continue
        key = frozenset(columns)
        cost = price(costs, columns)
        best[key] = min(cost, best.get(key, cost))
    return best


class RankingTest(testtools.TestCase):
    @settings(max_examples=200, deadline=None)
    @given(COSTS)
    def test_as_by_force(self, costs):
        found = list(ranking.assignments(costs))
        prices = [price(costs, columns) for columns in found]
        self.assertEqual(sorted(prices), prices)
        self.assertEqual(
            by_force(costs),
            {frozenset(c): p for c, p in zip(found, prices, strict=True)},
        )
        self.assertEqual(len(found), len({frozenset(c) for c in found}))

    def test_the_first_of_many_is_quick(self):
        costs = [[(r * c) % 7 for c in range(16)] for r in range(8)]
        found = list(islice(ranking.assignments(costs), 20))
        self.assertEqual(20, len(found))
