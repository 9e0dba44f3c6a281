from kvm_tuning.adapters.healing import proposed
from tests.fixtures import scattered_guests
from tests.unit.adapters.healing import base


class ProposedTest(base.HealingTest):
    def propose(self, name):
        return proposed.propose(self.store, self.conf, name, self.root)

    def test_a_neighbour_moves_with_it(self):
        self.store.stop('c')
        (self.store.folder / 'c.xml').unlink()
        # Each L3 domain has three free pCPUs, but for b's.
        found = self.propose('a')
        self.assertEqual(('a', 'b'), found.guests)
        self.assertEqual((2, 1), (found.before, found.after))
        self.assertIn('host rebalance --guests a b', str(found))
        # What it proposes can be done.
        uuids = [self.store.record(name).uuid for name in 'ab']
        planned, _done = self.apply(guests=frozenset(uuids), untuned=False)
        self.assertEqual(found.moved, planned.plan.moved)

    def test_one_that_is_in_the_way(self):
        # c was never tuned and stays: four vCPUs find no place.
        self.assertIsNone(self.propose('a'))

    def test_one_that_is_where_it_belongs(self):
        self.apply()
        self.assertIsNone(self.propose('a'))

    def test_one_that_has_no_pcpu_of_its_own(self):
        self.store.add('d')
        self.store.run('d')
        self.assertIsNone(self.propose('d'))

    def test_a_host_that_cannot_be_healed(self):
        text = scattered_guests.xml('twice', 1)
        (self.store.folder / 'twice.xml').write_text(text)
        self.store.run('twice')
        self.assertIsNone(self.propose('a'))
