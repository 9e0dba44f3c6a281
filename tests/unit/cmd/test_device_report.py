"""A host's devices for people."""

import testtools
from testtools.matchers import Equals, HasLength

from kvm_tuning.cmd import device_report
from kvm_tuning.core.inventory import Inventory, PciDevice
from tests.fixtures.fake_host import FakeDisk, FakeHost, FakeNic, FakePf

_HOST = FakeHost(
    cells=2,
    pfs=(FakePf('ens1', cell=1, vfs=2), FakePf('ens2', cell=None, up=False)),
    nics=(
        FakeNic('br0', kind='bridge', speed_mbps=None),
        FakeNic('eno1', cell=0, driver=None),
    ),
    disks=(
        FakeDisk('dm-0', rotational=True, scheduler=None, pci=False),
        FakeDisk('nvme0n1', cell=0),
    ),
).inventory()


class TestDeviceTree(testtools.TestCase):
    def test_whole(self):
        self.assertThat(
            device_report.device_tree(_HOST),
            Equals(
                [
                    'pci0000:00',
                    '  0000:00:01.0 PCI bridge 8086:3420, cell 1, '
                    'IOMMU group 0, pcieport',
                    '    0000:11:00.0 Ethernet controller 8086:10c9, cell 1, '
                    'IOMMU group 1, igb, PF with 2 of 7 VFs, '
                    'physical ens1 up at 1000 Mb/s',
                    '      0000:11:10.0 Ethernet controller 8086:10ca, '
                    'cell 1, IOMMU group 2, vfio-pci, VF 0 of 0000:11:00.0',
                    '      0000:11:10.2 Ethernet controller 8086:10ca, '
                    'cell 1, IOMMU group 3, vfio-pci, VF 1 of 0000:11:00.0',
                    '  0000:00:02.0 PCI bridge 8086:3420, no cell, '
                    'IOMMU group 4, pcieport',
                    '    0000:12:00.0 Ethernet controller 8086:10c9, no cell, '
                    'IOMMU group 5, igb, PF with 0 of 7 VFs, '
                    'physical ens2 down at 1000 Mb/s',
                    '  0000:00:03.0 PCI bridge 8086:3420, cell 0, '
                    'IOMMU group 6, pcieport',
                    '    0000:13:00.0 Ethernet controller 8086:10d3, cell 0, '
                    'IOMMU group 7, no driver, physical eno1 up at 1000 Mb/s',
                    '  0000:00:04.0 PCI bridge 8086:3420, cell 0, '
                    'IOMMU group 8, pcieport',
                    '    0000:14:00.0 NVMe controller 8086:0953, cell 0, '
                    'IOMMU group 9, nvme, '
                    'disk nvme0n1 100.0 GiB not rotating none',
                    'on no PCI function',
                    '  bridge br0 up',
                    '  disk dm-0 100.0 GiB rotating no scheduler',
                ]
            ),
        )

    def test_nothing(self):
        found = FakeHost().inventory()
        self.assertThat(device_report.device_tree(found), Equals([]))
        self.assertThat(device_report.rows(found), Equals([]))

    def test_vf_whose_pf_is_not_shown_and_unknown_classes(self):
        vf = PciDevice(
            '0000:00:02.0',
            '8086',
            '10ca',
            '020700',
            None,
            None,
            pf='0000:00:01.0',
        )
        odd = PciDevice('0001:40:00.0', '1234', '5678', 'ff0000', 3, 'odd')
        memory = PciDevice('0001:40:00.1', '1234', '5678', '0580', 3, 'odd')
        found = Inventory((), (), 0, devices=(vf, odd, memory))
        self.assertThat(
            device_report.device_tree(found),
            Equals(
                [
                    'pci0000:00',
                    '  0000:00:02.0 InfiniBand controller 8086:10ca, '
                    'no cell, no driver, VF of 0000:00:01.0',
                    'pci0001:40',
                    '  0001:40:00.0 class ff0000 1234:5678, cell 3, odd',
                    '  0001:40:00.1 memory controller 1234:5678, cell 3, odd',
                ]
            ),
        )


class TestRows(testtools.TestCase):
    def test_functions(self):
        found = device_report.rows(_HOST)
        self.assertThat(found, HasLength(10))
        for row in found:
            self.assertThat(row, HasLength(len(device_report.COLUMNS)))
        self.assertThat(
            [row for row in found if row[0] == '0000:11:10.2'],
            Equals(
                [
                    (
                        '0000:11:10.2',
                        'Ethernet controller',
                        '8086:10ca',
                        1,
                        'vfio-pci',
                        'VF 1 of 0000:11:00.0',
                        '',
                        '',
                    )
                ]
            ),
        )

    def test_nics(self):
        self.assertThat(
            device_report.nic_rows(_HOST)[0],
            Equals(
                (
                    'br0',
                    'bridge',
                    None,
                    None,
                    None,
                    None,
                    'up',
                    '52:54:00:00:00:02',
                )
            ),
        )
        self.assertThat(
            device_report.nic_rows(_HOST)[3],
            Equals(
                (
                    'ens2',
                    'physical',
                    '0000:12:00.0',
                    None,
                    'igb',
                    1000,
                    'down',
                    '52:54:00:00:00:01',
                )
            ),
        )
        self.assertThat(device_report.NIC_COLUMNS, HasLength(8))

    def test_disks(self):
        self.assertThat(
            device_report.disk_rows(_HOST),
            Equals(
                [
                    ('dm-0', '100.0', 'rotating', None, None, None),
                    (
                        'nvme0n1',
                        '100.0',
                        'not rotating',
                        '0000:14:00.0',
                        0,
                        'none',
                    ),
                ]
            ),
        )
        self.assertThat(device_report.DISK_COLUMNS, HasLength(6))
