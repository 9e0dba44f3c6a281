"""What an apply leaves when something other than a setting fails."""

import errno
import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength

from kvm_tuning.core.exceptions import InventoryUnreadable, JournalFailed
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import apply, journal, status, undo
from kvm_tuning.host.prep.goals import sysfs
from kvm_tuning.host.prep.groups import huge_pages
from kvm_tuning.host.prep.kinds import kind as kinds
from kvm_tuning.host.prep.kinds import table
from tests.fixtures import killed, prepared
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

_PROACTIVENESS = 'proc/sys/vm/compaction_proactiveness'


class InterruptedTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        FakeHost(
            cells=1, l3_per_cell=0, cores=1, threads=1, huge_pages={2048: 10}
        ).write(self.root)
        self.kernel = FakeKernel(self.root)
        add_memory_files(self.kernel)

    def goal(self, value='0', optional=False):
        return sysfs(
            'compaction',
            _PROACTIVENESS,
            self.kernel.get(_PROACTIVENESS),
            value,
            'for the test',
            optional=optional,
        )

    def unreadable(self):
        """Make the setting one that cannot be read any more."""

        def read(self, host, name):
            raise InventoryUnreadable(f'{name} cannot be read: no')

        self.patch(kinds.Sysfs, 'read', read)


class TestShortfall(InterruptedTest):
    def setUp(self):
        super().setUp()
        self.kernel.pages = {'node0': 20}
        wanted = huge_pages.Wanted({(0, 2048): 64})
        items = list(
            huge_pages.plan(wanted, huge_pages.read(Host(Tree(self.root))))
        )
        prepared.apply(self.kernel, items, keep_going=True)

    def test_no_longer_wanted(self):
        host = Host(Tree(self.root))
        (row,) = status.rows(host, table.KINDS, journal.load(host.tree), [])
        self.assertThat(row.state, Equals(status.DROPPED))
        self.assertThat(row.remark, Contains("the kernel gave only '20'"))
        self.assertThat(row.remark, Contains("it was '10' before"))

    def test_waits_for_undo_as_all_that_is_dropped(self):
        plan = prepared.plan(self.kernel, [])
        self.assertThat(plan.mends, Equals(()))
        self.assertThat(plan.dropped, HasLength(1))
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed, Equals([]))
        self.assertThat(len(journal.load(Tree(self.root))), Equals(0))


class TestJournal(InterruptedTest):
    def test_leftover_that_cannot_be_removed(self):
        home = f'{self.root}/{os.path.dirname(journal.PATH)}'
        os.makedirs(home)
        with open(f'{home}/.journal.json.kvm-tuning-new', 'w') as stream:
            stream.write('{')

        def remove(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        self.patch(self.kernel, 'remove', remove)
        context = prepared.context(self.kernel)
        plan = prepared.plan(self.kernel, [self.goal()])
        for act in (
            lambda: apply.apply(context, plan),
            lambda: apply.resume(context),
            lambda: undo.undo(context),
        ):
            error = self.assertRaises(JournalFailed, act)
            self.assertThat(str(error), Contains('nothing is changed'))
            self.assertThat(str(error), Contains('Read-only file system'))
        self.assertThat(self.kernel.get(_PROACTIVENESS), Equals('20'))


class TestUnreadable(InterruptedTest):
    def test_undo_is_planned(self):
        prepared.apply(self.kernel, [self.goal()])
        self.unreadable()
        (step,) = undo.plan(prepared.context(self.kernel))
        self.assertThat(step.action, Equals('refuse'))
        self.assertThat(step.reason, Contains('cannot be read'))

    def test_optional_one_after_it_was_refused(self):
        goal = self.goal('101', optional=True)
        write = kinds.Sysfs.write

        def written(kind, *words):
            self.unreadable()
            write(kind, *words)

        self.patch(kinds.Sysfs, 'write', written)
        done = prepared.apply(self.kernel, [goal])
        self.assertThat(done.failed, HasLength(1))
        self.assertThat(done.failed[0], Contains('cannot be read'))
        (entry,) = journal.load(Tree(self.root))
        self.assertThat(entry.open, Equals(True))
