"""A write of the number of VFs that hangs, and a number that is not read."""

import time

import fixtures
from testtools.matchers import Contains, Equals, LessThan

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep import journal, status
from kvm_tuning.host.prep.goals import Terms
from kvm_tuning.host.prep.kinds import vf_count
from tests.fixtures import fake_cards, prepared
from tests.fixtures.fake_cards import ADDRESS, I350, PATH
from tests.fixtures.fake_host import FakePf
from tests.unit.host.prep.groups.sriov import test_ports

_TREE = 'kvm_tuning.host.access.sysfs.Tree'
_SECOND = 'sys/bus/pci/devices/0000:12:00.0/sriov_numvfs'


class TestHangs(test_ports.SriovTest):
    def test_a_driver_that_hangs(self):
        self.build(FakePf('eth0', **fake_cards.X710))
        self.kernel.hangs = (ADDRESS,)
        start = time.monotonic()
        done = self.apply(Terms(write_timeout=0.2), vfs={'eth0': 4})
        self.assertThat(time.monotonic() - start, LessThan(20))
        self.assertThat(done.failed[0], Contains('did not return within'))
        for words in (
            "There are 0 VFs now, and '4' are wanted",
            'journalled as interrupted',
            'run host apply or host undo',
            'reboot this host',
        ):
            self.assertThat(done.failed[0], Contains(words))

    def test_what_hangs_is_left_as_it_is(self):
        self.build(FakePf('eth0', **fake_cards.X710), FakePf('eth1', **I350))
        self.kernel.hangs = (ADDRESS,)
        items = self.items(vfs={'eth1': 2, 'eth0': 4})
        done = prepared.apply(self.kernel, items, Terms(write_timeout=0.2))
        self.assertThat(self.count(), Equals('0'))
        # The other port is as it was before; this one is not written again.
        self.assertThat(self.kernel.get(_SECOND), Equals('0'))
        self.assertThat(done.taken_back, Equals(['VFs of eth1']))
        self.assertThat(
            self.kernel.log.count(f'write {PATH}'), Equals(1), self.kernel.log
        )
        (entry,) = journal.load(Tree(self.root))
        self.assertThat((entry.name, entry.open), Equals((PATH, True)))
        (row,) = self.rows(vfs={'eth0': 4})
        self.assertThat(row.state, Equals(status.INTERRUPTED))
        self.kernel.hangs = ()
        self.assertThat(self.apply(vfs={'eth0': 4}).failed, Equals([]))
        self.assertThat(self.count(), Equals('4'))

    def test_the_number_is_never_read(self):
        # A read of it waits for the lock that a driver which hangs keeps.
        def read(tree, path, limit):
            if path.endswith('sriov_numvfs'):
                raise AssertionError(path)
            return real(tree, path, limit)

        self.build(FakePf('eth0', **fake_cards.X710))
        real = Tree._read
        self.useFixture(fixtures.MonkeyPatch(f'{_TREE}._read', read))
        self.apply(vfs={'eth0': 2})
        self.kernel.hangs = (ADDRESS,)
        for act in (
            lambda: self.apply(Terms(write_timeout=0.2), vfs={'eth0': 4}),
            lambda: self.plan(vfs={'eth0': 4}),
            lambda: self.rows(vfs={'eth0': 4}),
            lambda: self.rows(),
            lambda: prepared.take_back(self.kernel, Terms(write_timeout=0.2)),
        ):
            act()
        self.assertThat(self.count(), Equals('2'))

    def test_links_and_number_agree(self):
        self.build(
            FakePf('eth0', vfs=3, vf_driver=None, **I350),
            FakePf('eth1', **I350),
            FakePf('eth2', vfs=20, vf_driver=None, **fake_cards.X710),
            FakePf('eth3', **fake_cards.I210),
        )
        home = 'sys/bus/pci/devices'
        tree = Tree(self.root)
        counts = {}
        for name in tree.names(home):
            path = vf_count.path(name)
            counts[name] = vf_count.read(tree, path)
            self.assertThat(counts[name], Equals(tree.text(path)), name)
        self.assertThat(
            sorted(filter(None, counts.values())), Equals(['0', '20', '3'])
        )
