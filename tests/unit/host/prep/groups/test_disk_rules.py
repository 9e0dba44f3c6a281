"""Disks without a choice, and rules that win after ours."""

import os

from testtools.matchers import Contains, Equals, HasLength, Not

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal, status
from kvm_tuning.host.prep.goals import Goal, Note, Refusal
from kvm_tuning.host.prep.kinds import table
from tests.fixtures import prepared
from tests.fixtures.fake_host import FakeDisk
from tests.unit.host.prep.groups.test_block_scheduler import SchedulerTest

_MQ = ('mq-deadline', 'none')


class TestOneDisk(SchedulerTest):
    disks = (
        FakeDisk('sda', schedulers=('mq-deadline', 'bfq', 'none')),
        FakeDisk('sdb', schedulers=_MQ, scheduler='mq-deadline'),
        # What queues without schedulers show, as the kernel writes it.
        FakeDisk('pmem0', schedulers=('none',), scheduler=None),
        FakeDisk('zd0', schedulers=('none',), scheduler=None, pci=False),
        FakeDisk('nvme0n1', schedulers=('none',), scheduler=None),
        FakeDisk('nvme1n1', schedulers=(), scheduler=None),
    )

    def of(self, items, kind):
        return [i for i in items if isinstance(i, kind)]

    def test_queues_without_schedulers(self):
        items = self.plan({'ssd': 'mq-deadline', 'nvme': 'mq-deadline'})
        self.assertThat(self.of(items, Refusal), Equals([]))
        self.assertThat(
            self.titles(items),
            Contains('scheduler of sda'),
        )
        notes = ' '.join(map(str, self.of(items, Note)))
        for name in ('pmem0', 'zd0', 'nvme0n1', 'nvme1n1'):
            self.assertThat(notes, Contains(f'n/a: {name} has no scheduler'))

    def test_one_disk_has_fewer(self):
        items = self.plan({'ssd': 'bfq'})
        self.assertThat(self.of(items, Refusal), Equals([]))
        notes = ' '.join(map(str, self.of(items, Note)))
        self.assertThat(notes, Contains('sdb keeps mq-deadline: it has no'))
        prepared.apply(self.kernel, items)
        self.assertThat(self.scheduler('sda'), Contains('[bfq]'))

    def test_a_zoned_disk_takes_no_module(self):
        path = 'lib/modules/6.12.0/kernel/block/kyber-iosched.ko'
        self.kernel.put(path, '')
        self.kernel.put('sys/class/block/sdb/queue/zoned', 'host-managed')
        self.kernel.put('sys/class/block/sda/queue/zoned', 'none')
        items = self.plan({'ssd': 'kyber'})
        self.assertThat(self.of(items, Refusal), Equals([]))
        notes = ' '.join(map(str, self.of(items, Note)))
        self.assertThat(notes, Contains('as for most zoned disks'))
        self.assertThat(self.titles(items), Contains('scheduler of sda'))
        self.assertThat(self.titles(items), Not(Contains('scheduler of sdb')))

    def test_a_kernel_without_it(self):
        found = self.of(self.plan({'ssd': 'kyber'}), Refusal)
        self.assertThat(found, HasLength(2))

    def test_a_disk_that_is_named(self):
        (refusal,) = self.of(self.plan(disks={'sdb': 'bfq'}), Refusal)
        self.assertThat(str(refusal), Contains('mq-deadline, none'))


class TestLaterRules(SchedulerTest):
    disks = (
        FakeDisk('sda', schedulers=_MQ),
        FakeDisk('sdb', schedulers=_MQ, rotational=True),
    )
    later = 'etc/udev/rules.d/99-a.rules'

    def others(self, path, rule):
        self.kernel.put(path, rule)
        host = Host(Tree(self.root))
        items = self.plan({'ssd': 'mq-deadline'})
        record = journal.load(host.tree)
        rows = status.rows(host, table.KINDS, record, items)
        found = [' '.join(row.others) for row in rows]
        os.unlink(f'{self.root}/{path}')
        # The rule and the disk are told alike.
        self.assertThat(len(set(found)), Equals(1))
        return found[0]

    def test_of_this_disk(self):
        sets = 'ATTR{queue/scheduler}="none"'
        for rule in (
            f'KERNEL=="sd*[!0-9]", {sets}',
            f'SUBSYSTEM=="block", ENV{{DEVTYPE}}=="disk", {sets}',
            f'ACTION=="add|change", ENV{{ID_VENDOR}}=="PURE", {sets}',
            f'ATTR{{queue/rotational}}=="0", {sets}',
            'KERNEL=="sda", RUN+="/bin/sh -c \'echo none > '
            '/sys/block/%k/queue/scheduler\'"',
        ):
            found = self.others(self.later, rule)
            self.assertThat(found, Contains('/etc/udev/rules.d/99-a.rules'))

    def test_not_of_this_disk(self):
        sets = 'ATTR{queue/scheduler}="none"'
        for rule in (
            f'KERNEL=="sdb", {sets}',
            f'SUBSYSTEM=="net", {sets}',
            f'ATTR{{queue/rotational}}=="1", {sets}',
            f'# KERNEL=="sda", {sets}',
            'KERNEL=="sda", ATTR{queue/read_ahead_kb}="128"',
            f'ENV{{DEVTYPE}}=="partition", {sets}',
        ):
            self.assertThat(self.others(self.later, rule), Equals(''), rule)

    def test_ours_wins_over_an_earlier_one(self):
        rule = 'KERNEL=="sda", ATTR{queue/scheduler}="none"'
        path = 'usr/lib/udev/rules.d/60-block-scheduler.rules'
        self.assertThat(self.others(path, rule), Equals(''))
        # A program runs after all rules.
        rule = (
            'KERNEL=="sda", RUN+="/bin/sh -c \'echo none > '
            '/sys/block/sda/queue/scheduler\'"'
        )
        self.assertThat(self.others(path, rule), Contains('60-block'))

    def test_other_programs(self):
        path = 'etc/tmpfiles.d/a.conf'
        text = 'w /sys/block/sd*/queue/scheduler - - - - none'
        self.assertThat(self.others(path, text), Contains('tmpfiles.d'))

    def test_goals_are_as_before(self):
        goals = [i for i in self.plan({'ssd': 'none'}) if isinstance(i, Goal)]
        self.assertThat(goals, HasLength(2))
