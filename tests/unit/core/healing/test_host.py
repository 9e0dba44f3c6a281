import testtools

from kvm_tuning.core import domain
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.healing import host, occupants
from kvm_tuning.core.healing.occupants import Choice, Occupant
from tests.fixtures import scattered_guests
from tests.fixtures.fake_host import FakeHost

#: One NUMA cell of two L3 domains, 0-3 and 4-7, without SMT.
HOST = FakeHost(cells=1, l3_per_cell=2, cores=4, threads=1).inventory()
ALL = HOST.online


def occupant(name, *cpus, **more):
    return Occupant(name, name, dict(enumerate(cpus)), **more)


def make(*guests, inventory=HOST, dedicated=ALL, taken=None, **limits):
    return host.make(inventory, guests, dedicated, taken or {}, **limits)


def spans(plan, inventory=HOST):
    return {
        guest: len({inventory.cpu[cpu].l3 for cpu in pins.values()})
        for guest, pins in plan.pins.items()
    }


class HostPlanTest(testtools.TestCase):
    def test_a_full_host_of_scattered_guests(self):
        plan = make(occupant('a', 0, 4, 1, 5), occupant('b', 2, 6, 3, 7))
        self.assertEqual({'a': 1, 'b': 1}, spans(plan))
        self.assertEqual((4, 0), (plan.moved, plan.least))
        # Nothing is free: each exchange shares a pCPU for one step.
        self.assertEqual(2, plan.doublings)

    def test_a_free_pcpu_saves_the_sharing(self):
        plan = make(occupant('a', 0, 4, 1, 5), occupant('b', 2, 6, 7))
        self.assertEqual({'a': 1, 'b': 1}, spans(plan))
        self.assertEqual(0, plan.doublings)

    def test_nothing_to_do(self):
        plan = make(occupant('a', 0, 1), occupant('b', 4, 5))
        self.assertEqual((0, []), (plan.moved, list(plan.order)))

    def test_a_pcpu_that_somebody_else_holds_is_left(self):
        plan = make(occupant('a', 0, 4), taken={1: 'x', 2: 'x', 5: 'x'})
        (pins,) = plan.pins.values()
        self.assertFalse({1, 2, 5} & set(pins.values()))
        self.assertEqual({'a': 1}, spans(plan))

    def test_without_a_configuration_only_held_pcpus_are_exchanged(self):
        plan = make(occupant('a', 0, 4), occupant('b', 1, 5), dedicated=None)
        held = {cpu for pins in plan.pins.values() for cpu in pins.values()}
        self.assertEqual({0, 1, 4, 5}, held)
        self.assertEqual({'a': 1, 'b': 1}, spans(plan))

    def test_a_guest_beyond_the_dedicated_ones_is_a_wall(self):
        plan = make(
            occupant('a', 0, 4), occupant('b', 1, 5), dedicated=ALL - {0}
        )
        self.assertIn('dedicates', plan.occupants[0].why)
        self.assertEqual({0: 0, 1: 4}, plan.pins['a'])

    def test_two_guests_on_one_pcpu(self):
        error = self.assertRaises(
            Unsupported, make, occupant('a', 0), occupant('b', 0)
        )
        self.assertIn('pCPU 0', str(error))

    def test_an_unknown_layout(self):
        blind = FakeHost(cells=1, l3_per_cell=0, cores=8, threads=1)
        error = self.assertRaises(
            Unsupported,
            make,
            occupant('a', 0, 4),
            inventory=blind.inventory(),
        )
        self.assertIn('no L3 cache', str(error))

    def test_real_time_is_never_doubled(self):
        guests = (
            occupant('a', 0, 4, 1, 5, never_double=True),
            occupant('b', 2, 6, 3, 7),
        )
        plan = make(*guests)
        self.assertEqual(0, plan.doublings)
        self.assertIn('may not share', plan.occupants[0].why)
        # With a free pCPU it moves.
        plan = make(occupant('a', 0, 4, 1, 5, never_double=True))
        self.assertEqual((2, None), (plan.moved, plan.occupants[0].why))

    def test_a_strict_guest_never_spans_more(self):
        # 3 + 3 + 2 vCPUs in two domains of four: one has to be split.
        guests = [
            occupant('a', 0, 1, 2, strict=True),
            occupant('b', 3, 4, 5),
            occupant('c', 6, 7),
        ]
        plan = make(*guests)
        self.assertEqual(1, spans(plan)['a'])

    def test_kinds_of_core_are_not_mixed(self):
        hybrid = FakeHost(
            cells=1, l3_per_cell=2, cores=2, threads=1, small_cores=2
        ).inventory()
        big = [c.id for c in hybrid.cpus if c.capacity == 1024]
        small = [c.id for c in hybrid.cpus if c.capacity == 512]
        first = {cpu for cpu in big if hybrid.cpu[cpu].l3 == hybrid.l3[0]}
        plan = make(
            occupant('a', big[0], big[2]),
            occupant('b', big[1], big[3]),
            occupant('c', *small),
            inventory=hybrid,
            dedicated=hybrid.online,
        )
        for guest in ('a', 'b'):
            self.assertEqual(set(), set(plan.pins[guest].values()) - set(big))
        self.assertIn(first, [set(p.values()) for p in plan.pins.values()])

    def test_an_isolated_guest_moves_with_its_idle_siblings(self):
        smt = FakeHost(
            cells=1, l3_per_cell=2, cores=2, threads=2, numbering='adjacent'
        ).inventory()
        plan = make(
            occupant('a', 0, 4, isolated=True, idle=frozenset({1, 5})),
            occupant('b', 2, 6, isolated=True, idle=frozenset({3, 7})),
            inventory=smt,
            dedicated=smt.online,
        )
        self.assertEqual({'a': 1, 'b': 1}, spans(plan, smt))
        cores = [
            smt.cpu[cpu].core
            for pins in plan.pins.values()
            for cpu in pins.values()
        ]
        self.assertEqual(4, len(set(cores)))

    def test_four_threads_a_core(self):
        smt = FakeHost(
            cells=1, l3_per_cell=2, cores=2, threads=4, numbering='adjacent'
        ).inventory()
        plan = make(
            occupant('a', 0, 1, 2, 3, 8, 9, 10, 11),
            occupant('b', 4, 5, 6, 7, 12, 13, 14, 15),
            inventory=smt,
            dedicated=smt.online,
        )
        self.assertEqual({'a': 1, 'b': 1}, spans(plan, smt))
        self.assertEqual(8, plan.moved)

    def test_a_budget(self):
        guests = [occupant('a', 0, 4, 1, 5), occupant('b', 2, 6, 3, 7)]
        self.assertEqual(0, make(*guests, budget=0.0).moved)
        self.assertEqual(4, make(*guests, budget=0.5).moved)


def record(text, live=True, vcpus=None):
    name = text.partition('<name>')[2].partition('<')[0]
    return Record(
        name,
        scattered_guests.identity(name),
        text,
        text if live else None,
        vcpus or {},
    )


class OccupantTest(testtools.TestCase):
    def why(self, text, vcpus=None, **choice):
        found = occupants.read(
            [record(text, vcpus=vcpus)], HOST, Choice(untuned=True, **choice)
        )
        return found[0].why

    def test_pinned_one_to_one(self):
        self.assertIsNone(self.why(scattered_guests.xml('a', 0, 4)))

    def test_who_does_not_run_is_not_one(self):
        text = scattered_guests.xml('a', 0, 4)
        self.assertEqual(
            [], occupants.read([record(text, live=False)], HOST, Choice())
        )

    def test_why_one_stays(self):
        text = scattered_guests.xml('a', 0, 4)
        self.assertIn('--keep', self.why(text, keep=frozenset({'a'})))
        self.assertIn('--guests', self.why(text, guests=frozenset({'b'})))
        uuid = scattered_guests.identity('a')
        self.assertIn('migrated', self.why(text, busy=frozenset({uuid})))
        moved = {0: frozenset({0}), 1: frozenset({5})}
        self.assertIn('runs on pCPU 5', self.why(text, moved))
        for tag, word in (
            ("<cachetune vcpus='0'/>", 'cachetune'),
            ("<memorytune vcpus='0'/>", 'memorytune'),
        ):
            self.assertIn(
                word, self.why(scattered_guests.xml('a', 0, 4, more=tag))
            )
        wide = text.replace("cpuset='4'", "cpuset='4-5'")
        self.assertIn('one to one', self.why(wide))

    def test_an_untuned_one_has_to_be_asked_for(self):
        found = occupants.read(
            [record(scattered_guests.xml('a', 0, 4))], HOST, Choice()
        )
        self.assertIn('never tuned', found[0].why)

    def test_a_real_time_scheduler(self):
        tag = "    <vcpusched vcpus='0' scheduler='fifo' priority='1'/>\n"
        text = scattered_guests.xml('a', 0, 4, more=tag)
        (found,) = occupants.read([record(text)], HOST, Choice(untuned=True))
        self.assertTrue(found.never_double)


class PlacedTest(testtools.TestCase):
    """Guests of which Nova has recorded where they are."""

    def placed(self, text=None, pins=None, policy=None, **more):
        live = None if text is None else domain.look(text)
        return occupants.placed(
            'a', pins or {0: 0, 1: 4}, policy, HOST, live, **more
        )

    def test_nova_s_record_counts(self):
        found = self.placed(scattered_guests.xml('a', 0, 4))
        self.assertIsNone(found.why)
        self.assertEqual({0: 0, 1: 4}, found.pins)
        self.assertFalse(found.never_double or found.isolated or found.strict)

    def test_why_one_stays(self):
        for text, more, why in (
            (None, {}, 'it has no domain that can be read'),
            (scattered_guests.xml('a', 0, 5), {}, 'vCPU 1 is pinned to 5, '),
            (scattered_guests.xml('a', 0), {}, 'vCPU 1 is pinned to no pCPU'),
            (
                scattered_guests.xml(
                    'a', 0, 4, more="<cachetune vcpus='0'/>\n"
                ),
                {},
                '<cachetune>',
            ),
            (
                scattered_guests.xml('a', 0, 5),
                {'why': 'it is suspended'},
                'it is suspended',
            ),
        ):
            self.assertStartsWith(self.placed(text, **more).why, why)

    def assertStartsWith(self, text, start):
        self.assertEqual(start, (text or '')[: len(start)])

    def test_isolated_threads_keep_their_siblings_idle(self):
        smt = FakeHost(
            cells=1, l3_per_cell=2, cores=2, threads=2, numbering='adjacent'
        ).inventory()
        found = occupants.placed(
            'a',
            {0: 0, 1: 4},
            'isolate',
            smt,
            domain.look(scattered_guests.xml('a', 0, 4)),
        )
        self.assertTrue(found.isolated)
        self.assertEqual({1, 5}, found.idle)
