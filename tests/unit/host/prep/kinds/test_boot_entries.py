"""Kernel arguments on boot entries: what is ours, and what is not."""

from dataclasses import replace
import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength, Not

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal, status, undo
from kvm_tuning.host.prep.kinds import kernel_arguments, table
from tests.fixtures import killed, prepared, whole_host
from tests.fixtures.fake_kernel import FakeKernel
from tests.unit.host.prep import test_killed

_ENTRY = whole_host.ENTRY
_NEW = f'{kernel_arguments.ENTRIES}/abc-6.13.0.conf'
_OTHER = f'{kernel_arguments.ENTRIES}/abc-6.11.0.conf'
_PLAIN = 'root=/dev/vda ro isolcpus=1 rhgb'
_ISOLATION = """
[cpu_isolation]
housekeeping_cpus = 0,2
systemd_affinity = false
irq_affinity = false
isolate_by = {}
"""
_BOTH = _ISOLATION.format('isolcpus,nohz_full')
_ONE = _ISOLATION.format('nohz_full')
_IOMMU = '[iommu]\nkernel_arguments = true\n'
_PAGES = """
[huge_pages]
pages = node:0,size:1GB,count:2
kernel_arguments = true
"""


class EntriesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.kernel = whole_host.build(self.root, _BOTH)

    def configure(self, text):
        self.kernel.put('etc/kvm-tuning/kvm-tuning.conf', text)

    def items(self):
        return whole_host.items(self.root)

    def apply(self, text=None):
        if text is not None:
            self.configure(text)
        done = prepared.apply(self.kernel, self.items())
        self.assertThat(done.failed, Equals([]))
        return done

    def undo(self):
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed, Equals([]))
        return done

    def add(self, options, path=_NEW):
        self.kernel.put(path, f'title Linux\noptions {options}')

    def options(self, path=_ENTRY):
        for line in self.kernel.get(path).splitlines():
            if line.startswith('options '):
                return line.removeprefix('options ')
        raise AssertionError(path)

    def change(self, path=_ENTRY):
        plan = prepared.plan(self.kernel, self.items())
        return [c for c in plan.changes if c.goal.setting.name == path]

    def row(self, path=_ENTRY):
        host = Host(Tree(self.root))
        record = journal.load(host.tree)
        rows = status.rows(host, table.KINDS, record, self.items())
        (row,) = [row for row in rows if f'/{path}' in row.setting]
        return row

    def steps(self):
        plan = undo.plan(prepared.context(self.kernel))
        return {step.entry.name: step for step in plan}


class TestNoLongerWanted(EntriesTest):
    def test_it_goes_and_what_it_stood_for_comes_back(self):
        self.apply()
        wanted = 'root=/dev/vda ro rhgb isolcpus=1,3 nohz_full=1,3'
        self.assertThat(self.options(), Equals(wanted))
        self.apply(_ONE)
        self.assertThat(self.options(), Equals(f'{_PLAIN} nohz_full=1,3'))
        self.assertThat(
            self.kernel.get(kernel_arguments.CMDLINE),
            Equals('root=/dev/vda ro nohz_full=1,3'),
        )
        self.assertThat(self.apply().changed, Equals([]))
        self.undo()
        self.assertThat(self.options(), Equals(_PLAIN))

    def test_plan_and_status_show_it(self):
        self.apply(_BOTH + _IOMMU)
        self.configure(_BOTH)
        (change,) = self.change()
        self.assertThat(change.goal.setting.value, Not(Contains('iommu')))
        self.assertThat(
            change.goal.reason,
            Contains('no longer wanted: intel_iommu=on iommu=pt'),
        )
        self.assertThat(self.row().state, Equals(status.DRIFT))

    def test_words_of_the_operator_stay(self):
        self.add('root=/dev/vda iommu=pt ro', _OTHER)
        self.apply(_BOTH + _IOMMU)
        self.apply(_BOTH)
        self.assertThat(
            self.options(_OTHER),
            Equals('root=/dev/vda iommu=pt ro isolcpus=1,3 nohz_full=1,3'),
        )

    def test_what_was_put_there_since_stays(self):
        self.apply(_BOTH + _IOMMU)
        self.add(f'{self.options()} debug', _ENTRY)
        self.apply(_BOTH)
        self.assertThat(
            self.options(),
            Equals('root=/dev/vda ro rhgb debug isolcpus=1,3 nohz_full=1,3'),
        )
        self.undo()
        self.assertThat(self.options(), Equals('root=/dev/vda ro rhgb debug'))

    def test_what_was_put_before_ours_stays(self):
        self.apply()
        self.add(f'debug {self.options()}', _ENTRY)
        self.apply()
        self.undo()
        self.assertThat(self.options(), Equals('debug root=/dev/vda ro rhgb'))


class TestHugePages(EntriesTest):
    def test_other_sizes_stay(self):
        self.add(
            'ro hugepages=8 hugepagesz=2M hugepages=512 hugepagesz=1024M '
            'hugepages=4 quiet',
            _ENTRY,
        )
        self.apply(_PAGES)
        self.assertThat(
            self.options(),
            Equals(
                'ro hugepages=8 hugepagesz=2M hugepages=512 quiet '
                'hugepagesz=1G hugepages=0:2'
            ),
        )

    def test_a_count_of_the_default_size_is_of_that_size(self):
        self.add('ro default_hugepagesz=1G hugepages=4', _ENTRY)
        self.apply(_PAGES)
        self.assertThat(
            self.options(),
            Equals('ro default_hugepagesz=1G hugepagesz=1G hugepages=0:2'),
        )

    def test_another_size_in_grub_is_not_told(self):
        self.kernel.put(
            'etc/default/grub', 'GRUB_CMDLINE_LINUX="hugepagesz=2M"'
        )
        self.configure(_PAGES)
        plan = prepared.plan(self.kernel, self.items())
        self.assertThat(
            ''.join(map(str, plan.notes)), Not(Contains('hugepagesz=2M'))
        )


class TestGone(EntriesTest):
    def test_it_is_forgotten(self):
        self.add('ro', _OTHER)
        self.apply()
        os.unlink(f'{self.root}/{_ENTRY}')
        self.assertThat(self.steps()[_ENTRY].action, Equals('forget'))
        self.assertThat(self.row().remark, Contains('the file was removed'))
        done = self.undo()
        self.assertThat(''.join(done.notes), Contains('the file was removed'))
        self.assertThat(os.path.exists(f'{self.root}/{_ENTRY}'), Equals(False))
        self.assertThat(journal.load(Tree(self.root)), HasLength(0))

    def test_boot_that_is_not_mounted_is_not_forgotten(self):
        self.apply()
        os.rename(f'{self.root}/boot', f'{self.root}/away')
        self.assertThat(self.steps()[_ENTRY].action, Equals('refuse'))
        self.assertThat(self.steps()[_ENTRY].reason, Contains('mount /boot'))
        os.rename(f'{self.root}/away', f'{self.root}/boot')
        self.undo()
        self.assertThat(self.options(), Equals(_PLAIN))

    def test_an_interrupted_write_is_forgotten(self):
        self.add('ro', _OTHER)
        self.apply()
        context = prepared.context(self.kernel)
        entry = context.journal.get((kernel_arguments.KIND, _ENTRY))
        context.journal.put(replace(entry, state=journal.State.WRITING))
        context.save()
        os.unlink(f'{self.root}/{_ENTRY}')
        self.apply('')
        record = journal.load(Tree(self.root))
        self.assertThat([e.name for e in record], Not(Contains(_ENTRY)))
        self.assertThat(os.path.exists(f'{self.root}/{_ENTRY}'), Equals(False))

    def test_a_write_makes_none(self):
        self.add('ro', _OTHER)
        self.apply()
        record = journal.load(Tree(self.root))
        entry = record.get((kernel_arguments.KIND, _ENTRY))
        os.unlink(f'{self.root}/{_ENTRY}')
        kind = table.KINDS[kernel_arguments.KIND]
        self.assertRaises(
            FileNotFoundError, kind.write, self.kernel, _ENTRY, entry.wanted, 1
        )
        self.assertThat(os.path.exists(f'{self.root}/{_ENTRY}'), Equals(False))


class TestInit(EntriesTest):
    def test_what_is_inits_stays_last(self):
        self.add('ro isolcpus=1 -- isolcpus=7  single', _ENTRY)
        self.apply()
        self.assertThat(
            self.options(),
            Equals('ro isolcpus=1,3 nohz_full=1,3 -- isolcpus=7 single'),
        )
        self.assertThat(self.apply().changed, Equals([]))
        self.undo()
        self.assertThat(
            self.options(), Equals('ro isolcpus=1 -- isolcpus=7  single')
        )

    def test_it_ends_the_lines_that_follow(self):
        self.add('ro\noptions quiet -- one\noptions two', _ENTRY)
        self.apply()
        self.assertThat(
            self.kernel.get(_ENTRY).splitlines()[1:],
            Equals(
                [
                    'options ro',
                    'options quiet isolcpus=1,3 nohz_full=1,3 -- one',
                    'options two',
                ]
            ),
        )


class TestNewKernel(EntriesTest):
    def test_a_copy_of_cmdline_is_undone(self):
        self.apply()
        text = self.kernel.get(kernel_arguments.CMDLINE)
        self.add(f'{text} systemd.machine_id=1')
        step = self.steps()[_NEW]
        self.assertThat(step.action, Equals('restore'))
        self.assertThat(
            step.entry.title, Contains('made by others with our arguments')
        )
        self.undo()
        self.assertThat(
            self.options(_NEW),
            Equals('root=/dev/vda ro systemd.machine_id=1'),
        )

    def test_a_whole_copy_is_as_its_origin_was(self):
        self.apply()
        self.add(self.options())
        os.unlink(f'{self.root}/{_ENTRY}')
        self.undo()
        self.assertThat(self.options(_NEW), Equals(_PLAIN))

    def test_apply_takes_it_on_record(self):
        self.apply()
        self.add(self.options())
        self.apply()
        entry = journal.load(Tree(self.root)).get(
            (kernel_arguments.KIND, _NEW)
        )
        self.assertThat(entry.before, Equals(_PLAIN))
        self.apply(_ONE)
        self.assertThat(self.options(_NEW), Equals(f'{_PLAIN} nohz_full=1,3'))
        self.undo()
        self.assertThat(self.options(_NEW), Equals(_PLAIN))

    def test_dropped_with_the_others(self):
        self.apply()
        self.add(self.options())
        self.configure('')
        dropped = prepared.plan(self.kernel, self.items()).dropped
        self.assertThat([e.name for e in dropped], Contains(_NEW))
        self.assertThat(self.row(_NEW).state, Equals(status.DROPPED))

    def test_the_operators_own_stays(self):
        own = 'root=/dev/vda ro isolcpus=1,3 nohz_full=1,3'
        self.add(own, _OTHER)
        self.apply()
        self.assertThat(self.options(_OTHER), Equals(own))
        self.undo()
        self.assertThat(self.options(_OTHER), Equals(own))
        self.assertThat(journal.load(Tree(self.root)), HasLength(0))

    def test_some_of_ours_is_not_a_copy(self):
        self.apply()
        own = 'root=/dev/vda ro nohz_full=1,3'
        self.add(own)
        self.undo()
        self.assertThat(self.options(_NEW), Equals(own))


class TestKilled(test_killed.KilledTest):
    """An entry that is as wanted by itself, and others that are not."""

    def build(self, root):
        kernel = whole_host.build(root, _BOTH)
        own = 'title Own\noptions ro isolcpus=1,3 nohz_full=1,3'
        kernel.put(_OTHER, own)

    def items(self, root):
        return whole_host.items(root)

    def test_apply(self):
        for point, root in killed.each_point(
            self.origin, self.scratch, self.kernel, self.apply
        ):
            self.mends(point, root)

    def test_undo(self):
        for point, root in killed.each_point(
            self.made, self.scratch, self.kernel, self.undo
        ):
            self.mends(point, root)

    def test_undo_of_a_copy(self):
        made = FakeKernel(self.made)
        text = made.get(kernel_arguments.CMDLINE)
        made.put(_NEW, f'title New\noptions {text} new')
        wanted = 'title New\noptions root=/dev/vda ro new'
        for point, root in killed.each_point(
            self.made, self.scratch, self.kernel, self.undo
        ):
            self.undo(self.kernel(root))
            found = prepared.snapshot(root)
            self.assertThat(found.pop(_NEW).strip(), Equals(wanted))
            self.assertThat(
                prepared.differences(found, self.before),
                Equals({}),
                f'at {point}',
            )
