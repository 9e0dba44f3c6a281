"""Block I/O schedulers by class and by disk, on both kernel generations."""

import errno

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength, Not

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Goal, Note, Refusal
from kvm_tuning.host.prep.groups import block_scheduler
from kvm_tuning.host.prep.kinds import udev
from tests.fixtures import killed, prepared
from tests.fixtures.fake_host import FakeDisk, FakeHost
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

_MQ = ('mq-deadline', 'none')
_DISKS = (
    FakeDisk('sda', rotational=True, schedulers=_MQ),
    FakeDisk('sdb', schedulers=_MQ),
    FakeDisk('nvme0n1', schedulers=_MQ),
    # The head of a multipath NVMe.
    FakeDisk('nvme1n1', schedulers=(), scheduler=None),
    FakeDisk('loop0', schedulers=_MQ, pci=False),
    FakeDisk('dm-0', schedulers=(), scheduler=None, pci=False),
)


class SchedulerTest(testtools.TestCase):
    release = '6.12.0'
    disks = _DISKS

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        small = FakeHost(cells=1, l3_per_cell=1, cores=1, disks=self.disks)
        small.write(self.root)
        self.kernel = FakeKernel(self.root)
        add_memory_files(self.kernel, self.release)

    def plan(self, classes=None, disks=None):
        wanted = block_scheduler.Wanted(classes or {}, disks or {})
        state = block_scheduler.read(Host(Tree(self.root)))
        return list(block_scheduler.plan(wanted, state))

    def scheduler(self, disk):
        return self.kernel.get(f'sys/class/block/{disk}/queue/scheduler')

    def titles(self, items):
        return [item.title for item in items if isinstance(item, Goal)]


class TestClasses(SchedulerTest):
    def test_each_class_takes_its_disks(self):
        items = self.plan({'rotational': 'mq-deadline'})
        self.assertThat(
            self.titles(items),
            Equals(
                [
                    'udev rule block-scheduler-rotational',
                    'scheduler of sda',
                ]
            ),
        )
        items = self.plan({'ssd': 'none'})
        self.assertThat(self.titles(items), HasLength(2))

    def test_made_twice_and_undone(self):
        before = prepared.snapshot(self.root)
        wanted = {'rotational': 'mq-deadline', 'ssd': 'mq-deadline'}
        prepared.apply(self.kernel, self.plan(wanted))
        self.assertThat(self.scheduler('sda'), Equals('[mq-deadline] none'))
        self.assertThat(self.scheduler('sdb'), Equals('[mq-deadline] none'))
        self.assertThat(self.scheduler('loop0'), Equals('mq-deadline [none]'))
        rules = udev.rules(Tree(self.root))
        self.assertThat(
            rules['block-scheduler-ssd'],
            Contains('ATTR{queue/rotational}=="0"'),
        )
        self.kernel.log.clear()
        prepared.apply(self.kernel, self.plan(wanted))
        self.assertThat(self.kernel.log, Equals([]))
        prepared.take_back(self.kernel)
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )

    def test_old_names_are_mapped_with_a_note(self):
        items = self.plan({'rotational': 'deadline'})
        self.assertThat(str(items[0]), Contains('call it mq-deadline'))
        prepared.apply(self.kernel, items)
        self.assertThat(self.scheduler('sda'), Equals('[mq-deadline] none'))

    def test_multipath_head_is_understood(self):
        items = self.plan({'nvme': 'none'})
        notes = [str(i) for i in items if isinstance(i, Note)]
        self.assertThat(notes, HasLength(1))
        self.assertThat(notes[0], Contains('nvme1n1'))

    def test_nvme_with_another_is_warned_of(self):
        items = self.plan({'nvme': 'mq-deadline'})
        self.assertThat(str(items[0]), Contains('fastest with none'))


class TestDisks(SchedulerTest):
    def test_a_disk_beats_its_class(self):
        items = self.plan({'ssd': 'mq-deadline'}, {'sdb': 'none'})
        goals = {i.title: i for i in items if isinstance(i, Goal)}
        self.assertThat(
            goals['scheduler of sdb'].setting.value, Equals('none')
        )

    def test_its_rule_is_read_after_that_of_its_class(self):
        prepared.apply(
            self.kernel,
            self.plan(
                {'ssd': 'mq-deadline', 'nvme': 'none', 'rotational': 'none'},
                {'sdb': 'none', 'nvme0n1': 'mq-deadline'},
            ),
        )
        self.assertThat(
            list(udev.rules(Tree(self.root))),
            Equals(
                [
                    f'block-scheduler-{name}'
                    for name in (
                        'nvme',
                        'rotational',
                        'ssd',
                        'nvme0n1',
                        'sdb',
                    )
                ]
            ),
        )

    def test_unavailable_names_what_there_is(self):
        items = self.plan(disks={'sda': 'bfq'})
        (refusal,) = [i for i in items if isinstance(i, Refusal)]
        self.assertThat(str(refusal), Contains('mq-deadline, none'))

    def test_a_module_may_be_loaded(self):
        self.kernel.put('lib/modules/6.12.0/kernel/block/bfq.ko.xz', '')
        prepared.apply(self.kernel, self.plan(disks={'sda': 'cfq'}))
        self.assertThat(self.scheduler('sda'), Contains('[bfq]'))

    def test_unknown_disk(self):
        (item,) = self.plan(disks={'sdz': 'none'})
        self.assertThat(str(item), Contains('does not have this disk'))

    def test_the_fake_knows_einval(self):
        error = self.assertRaises(
            OSError,
            self.kernel.write,
            'sys/class/block/sda/queue/scheduler',
            'cfq',
        )
        self.assertThat(error.errno, Equals(errno.EINVAL))


class TestOldKernel(SchedulerTest):
    release = '4.18.0-553.el8'
    disks = (
        FakeDisk(
            'sda',
            rotational=True,
            schedulers=('noop', 'deadline', 'cfq'),
            scheduler='cfq',
        ),
    )

    def test_new_names_find_the_old_elevators(self):
        items = self.plan({'rotational': 'mq-deadline'})
        prepared.apply(self.kernel, items)
        self.assertThat(self.scheduler('sda'), Equals('noop [deadline] cfq'))

    def test_bfq_is_not_cfq(self):
        items = self.plan(disks={'sda': 'bfq'})
        refusals = [str(i) for i in items if isinstance(i, Refusal)]
        self.assertThat(refusals[0], Contains('noop, deadline, cfq'))
        self.assertThat(refusals[0], Not(Contains('mq-deadline')))
