from hypothesis import given, settings
import testtools
from testtools.matchers import Equals, LessThan, MatchesAll, Not

from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.healing.cell import Cell
from kvm_tuning.core.healing.heal import heal
from kvm_tuning.core.healing.table import Table
from tests.unit.core.healing.cells import cells, domains, part


def plan(cell, **terms):
    return heal([cell], **terms)[0]


class TestHeal(testtools.TestCase):
    def test_two_guests_that_are_crossed_change_places(self):
        cell = Cell(
            domains(2, 2), [part('a', 0, 4, 2, 6), part('b', 1, 5, 3, 7)], 2
        )
        made = plan(cell)
        self.assertEqual((2, 0), (made.before.excess, made.after.excess))
        self.assertEqual(4, made.moved)
        self.assertEqual(0, made.least)

    def test_a_full_host_without_a_free_pCPU_is_healed(self):
        cell = Cell(
            domains(4, 4, threads=1),
            [part(f'g{n}', n, n + 4, n + 8, n + 12) for n in range(4)],
            1,
        )
        made = plan(cell)
        self.assertEqual(0, made.after.excess)
        self.assertEqual(12, made.moved)

    def test_nothing_is_moved_where_all_sit_well(self):
        cell = Cell(domains(2, 2), [part('a', 0, 4), part('b', 2, 6)], 2)
        self.assertEqual(0, plan(cell).moved)

    def test_vCPUs_of_a_core_move_together(self):
        cell = Cell(
            domains(2, 2),
            [part('a', 0, 4, 2, 6), part('wall', 1, 5, fixed=True)],
            2,
        )
        made = plan(cell)
        core_of = cell.core_of()
        pins = made.pins[0]
        self.assertEqual(core_of[pins[0]], core_of[pins[1]])
        self.assertEqual(core_of[pins[2]], core_of[pins[3]])
        self.assertEqual(0, made.after.excess)

    def test_a_guest_that_may_not_move_is_a_wall(self):
        cell = Cell(
            domains(2, 2),
            [
                part('a', 0, 4, 2, 6),
                part('b', 1, 5, fixed=True),
                part('c', 3, 7, fixed=True),
            ],
            2,
        )
        made = plan(cell)
        self.assertEqual(0, made.moved)
        self.assertEqual(1, made.after.excess)
        self.assertIsNone(made.least)

    def test_groups_of_a_guest_stay_apart(self):
        grouped = part('a', 0, 1, 2, 3, grouped=True)
        cell = Cell(domains(3, 2, threads=1), [grouped, part('b', 4, 5)], 1)
        made = plan(cell)
        self.assertEqual(0, made.moved)
        self.assertEqual(0, made.before.excess)

    def test_guests_that_share_a_core_are_parted(self):
        cell = Cell(domains(2, 2), [part('a', 0), part('b', 4)], 2)
        made = plan(cell)
        self.assertEqual(1, made.before.shared_cores)
        self.assertEqual(0, made.after.shared_cores)
        self.assertEqual(1, made.moved)

    def test_what_fills_no_domain_is_split_as_rarely_as_can_be(self):
        # Five guests of 3 pCPUs on two domains of 8: one is split.
        cell = Cell(
            domains(2, 8, threads=1),
            [
                part(f'g{n}', *(cpu % 16 for cpu in range(n, n + 15, 5)))
                for n in range(5)
            ],
            1,
        )
        made = plan(cell)
        self.assertThat(made.before.excess, Not(LessThan(3)))
        self.assertEqual(1, made.least)
        self.assertEqual(1, made.after.excess)

    def test_a_budget_is_spent_on_the_cheapest_first(self):
        cell = Cell(
            domains(4, 2, threads=1),
            [part('a', 0, 2), part('b', 1, 3), part('c', 4, 6)],
            1,
        )
        made = plan(cell, budget=1)
        self.assertEqual(1, made.moved)
        self.assertEqual(made.before.excess - 1, made.after.excess)
        self.assertEqual(0, plan(cell, budget=0).moved)

    def test_what_is_worth_little_is_left(self):
        cell = Cell(
            domains(2, 2), [part('a', 0, 4, 2, 6), part('b', 1, 5, 3, 7)], 2
        )
        self.assertEqual(0, plan(cell, worth=0.6).moved)
        self.assertEqual(4, plan(cell, worth=0.5).moved)

    def test_two_guests_on_one_pCPU_are_refused(self):
        self.assertRaises(
            Unsupported,
            Cell,
            domains(1, 2),
            [part('a', 0), part('b', 0)],
            2,
        )

    def test_a_pin_outside_of_the_cell_is_refused(self):
        self.assertRaises(Unsupported, Cell, domains(1, 2), [part('a', 99)], 2)


class TestProperties(testtools.TestCase):
    #: Plans that have won something: a generator of cells that need none
    #: would prove nothing.
    won = 0

    @settings(max_examples=400, deadline=None)
    @given(cells())
    def check(self, cell):
        made = plan(cell)
        self._is_legal(cell, made)
        before, after = made.before, made.after
        self.assertThat(
            (after.excess, after.shared_cores),
            Not(
                MatchesAll(
                    Not(Equals((before.excess, before.shared_cores))),
                    Not(LessThan((before.excess, before.shared_cores))),
                )
            ),
        )
        type(self).won += after.excess < before.excess
        again = plan(self._healed(cell, made))
        self.assertEqual(after.excess, again.after.excess)

    def test_plans_are_legal_and_never_worse(self):
        self.check()
        self.assertThat(self.won, Not(LessThan(30)))

    def _is_legal(self, cell, made):
        held = [cpu for pins in made.pins for cpu in pins.values()]
        self.assertEqual(len(held), len(set(held)))
        core_of, domain_of = cell.core_of(), cell.domain_of()
        isolated = {
            core_of[cpu]: part.guest
            for part, pins in zip(cell.parts, made.pins, strict=True)
            if part.isolated and not cell.stays(part)
            for cpu in pins.values()
        }
        for each, pins in zip(cell.parts, made.pins, strict=True):
            self.assertEqual(each.pins.keys(), pins.keys())
            for cpu in pins.values():
                owner = isolated.get(core_of[cpu], each.guest)
                self.assertEqual(each.guest, owner)
            if each.isolated and not cell.stays(each):
                cores = [core_of[cpu] for cpu in pins.values()]
                self.assertEqual(len(cores), len(set(cores)))
            if each.fixed:
                self.assertEqual(dict(each.pins), dict(pins))
            if each.grouped:
                self.assertEqual(
                    self._groups(each.pins, domain_of),
                    self._groups(pins, domain_of),
                )

    @staticmethod
    def _groups(pins, domain_of):
        groups = {}
        for vcpu, cpu in sorted(pins.items()):
            groups.setdefault(domain_of[cpu], []).append(vcpu)
        return sorted(groups.values())

    @staticmethod
    def _healed(cell, made):
        return Cell(
            cell.domains,
            [
                part(
                    each.guest,
                    *(pins[vcpu] for vcpu in sorted(pins)),
                    isolated=each.isolated,
                    grouped=each.grouped,
                    fixed=each.fixed,
                )
                for each, pins in zip(cell.parts, made.pins, strict=True)
            ],
            cell.threads,
        )

    @settings(max_examples=400, deadline=None)
    @given(cells(even=True))
    def check_least(self, cell):
        made = plan(cell)
        if made.least is not None:
            self.assertEqual(made.least, made.after.excess)
            type(self).proven += 1

    proven = 0

    def test_excess_is_the_least_where_that_is_proven(self):
        self.check_least()
        self.assertThat(self.proven, Not(LessThan(30)))

    @settings(max_examples=100, deadline=None)
    @given(cells())
    def check_table(self, cell):
        """What a table counts is what its seats have."""
        made = plan(cell)
        table = Table(cell)
        self.assertEqual(
            made.before.excess,
            table.excess
            + sum(
                over
                for over, each in zip(
                    made.before.over, cell.parts, strict=True
                )
                if cell.stays(each)
            ),
        )

    def test_the_table_counts_what_is_there(self):
        self.check_table()
