"""The ready gate, beyond settings that are as wanted or are not."""

import fixtures
import testtools
from testtools.matchers import Contains, Equals

from kvm_tuning.host import configuration, ready
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal, status
from kvm_tuning.host.prep.goals import Unseen
from kvm_tuning.host.prep.kinds import table
from tests.fixtures import killed, prepared, whole_host

_UNSEEN = Unseen('iommu', '/boot', 'it is not there', 'iommu=pt', 'not yet')


class TestReadyNeeds(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path

    def check(self, text):
        whole_host.build(self.root, text)
        return ready.check(self.root, configuration.load(self.root))

    def test_an_empty_configuration_is_ready(self):
        self.assertThat(self.check(''), Equals(()))

    def test_a_group_that_is_named_must_be_configured(self):
        (reason,) = self.check('[host_prep]\nready_needs = ksm\n')
        self.assertThat(reason, Contains('[ksm] nothing of this group'))

    def test_one_that_is_configured_is_judged(self):
        (reason,) = self.check(
            '[host_prep]\nready_needs = compaction\n'
            '[compaction]\nproactiveness = 0\n'
        )
        self.assertThat(reason, Contains("'20', not '0'"))


class TestUnseen(testtools.TestCase):
    """A row of what cannot be seen."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.kernel = whole_host.build(self.root, '')

    def row(self):
        host = Host(Tree(self.root))
        (row,) = status.rows(
            host, table.KINDS, journal.load(host.tree), [_UNSEEN]
        )
        return row

    def test_it_has_a_row_that_drifts(self):
        row = self.row()
        self.assertThat(
            (row.state, row.drifted, row.remark, row.running),
            Equals(('unseen', True, 'it is not there', 'not yet')),
        )

    def test_the_plan_has_it(self):
        made = prepared.plan(self.kernel, [_UNSEEN])
        self.assertThat(made.unseen, Equals((_UNSEEN,)))

    def test_it_stops_nothing(self):
        done = prepared.apply(self.kernel, [_UNSEEN])
        self.assertThat((done.failed, done.refused), Equals(([], [])))
        self.assertThat(done.notes, Equals([str(_UNSEEN)]))

    def test_status_says_what_ready_ignores(self):
        for words in (('unseen',), ('iommu',)):
            (row,) = status.ignored([self.row()], words)
            self.assertThat(row.remark, Contains('the ready gate ignores it'))
        (row,) = status.ignored([self.row()], ('ksm',))
        self.assertThat(row, Equals(self.row()))
