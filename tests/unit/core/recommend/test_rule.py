"""How a host is divided between itself and its guests."""

import testtools

from kvm_tuning.core import cpuset
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.recommend import rule
from tests.fixtures.fake_host import FakeHost, FakePf

GIB_KIB = 1024 * 1024


def recommend(host, *held):
    claims = tuple(
        Claim(f'u{n}', f'g{n}', frozenset(pcpus))
        for n, pcpus in enumerate(held)
    )
    return rule.recommend(host.inventory(), Ledger(claims))


class CoresTest(testtools.TestCase):
    def test_one_core_of_each_l3_domain(self):
        host = FakeHost(
            cells=1, l3_per_cell=2, cores=4, threads=2, numbering='adjacent'
        )
        made = recommend(host)
        self.assertEqual({0, 1, 8, 9}, made.housekeeping)
        self.assertEqual(set(range(16)) - {0, 1, 8, 9}, made.dedicated)

    def test_thread_siblings_stay_together(self):
        host = FakeHost(cells=2, l3_per_cell=1, cores=8, threads=2)
        made = recommend(host)
        for core in host.inventory().cores:
            self.assertIn(len(core & made.housekeeping), (0, len(core)))

    def test_small_l3_domains_give_one_core_a_cell(self):
        host = FakeHost(
            cells=2, l3_per_cell=4, cores=2, threads=1, numbering='adjacent'
        )
        self.assertEqual({0, 8}, recommend(host).housekeeping)

    def test_small_cells_give_nothing_but_the_first_core(self):
        host = FakeHost(
            cells=2, l3_per_cell=1, cores=2, threads=1, numbering='adjacent'
        )
        self.assertEqual({0}, recommend(host).housekeeping)

    def test_a_cell_with_pfs_gives_one_more(self):
        host = FakeHost(
            cells=2, l3_per_cell=1, cores=8, threads=1, numbering='adjacent',
            pfs=(FakePf('eth0', 1, vfs=4),),
        )  # fmt: skip
        made = recommend(host)
        self.assertEqual({0, 8, 9}, made.housekeeping)
        self.assertIn('cell 1 has PFs', str(made.reasons))

    def test_a_small_cell_with_pfs_gives_no_more(self):
        host = FakeHost(
            cells=2, l3_per_cell=1, cores=4, threads=1, numbering='adjacent',
            pfs=(FakePf('eth0', 1, vfs=4),),
        )  # fmt: skip
        self.assertEqual({0, 4}, recommend(host).housekeeping)

    def test_a_core_of_a_running_guest_is_left_to_it(self):
        host = FakeHost(
            cells=1, l3_per_cell=2, cores=4, threads=1, numbering='adjacent'
        )
        made = recommend(host, {4, 5})
        self.assertEqual({0, 6}, made.housekeeping)
        self.assertEqual((), made.notes)

    def test_guests_that_hold_a_whole_domain_are_named(self):
        host = FakeHost(
            cells=1, l3_per_cell=2, cores=4, threads=1, numbering='adjacent'
        )
        made = recommend(host, {4, 5, 6, 7})
        self.assertEqual({0}, made.housekeeping)
        self.assertIn('running guests hold every core of 4-7', made.notes[0])

    def test_a_guest_on_the_first_core_is_named(self):
        host = FakeHost(cells=1, l3_per_cell=1, cores=4, threads=1)
        made = recommend(host, {0})
        self.assertIn(0, made.housekeeping)
        self.assertIn('move it away', made.notes[0])

    def test_a_host_of_one_core_dedicates_nothing(self):
        made = recommend(FakeHost(cells=1, l3_per_cell=1, cores=1, threads=2))
        self.assertEqual(set(), made.dedicated)
        self.assertIn('too small', made.notes[0])

    def test_nothing_is_lost_and_nothing_twice(self):
        for cells in (1, 2, 4):
            for cores in (1, 2, 4, 6, 8):
                for threads in (1, 2, 4):
                    host = FakeHost(
                        cells=cells, l3_per_cell=2, cores=cores,
                        threads=threads,
                    )  # fmt: skip
                    made = recommend(host)
                    online = host.inventory().online
                    self.assertEqual(
                        online, made.housekeeping | made.dedicated
                    )
                    self.assertFalse(made.housekeeping & made.dedicated)
                    self.assertIn(min(online), made.housekeeping)
                    if made.dedicated:
                        self.assertTrue(cpuset.format(made.dedicated))


class PagesTest(testtools.TestCase):
    def cells(self, host):
        return recommend(host).huge_pages

    def test_all_but_the_reserve(self):
        host = FakeHost(cells=1, huge_pages={2048: 0}, memory_gib=100)
        (cell,) = host.inventory().cells
        reserve = max(rule.RESERVE_KIB, int(cell.memory_bytes // 1024 * 0.10))
        most = (cell.memory_bytes // 1024 - reserve) // 2048
        free = (cell.free_memory_bytes // 1024 - reserve) // 2048
        self.assertEqual({0: min(most, free)}, self.cells(host))

    def test_memory_in_pages_of_another_size_is_not_given_twice(self):
        plain = FakeHost(cells=1, huge_pages={2048: 0}, memory_gib=100)
        mixed = FakeHost(
            cells=1, huge_pages={2048: 0, 1048576: (60, 60)}, memory_gib=100
        )
        self.assertLessEqual(
            self.cells(mixed)[0], self.cells(plain)[0] - 60 * 512
        )
        # More of them could not be made at boot either.
        self.assertIn('all but', str(recommend(mixed).reasons))

    def test_never_fewer_than_there_are(self):
        host = FakeHost(cells=1, huge_pages={2048: 511}, memory_gib=1)
        made = recommend(host)
        self.assertEqual({0: 511}, made.huge_pages)
        self.assertIn('as many as there are', str(made.reasons))

    def test_no_pages_of_that_size(self):
        self.assertEqual({}, self.cells(FakeHost(cells=1, huge_pages={})))
