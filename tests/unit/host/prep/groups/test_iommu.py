"""The IOMMU: what turns it on, and where nothing on the command line does."""

import fixtures
import testtools
from testtools.matchers import Contains, Equals, MatchesAll, Not

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Argument, Note, Refusal
from kvm_tuning.host.prep.groups import iommu
from tests.fixtures import killed
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.fake_kernel import FakeKernel

INTEL = {'proc/cpuinfo': 'vendor_id\t: GenuineIntel\nflags\t: vmx'}
AMD = {'proc/cpuinfo': 'vendor_id\t: AuthenticAMD\nflags\t: svm'}
ARM64 = {'proc/cpuinfo': 'Features\t: fp asimd\nCPU implementer\t: 0x41'}
POWER = {'proc/sys/kernel/arch': 'ppc64le'}
_TABLES = 'sys/firmware/acpi/tables'
_X86_WORDS = ('intel', 'VT-d', 'AMD', 'iommu=pt', 'BIOS')


class TestIommu(testtools.TestCase):
    def plan(self, files, line='', groups=0, required=True, arguments=True):
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        FakeHost(cells=1, l3_per_cell=0, cores=1, threads=1).write(self.root)
        kernel = FakeKernel(self.root)
        for path, text in {**files, 'proc/cmdline': line}.items():
            kernel.put(path, text)
        for number in range(groups):
            kernel.put(f'sys/kernel/iommu_groups/{number}/type', 'DMA-FQ')
        state = iommu.read(Host(Tree(self.root)))
        return list(iommu.plan(iommu.Wanted(required, arguments), state))

    def arguments(self, files):
        found = self.plan(files, required=False)
        return [str(i) for i in found if isinstance(i, Argument)]

    def test_arguments_by_architecture(self):
        for files, wanted in (
            (INTEL, ['intel_iommu=on', 'iommu=pt']),
            (AMD, ['iommu=pt']),
            (ARM64, ['iommu.passthrough=1']),
            ({'proc/sys/kernel/arch': 'aarch64'}, ['iommu.passthrough=1']),
            (POWER, []),
            ({'proc/cpuinfo': 'vendor_id\t: IBM/S390'}, []),
        ):
            self.assertThat(self.arguments(files), Equals(wanted), str(files))

    def test_required_and_there(self):
        for files in (INTEL, AMD, ARM64, POWER):
            found = self.plan(files, groups=3, arguments=False)
            self.assertThat(found, Equals([]))

    def test_only_intels_is_turned_on_by_a_reboot(self):
        found = self.plan(INTEL)[-1]
        self.assertIsInstance(found, Note)
        self.assertThat(
            str(found), Contains('after a reboot with intel_iommu=on there')
        )
        for files in (AMD, ARM64, POWER):
            found = self.plan(files)[-1]
            self.assertIsInstance(found, Refusal)
            self.assertThat(str(found), Not(Contains('after a reboot')))

    def test_what_was_turned_on_and_is_not_there(self):
        for line in ('intel_iommu=on', 'intel_iommu=on,sm_on iommu=pt'):
            found = self.plan(INTEL, line)[-1]
            self.assertIsInstance(found, Refusal)
            self.assertThat(str(found), Contains('VT-d on in the firmware'))

    def test_the_firmware_describes_none(self):
        files = {**INTEL, f'{_TABLES}/APIC': 'x'}
        self.assertIsInstance(self.plan(files)[-1], Refusal)
        files[f'{_TABLES}/DMAR'] = 'x'
        self.assertIsInstance(self.plan(files)[-1], Note)

    def test_it_is_turned_off_on_the_command_line(self):
        for files, line in (
            (AMD, 'amd_iommu=off'),
            (AMD, 'iommu=off'),
            (INTEL, 'intel_iommu=off'),
        ):
            found = self.plan(files, line, arguments=False)[-1]
            self.assertThat(str(found), Contains(f'started with {line}'))

    def test_without_the_option(self):
        found = self.plan(INTEL, arguments=False)[-1]
        self.assertThat(str(found), Contains('kernel_arguments = true'))

    def test_no_word_of_x86_on_others(self):
        for files in (ARM64, POWER):
            for line in ('', 'iommu=off', 'intel_iommu=on'):
                text = ' '.join(map(str, self.plan(files, line)))
                self.assertThat(
                    text,
                    MatchesAll(*(Not(Contains(w)) for w in _X86_WORDS)),
                )
