"""Files that grow with the host: each is read whole."""

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Is

from kvm_tuning.host.access.sysfs import MAX_BYTES, Tree
from kvm_tuning.host.inventory import interfaces
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups import iommu, kvm_modules
from kvm_tuning.host.prep.kinds import kernel_arguments
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

_CPUS = 1024
_CPU = (
    'processor\t: {cpu}\nvendor_id\t: GenuineIntel\nflags\t\t: vmx '
    + 'flag ' * 240
    + '\n\n'
)


class TestLargeHost(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        root = self.useFixture(fixtures.TempDir()).path
        FakeHost(cells=1, cores=1).write(root)
        self.kernel = FakeKernel(root)
        add_memory_files(self.kernel)
        self.host = Host(Tree(root))

    def put(self, path: str, text: str) -> None:
        self.assertThat(len(text) > MAX_BYTES, Is(True))
        self.kernel.put(path, text)

    def test_cpus(self):
        text = ''.join(_CPU.format(cpu=cpu) for cpu in range(_CPUS))
        self.put('proc/cpuinfo', text)
        self.assertThat(iommu.read(self.host).intel, Is(True))
        self.assertThat(kvm_modules.read(self.host).flags, Contains('vmx'))

    def test_routes(self):
        line = 'eth1 0000000A 00000000 0001 0 0 0 000000FF 0 0 0'
        default = line.replace('eth1 0000000A', 'eth0 00000000')
        default = default.replace('000000FF', '00000000')
        self.put(
            'proc/net/route', '\n'.join(['Iface', *[line] * 9000, default])
        )
        self.assertThat(
            interfaces.carries(self.host, 'eth0'),
            Contains('it carries the default route'),
        )

    def test_boot_menu(self):
        line = ' linux /vmlinuz root=/dev/vda ro quiet iommu=pt\n'
        entry = f'menuentry Debian {{\n{line}}}\n'
        self.put(kernel_arguments.GRUB_MENU, entry * 9000)
        name = 'GRUB_CMDLINE_LINUX_DEFAULT'
        self.kernel.put(kernel_arguments.GRUB, f'{name}="${name} iommu=pt"')
        self.assertThat(
            kernel_arguments.KernelArguments().read(
                self.host, kernel_arguments.GRUB
            ),
            Equals('iommu=pt'),
        )
