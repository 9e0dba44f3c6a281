"""KSM, THP, compaction and huge pages, planned and made on a tree."""

from dataclasses import replace
import errno
import os

import fixtures
import testtools
from testtools.matchers import (
    Contains,
    Equals,
    HasLength,
    Is,
    MatchesAll,
    MatchesRegex,
)

from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access.sysfs import LARGE_BYTES, MAX_BYTES, Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import apply, journal, status
from kvm_tuning.host.prep.goals import Note, Refusal
from kvm_tuning.host.prep.groups import (
    compaction,
    huge_pages,
    ksm,
    transparent_huge_pages,
)
from kvm_tuning.host.prep.kinds import table
from tests.fixtures import killed, prepared
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

_THP = transparent_huge_pages
_PAGES = FakeHost(
    huge_pages={2048: (100, 50), 1048576: 0}, used_pages={(0, 2048): 30}
)


class TreeTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        _PAGES.write(self.root)
        self.kernel = FakeKernel(self.root)
        add_memory_files(self.kernel)

    def host(self) -> Host:
        return Host(Tree(self.root))

    def ksm(self, run=None, merge=None):
        wanted = ksm.Wanted(run, merge)
        return list(ksm.plan(wanted, ksm.read(self.host())))

    def thp(self, **wanted):
        state = _THP.read(self.host())
        return list(_THP.plan(_THP.Wanted(**wanted), state))

    def pages(self, pages, **more):
        wanted = huge_pages.Wanted(pages, **more)
        return list(huge_pages.plan(wanted, huge_pages.read(self.host())))


class TestKsm(TreeTest):
    def test_nothing_wanted_nothing_planned(self):
        self.assertThat(self.ksm(), Equals([]))

    def test_on_and_back_to_the_byte(self):
        before = prepared.snapshot(self.root)
        done = prepared.apply(self.kernel, self.ksm(run=True))
        self.assertThat(done.changed, Equals(['KSM run']))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('1'))
        prepared.take_back(self.kernel)
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )

    def test_second_apply_writes_nothing(self):
        prepared.apply(self.kernel, self.ksm(run=True, merge=False))
        self.kernel.log.clear()
        done = prepared.apply(self.kernel, self.ksm(run=True, merge=False))
        self.assertThat(done.changed, Equals([]))
        self.assertThat(self.kernel.log, Equals([]))

    def test_merge_across_nodes_parts_pages_first(self):
        add_memory_files(self.kernel, ksm='1', shared=500)
        done = prepared.apply(self.kernel, self.ksm(merge=False))
        self.assertThat(done.failed, Equals([]))
        self.assertThat(self.kernel.get(ksm.MERGE), Equals('0'))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('1'))
        self.assertThat(
            [p for p in self.kernel.log if p.startswith('write ')],
            Equals(
                [f'write {ksm.RUN}', f'write {ksm.MERGE}', f'write {ksm.RUN}']
            ),
        )
        # Only what differs from before is left to undo.
        entries = list(journal.load(Tree(self.root)))
        self.assertThat([e.name for e in entries], Equals([ksm.MERGE]))

    def test_off_parts_pages(self):
        add_memory_files(self.kernel, ksm='1', shared=500)
        prepared.apply(self.kernel, self.ksm(run=False))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('0'))
        self.assertThat(
            self.kernel.get(f'{ksm.DIRECTORY}/pages_shared'), Equals('0')
        )

    def test_off_parts_what_another_has_left_merged(self):
        add_memory_files(self.kernel, ksm='0', shared=500)
        prepared.apply(self.kernel, self.ksm(run=False))
        self.assertThat(
            self.kernel.get(f'{ksm.DIRECTORY}/pages_shared'), Equals('0')
        )
        self.kernel.log.clear()
        prepared.apply(self.kernel, self.ksm(run=False))
        self.assertThat(self.kernel.log, Equals([]))

    def test_refused_without_memory_to_part_pages(self):
        add_memory_files(self.kernel, ksm='1', shared=500, available_kib=9599)
        # 2000 pages of 4 KiB and a fifth more.
        for items in (self.ksm(run=False), self.ksm(merge=False)):
            plan = prepared.plan(self.kernel, items)
            self.assertThat(plan.refusals, HasLength(1))
            self.assertThat(
                str(plan.refusals[0]),
                MatchesAll(Contains('9600 KiB'), Contains('9599 KiB')),
            )
            self.kernel.log.clear()
            prepared.apply(self.kernel, items)
            self.assertThat(self.kernel.log, Equals([]))

    def test_undo_parts_pages_too(self):
        add_memory_files(self.kernel, ksm='1')
        prepared.apply(self.kernel, self.ksm(merge=False))
        self.kernel.put(f'{ksm.DIRECTORY}/pages_shared', 7)
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed, Equals([]))
        self.assertThat(self.kernel.get(ksm.MERGE), Equals('1'))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('1'))

    def test_kernel_without_ksm(self):
        for name in os.listdir(f'{self.root}/{ksm.DIRECTORY}'):
            os.unlink(f'{self.root}/{ksm.DIRECTORY}/{name}')
        (item,) = self.ksm(run=True)
        self.assertThat(item, Equals(Note('ksm', item.text)))
        self.assertThat(item.text, Contains('n/a'))


class TestTransparentHugePages(TreeTest):
    def test_made_and_undone(self):
        before = prepared.snapshot(self.root)
        items = self.thp(enabled='always', defrag='defer+madvise')
        prepared.apply(self.kernel, items)
        self.assertThat(
            self.kernel.get(f'{_THP.DIRECTORY}/enabled'),
            Equals('[always] madvise never'),
        )
        prepared.take_back(self.kernel)
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )

    def test_only_new_guests(self):
        (goal,) = self.thp(enabled='always')
        self.assertThat(goal.when.value, Contains('guests that start later'))

    def test_unknown_word_names_the_known(self):
        (item,) = self.thp(enabled='often')
        self.assertIsInstance(item, Refusal)
        self.assertThat(str(item), Contains('always, madvise, never'))

    def test_command_line_is_told(self):
        self.kernel.put(
            'proc/cmdline',
            'transparent_hugepage=always quiet transparent-hugepage=never',
        )
        _goal, note = self.thp(enabled='always')
        self.assertThat(note.text, Contains('transparent_hugepage=never'))

    def test_own_mode_of_a_size_is_told(self):
        self.kernel.put(
            f'{_THP.DIRECTORY}/hugepages-2048kB/enabled',
            'always inherit madvise [never]',
        )
        _goal, note = self.thp(enabled='always')
        self.assertThat(note.text, Contains('2048 KiB'))


class TestCompaction(TreeTest):
    def plan(self, value):
        state = compaction.read(self.host())
        return list(compaction.plan(compaction.Wanted(value), state))

    def test_old_kernel_has_none(self):
        os.unlink(f'{self.root}/{compaction.PATH}')
        (item,) = self.plan(0)
        self.assertIsInstance(item, Note)

    def test_refused_value_is_told_and_nothing_stands(self):
        before = prepared.snapshot(self.root)
        items = [*self.ksm(run=True), *self.plan(101)]
        done = prepared.apply(self.kernel, items)
        self.assertThat(done.failed[0], MatchesRegex('.*EINVAL.*'))
        self.assertThat(done.taken_back, Contains('KSM run'))
        self.assertThat(done.changed, Equals([]))
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )

    def test_keep_going_keeps_the_rest(self):
        items = [*self.plan(101), *self.ksm(run=True)]
        done = prepared.apply(self.kernel, items, keep_going=True)
        self.assertThat(done.failed, HasLength(1))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('1'))


class TestHugePages(TreeTest):
    def test_large_pages_first(self):
        goals = self.pages({(0, 2048): 200, (1, 1048576): 2})
        self.assertThat(goals[0].setting.name, Contains('1048576kB'))

    def test_made_per_cell(self):
        prepared.apply(self.kernel, self.pages({(1, 2048): 64}))
        self.assertThat(
            self.kernel.get(huge_pages.path(1, 2048)), Equals('64')
        )
        self.assertThat(
            self.kernel.get(huge_pages.path(0, 2048)), Equals('100')
        )

    def test_shortfall_names_cell_and_counts(self):
        self.kernel.pages = {'node0': 150}
        done = prepared.apply(self.kernel, self.pages({(0, 2048): 200}))
        self.assertThat(
            done.failed[0],
            MatchesAll(
                Contains('2048 KiB in cell 0'),
                Contains("wrote '200', read back '150'"),
            ),
        )
        # Taken back: nothing of it stands.
        self.assertThat(
            self.kernel.get(huge_pages.path(0, 2048)), Equals('100')
        )
        self.assertThat(len(journal.load(Tree(self.root))), Equals(0))

    def test_shortfall_kept_and_undone(self):
        self.kernel.pages = {'node0': 150}
        items = self.pages({(0, 2048): 200})
        prepared.apply(self.kernel, items, keep_going=True)
        self.assertThat(
            self.kernel.get(huge_pages.path(0, 2048)), Equals('150')
        )
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed, Equals([]))
        self.assertThat(
            self.kernel.get(huge_pages.path(0, 2048)), Equals('100')
        )

    def test_shortfall_is_no_interruption(self):
        self.kernel.pages = {'node0': 150}
        items = self.pages({(0, 2048): 200})
        prepared.apply(self.kernel, items, keep_going=True)
        (row,) = status.rows(
            self.host(),
            table.KINDS,
            journal.load(Tree(self.root)),
            self.pages({(0, 2048): 200}),
        )
        self.assertThat(
            (row.state, row.remark),
            Equals((status.DRIFT, "the kernel gave only '150'")),
        )

    def test_pages_in_use_cannot_go(self):
        (item,) = self.pages({(0, 2048): 29})
        self.assertThat(str(item), Contains('30 pages are in use'))

    def test_unknown_size_and_cell(self):
        sizes, cell = self.pages({(0, 64): 1, (7, 2048): 1})[::-1]
        self.assertThat(str(sizes), Contains('2048 KiB, 1048576 KiB'))
        self.assertThat(
            str(cell), Contains('does not have this cell; it has 0, 1')
        )

    def test_arguments_name_cells_where_the_kernel_can(self):
        wanted = {(0, 1048576): 2, (1, 1048576): 1}
        items = self.pages(wanted, kernel_arguments=True)
        self.assertThat(
            str(items[-1]), Equals('hugepagesz=1G hugepages=0:2,1:1')
        )
        self.kernel.put('proc/sys/kernel/osrelease', '5.14.0-503.el9')
        items = self.pages(wanted, kernel_arguments=True)
        self.assertThat(str(items[-1]), Equals('hugepagesz=1G hugepages=3'))


class TestForeignChanges(TreeTest):
    def test_undo_leaves_what_somebody_else_has_changed(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        self.kernel.put(ksm.RUN, 2)
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed[0], Contains('something else'))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('2'))

    def test_apply_takes_over_and_undo_gives_back_the_newer(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        self.kernel.put(ksm.RUN, 2)
        plan = prepared.plan(self.kernel, self.ksm(run=True))
        self.assertThat(plan.changes[0].overruled, Equals('1'))
        prepared.apply(self.kernel, self.ksm(run=True))
        prepared.take_back(self.kernel)
        self.assertThat(self.kernel.get(ksm.RUN), Equals('2'))

    def test_what_was_right_already_is_never_undone(self):
        self.kernel.put(ksm.RUN, 1)
        prepared.apply(self.kernel, self.ksm(run=True))
        self.assertThat(len(journal.load(Tree(self.root))), Equals(0))
        prepared.take_back(self.kernel)
        self.assertThat(self.kernel.get(ksm.RUN), Equals('1'))

    def test_a_reboot_forgets(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        self.kernel.put(ksm.RUN, 0)
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed, Equals([]))
        self.assertThat(len(journal.load(Tree(self.root))), Equals(0))

    def test_after_a_reboot_apply_makes_it_again(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        self.kernel.put(ksm.RUN, 0)
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        plan = prepared.plan(self.kernel, self.ksm(run=True))
        self.assertThat(plan.changes[0].overruled, Is(None))
        prepared.apply(self.kernel, self.ksm(run=True))
        prepared.take_back(self.kernel)
        self.assertThat(self.kernel.get(ksm.RUN), Equals('0'))


class TestJournal(TreeTest):
    def test_mode_and_content(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        path = f'{self.root}/{journal.PATH}'
        self.assertThat(os.stat(path).st_mode & 0o777, Equals(0o600))
        (entry,) = journal.load(Tree(self.root))
        self.assertThat(
            (entry.before, entry.wanted, entry.got, entry.boot, entry.place),
            Equals(('0', '1', '1', 'boot-1', 'kvm-tuning-host-prep.service')),
        )

    def test_of_thousands_of_interrupts(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        record = journal.load(Tree(self.root))
        (entry,) = record
        for number in range(2000):
            record.put(replace(entry, name=f'proc/irq/{number}/x'))
        record.save(self.kernel)
        self.assertThat(len(journal.load(Tree(self.root))), Equals(2000 + 1))
        prepared.context(self.kernel).system.tidy(journal.PATH)

    def test_too_long_to_be_read_again_is_not_written(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        context = prepared.context(self.kernel)
        (entry,) = context.journal
        context.journal.put(replace(entry, title='x' * LARGE_BYTES))
        self.assertRaises(JournalFailed, context.save)
        self.assertThat(len(journal.load(Tree(self.root))), Equals(1))

    def fails(self, save):
        """Let the disk be full from this write of the journal on."""
        kept, saves = self.kernel.replace, []

        def replace_file(path, text, mode=0o644):
            saves.append(path)
            if len(saves) >= save:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            kept(path, text, mode=mode)

        self.patch(self.kernel, 'replace', replace_file)

    def test_full_at_once_changes_nothing(self):
        self.fails(1)
        error = self.assertRaises(
            JournalFailed, prepared.apply, self.kernel, self.ksm(run=True)
        )
        self.assertThat(str(error), Contains('so nothing is changed'))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('0'))

    def test_full_in_the_middle_tells_what_stands(self):
        before = self.kernel.get(f'{_THP.DIRECTORY}/enabled')
        items = [*self.ksm(run=True), *self.thp(enabled='always')]
        for save, stands in ((2, 'KSM run.'), (3, 'KSM run.')):
            self.fails(save)
            (text,) = prepared.apply(self.kernel, items).failed
            self.assertThat(text, Contains('nothing more is changed'))
            self.assertThat(text, Contains(f'that remain: {stands}'))
            self.assertThat(self.kernel.get(ksm.RUN), Equals('1'))
            self.kernel = FakeKernel(self.root)
            self.assertThat(prepared.take_back(self.kernel).failed, Equals([]))
            self.assertThat(self.kernel.get(ksm.RUN), Equals('0'))
            self.assertThat(
                self.kernel.get(f'{_THP.DIRECTORY}/enabled'), Equals(before)
            )

    def test_unreadable_is_taken_back(self):
        items = [*self.ksm(run=True), *self.thp(enabled='always')]
        planned = prepared.plan(self.kernel, items)
        self.kernel.put(f'{_THP.DIRECTORY}/enabled', 'x' * MAX_BYTES)
        done = apply.apply(prepared.context(self.kernel), planned)
        self.assertThat(done.failed, HasLength(1))
        self.assertThat(done.taken_back, Equals(['KSM run']))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('0'))

    def test_is_on_disk_before_the_write(self):
        prepared.apply(self.kernel, self.ksm(run=True))
        log = self.kernel.log
        self.assertThat(
            log.index(f'wrote {journal.PATH}') < log.index(f'write {ksm.RUN}'),
            Is(True),
        )

    def test_link_in_the_way_is_not_followed(self):
        os.makedirs(f'{self.root}/var/lib/kvm-tuning')
        outside = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        target = f'{outside}/target'
        os.symlink(target, f'{self.root}/{journal.PATH}')
        self.assertRaises(
            JournalFailed, prepared.apply, self.kernel, self.ksm(run=True)
        )
        self.assertThat(os.path.exists(target), Is(False))
        self.assertThat(self.kernel.get(ksm.RUN), Equals('0'))

    def test_linked_directory_is_not_followed(self):
        outside = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        os.makedirs(f'{self.root}/var')
        os.symlink(outside, f'{self.root}/var/lib')
        self.assertRaises(
            JournalFailed, prepared.apply, self.kernel, self.ksm(run=True)
        )
        self.assertThat(os.listdir(outside), Equals([]))

    def test_garbage_is_refused(self):
        self.kernel.put(journal.PATH, '{"version": 2}')
        self.assertRaises(
            JournalFailed, prepared.apply, self.kernel, self.ksm(run=True)
        )
