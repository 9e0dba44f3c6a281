"""One apply that touches every kind of setting, and what becomes of it."""

import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Not

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep import journal
from kvm_tuning.host.prep.goals import Goal
from kvm_tuning.host.prep.kinds import kernel_arguments
from tests.fixtures import (
    host_evidence,
    host_settings,
    killed,
    prepared,
    whole_host,
)
from tests.fixtures.fake_kernel import FakeKernel
from tests.unit.host.prep import test_killed

_ARGUMENTS = (
    'hugepagesz=1G hugepages=0:2 intel_iommu=on iommu=pt '
    'nohz_full=1,3 rcu_nocbs=1,3 irqaffinity=0,2 isolcpus=1,3'
)


class WholeHostTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.kernel = whole_host.build(self.root)
        self.kernel.log.clear()

    def items(self):
        return whole_host.items(self.root)

    def apply(self):
        return prepared.apply(
            self.kernel, self.items(), whole_host.terms(self.root)
        )


class TestApply(WholeHostTest):
    def test_all_is_made(self):
        done = self.apply()
        self.assertThat(done.failed, Equals([]))
        get = self.kernel.get
        for name, path, wanted in host_evidence.files():
            found = host_evidence.text(self.kernel, path)
            self.assertFalse(
                host_settings.unlike(found, wanted),
                f'[{name}] {path}: {found!r}, not {wanted!r}',
            )
        for path, value in (
            (kernel_arguments.GRUB, Contains(_ARGUMENTS)),
            (kernel_arguments.GRUB_MENU, Contains(_ARGUMENTS)),
            (
                kernel_arguments.CMDLINE,
                Equals(f'root=/dev/vda ro {_ARGUMENTS}'),
            ),
        ):
            self.assertThat(get(path), value, path)

    def test_boot_entry_keeps_all_else(self):
        self.apply()
        self.assertThat(
            self.kernel.get(whole_host.ENTRY).splitlines(),
            Equals(
                [
                    'title Fedora',
                    'linux /vmlinuz-6.12.0',
                    f'options root=/dev/vda ro rhgb {_ARGUMENTS}',
                    'initrd /initrd',
                ]
            ),
        )

    def test_services_are_off(self):
        self.apply()
        wants = 'etc/systemd/system/multi-user.target.wants'
        self.assertThat(os.listdir(f'{self.root}/{wants}'), Equals([]))

    def test_second_apply_writes_nothing(self):
        self.apply()
        self.kernel.log.clear()
        done = self.apply()
        self.assertThat(done.changed, Equals([]))
        self.assertThat(self.kernel.log, Equals([]))

    def test_undone_to_the_byte(self):
        before = prepared.snapshot(self.root)
        modes = _modes(self.root)
        self.apply()
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed, Equals([]))
        after = prepared.snapshot(self.root)
        for tree in (before, after):
            prepared.forget_modules(tree)
        self.assertThat(prepared.differences(after, before), Equals({}))
        for path, mode in _modes(self.root).items():
            self.assertThat(mode, Equals(modes.get(path, mode)), path)

    def test_plan_writes_nothing(self):
        before = prepared.snapshot(self.root)
        prepared.plan(self.kernel, self.items())
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )
        self.assertThat(self.kernel.log, Equals([]))

    def test_reboot_needed_is_seen(self):
        self.apply()
        goals = {i.title: i for i in self.items() if isinstance(i, Goal)}
        goal = goals[f'kernel arguments in /{kernel_arguments.GRUB}']
        self.assertThat((goal.reached, goal.in_force), Equals((True, False)))
        line = f'root=/dev/vda ro {_ARGUMENTS}'
        self.kernel.put('proc/cmdline', line)
        goals = {i.title: i for i in self.items() if isinstance(i, Goal)}
        self.assertThat(
            goals[f'kernel arguments in /{kernel_arguments.GRUB}'].in_force,
            Equals(True),
        )
        # The last one counts.
        self.kernel.put('proc/cmdline', f'{line} iommu=off')
        goals = {i.title: i for i in self.items() if isinstance(i, Goal)}
        self.assertThat(
            goals[f'kernel arguments in /{kernel_arguments.GRUB}'].in_force,
            Equals(False),
        )

    def test_a_menu_that_was_not_made_anew_is_seen(self):
        self.apply()
        self.kernel.put(
            kernel_arguments.GRUB_MENU, 'menuentry {\n linux /vmlinuz ro\n}'
        )
        goals = [i for i in self.items() if isinstance(i, Goal)]
        stale = [g.title for g in goals if not g.reached]
        self.assertThat(
            stale, Equals([f'kernel arguments in /{kernel_arguments.GRUB}'])
        )
        self.assertThat(self.apply().failed, Equals([]))

    def test_managed_interrupt_stops_nothing(self):
        self.kernel.put('proc/irq/24/managed', '')
        done = self.apply()
        self.assertThat(done.failed, Equals([]))
        self.assertThat(' '.join(done.notes), Contains('interrupt 24'))
        names = [entry.name for entry in journal.load(Tree(self.root))]
        self.assertThat(names, Not(Contains('proc/irq/24/smp_affinity_list')))

    def test_failure_takes_all_back(self):
        before = prepared.snapshot(self.root)

        class Fails(FakeKernel):
            def _update_grub(self, words):
                raise OSError(5, 'update-grub failed: no space left')

        kernel = Fails(self.root)
        items, terms = self.items(), whole_host.terms(self.root)
        done = prepared.apply(kernel, items, terms)
        # Taking back needs update-grub, too.
        self.assertThat(done.failed[0], Contains('no space left'))
        self.assertThat(len(done.failed), Equals(2))
        self.assertThat(done.failed[1], Contains('could not be reverted'))
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed, Equals([]))
        after = prepared.snapshot(self.root)
        for tree in (before, after):
            prepared.forget_modules(tree)
        self.assertThat(prepared.differences(after, before), Equals({}))


class TestKernels(testtools.TestCase):
    """The whole line on each generation of kernels."""

    def test_each(self):
        for release in (
            '4.18.0-553.el8',
            '5.4.0-200-generic',
            '5.14.0-503.el9',
            '6.1.0-28-amd64',
            '6.12.0',
        ):
            root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
            kernel = whole_host.build(root, release=release)
            before = prepared.snapshot(root)
            items, terms = whole_host.items(root), whole_host.terms(root)
            done = prepared.apply(kernel, items, terms)
            self.assertThat(done.failed, Equals([]), release)
            argument = '0:2' if release[0] == '6' else '2'
            self.assertThat(
                kernel.get(kernel_arguments.CMDLINE),
                Contains(f'hugepagesz=1G hugepages={argument} '),
                release,
            )
            prepared.take_back(kernel)
            after = prepared.snapshot(root)
            for tree in (before, after):
                prepared.forget_modules(tree)
            self.assertThat(
                prepared.differences(after, before), Equals({}), release
            )


class TestKilled(test_killed.KilledTest):
    """SIGKILL at each point of an apply that touches everything."""

    def build(self, root: str) -> None:
        whole_host.build(root)

    def apply(self, kernel: FakeKernel) -> None:
        self.resume(kernel)
        root = kernel.root
        items, terms = whole_host.items(root), whole_host.terms(root)
        done = prepared.apply(kernel, items, terms)
        if done.failed:
            raise AssertionError(done.failed)

    def items(self, root):
        return whole_host.items(root)

    def volatile(self, found):
        super().volatile(found)
        prepared.forget_modules(found)
        return found

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


def _modes(root: str) -> dict[str, int]:
    return {
        name: os.stat(f'{root}/{name}').st_mode
        for name in ('boot/loader/entries', whole_host.ENTRY, 'etc/default')
    }
