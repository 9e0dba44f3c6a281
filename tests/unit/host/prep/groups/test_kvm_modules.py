"""KVM's and vhost's modules, nested paging and the IOMMU."""

import os
import shutil

import fixtures
import testtools
from testtools.matchers import Contains, Equals

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import rivals
from kvm_tuning.host.prep.goals import Goal, Note, Refusal
from kvm_tuning.host.prep.groups import kvm_modules
from kvm_tuning.host.prep.kinds import modprobe
from tests.fixtures import fake_cards, killed, prepared, whole_host

_EPT = 'sys/module/kvm_intel/parameters/ept'


class ModulesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.kernel = whole_host.build(self.root)

    def items(self, **wanted):
        state = kvm_modules.read(Host(Tree(self.root)))
        return list(kvm_modules.plan(kvm_modules.Wanted(**wanted), state))

    def kinds(self, items):
        return [i.setting.kind for i in items if isinstance(i, Goal)]


class TestNestedPaging(ModulesTest):
    def test_switched_on_by_loading_anew(self):
        items = self.items(nested_paging=True)
        self.assertThat(
            self.kinds(items),
            Equals(['module-parameter', 'running-parameter']),
        )
        done = prepared.apply(self.kernel, items)
        self.assertThat(done.failed, Equals([]))
        self.assertThat(self.kernel.get(_EPT), Equals('1'))

    def test_the_kernels_command_line_says_it_too(self):
        host = Host(Tree(self.root))
        first, second = self.items(nested_paging=True)
        self.assertThat(rivals.find(host, first), Equals([]))
        before = self.kernel.get('proc/cmdline')
        self.kernel.put('proc/cmdline', f'{before} kvm-intel.ept=0')
        told = ['kernel command line (kvm_intel.ept=0)']
        for goal in (first, second):
            self.assertThat(
                rivals.find(Host(Tree(self.root)), goal), Equals(told)
            )

    def test_not_while_a_guest_runs(self):
        fake_cards.add_guest(self.kernel, 'web')
        plan = prepared.plan(self.kernel, self.items(nested_paging=True))
        self.assertThat(str(plan.refusals[0]), Contains('in use by web'))

    def test_not_while_it_is_in_use(self):
        self.kernel.put('sys/module/kvm_intel/refcnt', 2)
        plan = prepared.plan(self.kernel, self.items(nested_paging=True))
        self.assertThat(str(plan.refusals[0]), Contains('2 users'))

    def test_on_by_itself_is_left_alone(self):
        os.chmod(f'{self.root}/{_EPT}', 0o644)
        self.kernel.put(_EPT, 'Y')
        (goal,) = self.items(nested_paging=True)
        self.assertThat(goal.reached, Equals(True))

    def test_the_module_may_come_yet(self):
        for module in ('kvm_intel', 'kvm_amd'):
            shutil.rmtree(
                f'{self.root}/sys/module/{module}', ignore_errors=True
            )
        for flag, coming in (('svm', True), ('vmx', True), ('sse', False)):
            self.kernel.put('proc/cpuinfo', f'flags : fpu {flag}')
            (refusal,) = self.items(nested_paging=True)
            self.assertIn('neither kvm_intel nor kvm_amd', refusal.reason)
            self.assertEqual(coming, refusal.absent)

    def test_a_cpu_without_it(self):
        self.kernel.put('proc/cpuinfo', 'flags : fpu vmx')
        (refusal,) = self.items(nested_paging=True)
        self.assertThat(str(refusal), Contains('lacks the flag ept'))


class TestParameters(ModulesTest):
    def test_zero_copy_warns_and_waits_for_a_reload(self):
        (note,) = [
            i for i in self.items(vhost_zero_copy=True) if isinstance(i, Note)
        ]
        self.assertThat(note.text, Contains('hold up'))
        (goal,) = self.items(vhost_zero_copy=False)
        self.assertThat(goal.when.value, Contains('reloaded'))

    def test_options_are_there_when_the_module_is_loaded(self):
        seen = []
        load = self.kernel.run

        def run(command):
            if command == ['modprobe', 'vhost_net']:
                seen.append(modprobe._own(Tree(self.root)))
            return load(command)

        self.kernel.run = run
        items = self.items(vhost_net=True, vhost_zero_copy=True)
        done = prepared.apply(self.kernel, items)
        self.assertThat(done.failed, Equals([]))
        self.assertThat(seen, Equals([{kvm_modules.ZERO_COPY: '1'}]))

    def test_a_later_file_is_refused(self):
        self.kernel.put('etc/modprobe.d/zz.conf', 'options kvm halt_poll_ns=1')
        (refusal,) = self.items(halt_poll_ns=2)
        self.assertIsInstance(refusal, Refusal)
        self.assertThat(str(refusal), Contains('/etc/modprobe.d/zz.conf'))

    def test_built_in(self):
        os.unlink(f'{self.root}/sys/module/kvm/refcnt')
        items = self.items(halt_poll_ns=2)
        self.assertThat(self.kinds(items), Equals(['running-parameter']))
        path = f'{self.root}/sys/module/kvm/parameters/halt_poll_ns'
        os.chmod(path, 0o444)
        (refusal,) = self.items(halt_poll_ns=2)
        self.assertThat(str(refusal), Contains('kvm.halt_poll_ns=2'))

    def test_what_others_say_stays(self):
        text = 'options kvm_intel nested=1\n'
        self.kernel.put('etc/modprobe.d/kvm.conf', text.strip())
        prepared.apply(self.kernel, self.items(halt_poll_ns=2))
        prepared.take_back(self.kernel)
        self.assertThat(
            self.kernel.get('etc/modprobe.d/kvm.conf'), Equals(text.strip())
        )
        self.assertThat(
            os.path.exists(f'{self.root}/{modprobe.OPTIONS}'), Equals(False)
        )


class TestArchitecture(ModulesTest):
    def test_arm64_has_no_choice_of_paging(self):
        self.kernel.put('proc/cpuinfo', 'CPU implementer\t: 0x41')
        (note,) = self.items(nested_paging=True)
        self.assertIsInstance(note, Note)
        self.assertThat(str(note), Contains('n/a: nested_paging'))
