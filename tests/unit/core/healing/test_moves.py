from hypothesis import given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import HasLength, LessThan, Not

from kvm_tuning.core.exceptions import Exhausted
from kvm_tuning.core.healing.moves import order


def run(places, moves):
    """Yield the pCPU of each thread after each move."""
    at = {thread: now for thread, (now, _) in places.items()}
    for move in moves:
        assert at[move.thread] == move.source, move
        at[move.thread] = move.target
        yield dict(at)


def doubled(at):
    return len(at) - len(set(at.values()))


class TestOrder(testtools.TestCase):
    def test_a_chain_starts_at_its_free_end(self):
        places = {'a': (0, 1), 'b': (1, 2), 'c': (2, 3)}
        moves = order(places, {3})
        self.assertEqual(['c', 'b', 'a'], [move.thread for move in moves])
        self.assertFalse(any(move.doubles for move in moves))

    def test_a_cycle_goes_by_way_of_a_free_pCPU(self):
        moves = order({'a': (0, 1), 'b': (1, 0)}, {7})
        self.assertEqual(
            [('a', 7), ('b', 0), ('a', 1)],
            [(move.thread, move.target) for move in moves],
        )
        self.assertFalse(any(move.doubles for move in moves))

    def test_a_chain_frees_the_pCPU_that_a_cycle_needs(self):
        places = {'a': (0, 1), 'b': (1, 0), 'c': (2, 3)}
        moves = order(places, {3})
        self.assertEqual(('a', 2), (moves[1].thread, moves[1].target))

    def test_a_full_cell_has_one_pCPU_twice_at_a_time(self):
        places = {n: (n, (n + 1) % 5) for n in range(5)}
        moves = order(places, ())
        self.assertThat(moves, HasLength(5))
        self.assertEqual(
            [1, 1, 1, 1, 0], [doubled(at) for at in run(places, moves)]
        )
        self.assertEqual(
            [True] * 4 + [False], [move.doubles for move in moves]
        )

    def test_who_may_not_share_needs_a_free_pCPU(self):
        places = {'a': (0, 1), 'rt': (1, 0)}
        self.assertThat(order(places, {5}, {'rt'}), HasLength(3))
        error = self.assertRaises(Exhausted, order, places, (), {'rt'})
        self.assertIn('rt cannot be exchanged', str(error))

    def test_who_is_home_is_not_moved(self):
        self.assertEqual([], order({'a': (0, 0), 'b': (1, 1)}, {2}))


@st.composite
def exchanges(draw):
    """Return places of threads, and free pCPUs."""
    count = draw(st.integers(1, 12))
    free = draw(st.integers(0, 3))
    cpus = range(count + free)
    now = draw(st.permutations(cpus))[:count]
    then = draw(st.permutations(cpus))[:count]
    places = dict(enumerate(zip(now, then, strict=True)))
    return places, set(cpus) - set(now)


class TestProperties(testtools.TestCase):
    cut = 0

    @settings(max_examples=200, deadline=None)
    @given(exchanges(), st.data())
    def check(self, exchange, data):
        places, free = exchange
        moves = order(places, free)
        states = [
            {thread: now for thread, (now, _) in places.items()},
            *run(places, moves),
        ]
        targets = {thread: then for thread, (_, then) in places.items()}
        self.assertEqual(targets, states[-1])
        most = 0 if free else 1
        for at in states:
            self.assertThat(doubled(at), LessThan(most + 1))
        moved = sum(now != then for now, then in places.values())
        cycles = len(moves) - moved
        self.assertThat(cycles, LessThan(moved // 2 + 1))
        self._interrupted(places, free, states, data)

    def _interrupted(self, places, free, states, data):
        """From any point the rest, and all of it back, can be done."""
        at = states[data.draw(st.integers(0, len(states) - 1))]
        everything = {*free, *(now for now, _ in places.values())}
        for goal in (0, 1):
            rest = {
                thread: (at[thread], place[1 - goal])
                for thread, place in places.items()
            }
            left = everything - set(at.values())
            done = [at, *run(rest, order(rest, left))]
            self.assertEqual(
                {thread: place[1 - goal] for thread, place in places.items()},
                done[-1],
            )
            self.assertThat(max(map(doubled, done)), LessThan(2))
            type(self).cut += 1

    def test_every_beginning_is_legal_and_can_be_ended(self):
        self.check()
        self.assertThat(self.cut, Not(LessThan(100)))
