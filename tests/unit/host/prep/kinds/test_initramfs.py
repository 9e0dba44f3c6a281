"""An option that an initramfs keeps from its module, or will."""

import os

from testtools.matchers import Contains, Equals

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal, status
from kvm_tuning.host.prep.kinds import initramfs, table
from tests.fixtures import prepared
from tests.fixtures.fake_cards import PATH
from tests.unit.host.prep.groups.sriov import test_max_vfs

_WANTED = {'driver:igb': 7}
_PARAMETER = 'sys/module/igb/parameters/max_vfs'


class InitramfsTest(test_max_vfs.MaxVfsTest):
    def setUp(self):
        super().setUp()
        self.kernel.put('sys/module/igb/refcnt', 0)

    def has_initramfs_tools(self):
        self.kernel.put('etc/initramfs-tools/initramfs.conf', 'MODULES=most')
        self.kernel.put('usr/sbin/update-initramfs', '')

    def apply(self):
        done = prepared.apply(self.kernel, self.items(_WANTED))
        self.assertThat(done.failed, Equals([]))
        return ' '.join(done.notes)

    def reboot(self, parameter=None):
        """Load igb without the option, from an initramfs."""
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        for base in self.kernel._ports('igb'):
            self.kernel._set_vfs(base, 0)
        if parameter is not None:
            self.kernel.put(_PARAMETER, parameter)
            os.chmod(f'{self.root}/{_PARAMETER}', 0o444)

    def row(self):
        host = Host(Tree(self.root))
        rows = status.rows(
            host,
            table.KINDS,
            journal.load(host.tree),
            self.items(_WANTED),
        )
        (row,) = [r for r in rows if r.setting.startswith('modprobe option')]
        return row

    def holds(self):
        return initramfs.holds(Host(Tree(self.root)), 'igb')


class TestBefore(InitramfsTest):
    def test_told_when_it_is_written(self):
        self.has_initramfs_tools()
        plan = prepared.plan(self.kernel, self.items(_WANTED))
        for text in (str(plan.notes), self.apply(), self.row().remark):
            self.assertThat(text, Contains('loaded from the initramfs'))
            self.assertThat(
                text, Contains('run update-initramfs -u afterwards')
            )

    def test_told_when_it_is_undone(self):
        self.has_initramfs_tools()
        self.apply()
        done = prepared.take_back(self.kernel)
        self.assertThat(str(done.notes), Contains('update-initramfs -u'))

    def test_not_told_where_it_is_not_known(self):
        self.assertThat(self.apply(), Equals(''))
        self.assertThat(self.row().remark, Equals(''))
        done = prepared.take_back(self.kernel)
        self.assertThat(done.notes, Equals([]))


class TestAfter(InitramfsTest):
    def test_named_as_the_likely_cause(self):
        for parameter in (None, '0'):
            self.setUpAgain()
            self.apply()
            self.reboot(parameter)
            row = self.row()
            self.assertThat(row.state, Equals(status.LATER))
            self.assertThat(row.remark, Contains('probably from an initramfs'))
            self.assertThat(row.remark, Contains('dracut -f'))
            self.assertThat(self.apply(), Contains('probably from an initram'))
            # By way of sysfs.
            self.assertThat(self.kernel.get(PATH), Equals('7'))
            self.assertThat(self.row().state, Equals(status.AS_WANTED))

    def setUpAgain(self):
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-1')
        prepared.take_back(self.kernel)

    def test_stays_in_sight_while_the_parameter_shows_it(self):
        self.apply()
        self.reboot('0')
        self.apply()
        self.assertThat(self.row().remark, Contains('from an initramfs'))

    def test_nothing_when_it_counted(self):
        self.has_initramfs_tools()
        self.apply()
        self.reboot('7')
        self.assertThat(self.apply(), Equals(''))
        self.assertThat(self.row().remark, Equals(''))


class TestHolds(InitramfsTest):
    def test_where_it_is_said(self):
        home = 'etc/initramfs-tools'
        for path, text, held in (
            (f'{home}/modules', '# one a line\nigb', True),
            (f'{home}/initramfs.conf', 'MODULES=dep', True),
            (f'{home}/modules', 'ixgbe', False),
            (f'{home}/initramfs.conf', '# nothing is said', True),
            (f'{home}/conf.d/own', 'MODULES="dep"', False),
            ('etc/dracut.conf.d/a.conf', 'add_drivers+=" ixgbe igb "', True),
            ('etc/dracut.conf.d/a.conf', '#add_drivers+=" igb "', False),
            ('etc/dracut.conf', 'force_drivers+=" igb "', True),
        ):
            self.kernel.put(path, text)
            self.assertThat(self.holds(), Equals(held), (path, text))

    def test_most_has_network_cards_only(self):
        self.has_initramfs_tools()
        host = Host(Tree(self.root))
        self.assertThat(initramfs.holds(host, 'igb'), Equals(True))
        self.assertThat(initramfs.holds(host, 'kvm_intel'), Equals(False))
