"""What a table counts."""

import testtools

from kvm_tuning.core.healing.table import Table


class SharedTest(testtools.TestCase):
    """Cores that two guests share, where threads are alone."""

    def shared(self, singles, blocks=0, cores=4, lone=0, threads=2):
        table = Table.__new__(Table)
        table.threads = threads
        table.cores, table.lone = [cores], [lone]
        table.singles = [[count] for count in singles]
        table.used_blocks = [blocks]
        return table.shared_in(0)

    def test_pairs_of_one_guest_share_with_nobody(self):
        self.assertEqual(0, self.shared([2, 2, 2, 2]))
        self.assertEqual(1, self.shared([2, 2, 2, 2, 2]))

    def test_an_odd_thread_shares_a_core_where_none_is_left(self):
        self.assertEqual(0, self.shared([1, 1, 1, 1]))
        self.assertEqual(1, self.shared([1, 1, 1, 1, 1]))
        self.assertEqual(1, self.shared([3, 3, 1]))
        self.assertEqual(0, self.shared([3, 3]))

    def test_lone_threads_take_odd_ones(self):
        self.assertEqual(0, self.shared([1, 1, 1, 1, 1], lone=1))
        # They hold no pair
        self.assertEqual(1, self.shared([2, 2, 2, 2, 2], lone=2))

    def test_blocks_take_cores(self):
        self.assertEqual(0, self.shared([1, 1], blocks=2))
        self.assertEqual(1, self.shared([1, 1], blocks=3))

    def test_of_two_threads_alone(self):
        self.assertEqual(0, self.shared([1] * 9, threads=1))
        self.assertEqual(0, self.shared([1] * 9, threads=4))
