from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core.healing import least
from kvm_tuning.core.healing.cell import Cell
from kvm_tuning.core.healing.table import Table
from tests.unit.core.healing.cells import domains, part


def by_force(sizes, count, capacity):
    """Return the fewest domains in sum, by trying every arrangement."""

    @cache
    def spans(left, rooms):
        if not left:
            return 0
        return min(
            (
                sum(1 for share in shares if share)
                + spans(
                    left[1:],
                    tuple(
                        sorted(
                            room - share
                            for room, share in zip(rooms, shares, strict=True)
                        )
                    ),
                )
                for shares in splits(left[0], rooms)
            ),
            default=10**6,
        )

    def splits(size, rooms):
        if not rooms:
            return [()] if not size else []
        return [
            (share, *rest)
            for share in range(min(size, rooms[0]) + 1)
            for rest in splits(size - share, rooms[1:])
        ]

    return spans(tuple(sizes), (capacity,) * count)


class TestLeast(testtools.TestCase):
    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(2, 3),
        st.integers(2, 4),
        st.lists(st.integers(1, 6), min_size=1, max_size=5),
    )
    def test_is_what_trying_everything_finds(self, count, capacity, sizes):
        threads = list(range(count * capacity))
        parts = []
        for number, size in enumerate(sizes):
            if size <= len(threads):
                # Every other thread, so that they span what they can.
                taken = threads[:: max(1, len(threads) // size)][:size]
                threads = [cpu for cpu in threads if cpu not in taken]
                parts.append(part(f'g{number}', *taken))
        cell = Cell(domains(count, capacity, threads=1), parts, 1)
        table = Table(cell)
        held = [len(each.pins) for each in parts]
        fewest = sum(-(-size // capacity) for size in held)
        expected = by_force(held, count, capacity) - fewest
        found = least.excess(table)
        if table.excess:
            self.assertEqual(expected, found)
        else:
            self.assertEqual((0, 0), (expected, found))

    def test_is_not_known_where_somebody_stays(self):
        cell = Cell(
            domains(2, 2, threads=1),
            [part('a', 0, 2), part('b', 1, fixed=True)],
            1,
        )
        self.assertIsNone(least.excess(Table(cell)))

    def test_is_not_known_of_unequal_domains(self):
        cell = Cell([[(0,), (1,)], [(2,)]], [part('a', 0, 2)], 1)
        self.assertIsNone(least.excess(Table(cell)))
