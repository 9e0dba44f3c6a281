import testtools

from kvm_tuning.core import domain
from kvm_tuning.core.healing import rewrite
from tests.fixtures import scattered_guests

MAPPED = {0: 2, 4: 3}


class CpusTest(testtools.TestCase):
    def test_a_pin_to_the_guests_own_pcpus_follows(self):
        self.assertEqual({2, 3}, rewrite.cpus(frozenset({0, 4}), MAPPED))
        self.assertEqual({2}, rewrite.cpus(frozenset({0}), MAPPED))

    def test_what_else_it_has_stays(self):
        self.assertEqual({2, 3, 9}, rewrite.cpus(frozenset({0, 4, 9}), MAPPED))
        self.assertEqual({8, 9}, rewrite.cpus(frozenset({8, 9}), MAPPED))

    def test_a_range_stays(self):
        for wide in (
            frozenset(range(8)),
            frozenset({2, 3}),
            frozenset({0, 3}),
        ):
            self.assertEqual(wide, rewrite.cpus(wide, MAPPED))

    def test_back_again(self):
        back = {new: old for old, new in MAPPED.items()}
        for cpus in ({0, 4}, {0, 4, 9}, {8}, set(range(8))):
            there = rewrite.cpus(frozenset(cpus), MAPPED)
            self.assertEqual(cpus, rewrite.cpus(there, back))


class DefinitionTest(testtools.TestCase):
    def test_all_that_pins(self):
        more = (
            "    <emulatorpin cpuset='0,4'/>\n"
            "    <iothreadpin iothread='1' cpuset='4'/>\n"
        )
        text = scattered_guests.xml('g', 0, 4, more=more).replace(
            "<vcpu placement='static'>", "<vcpu cpuset='0,4'>"
        )
        found = domain.read(rewrite.definition(domain.read(text), MAPPED))
        guest = found.current
        self.assertEqual({0: {2}, 1: {3}}, guest.pins)
        self.assertEqual({2, 3}, guest.emulator_pin)
        self.assertEqual({1: {3}}, guest.iothread_pins)
        self.assertEqual({2, 3}, guest.cpuset)
        self.assertEqual({2, 3}, found.receipt.claim.pcpus)
        self.assertEqual(text, domain.undo(found))

    def test_a_receipt_is_added_only_where_it_is_wanted(self):
        found = domain.read(scattered_guests.xml('g', 0, 4))
        for add in (True, False):
            moved = domain.read(rewrite.definition(found, MAPPED, add))
            self.assertEqual({0: {2}, 1: {3}}, moved.current.pins)
            self.assertEqual(add, moved.receipt is not None)
