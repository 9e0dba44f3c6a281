"""PCI functions, network interfaces and block devices of odd shapes."""

import os

import fixtures
import testtools
from testtools.matchers import Equals, HasLength, Is

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory import devices
from tests.fixtures.fake_host import FakeDisk, FakeHost, FakeNic, FakePf
from tests.fixtures.host_dumps import HostDump, available


class DevicesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path

    def put(self, path: str, text: str) -> None:
        os.makedirs(os.path.dirname(f'{self.root}/{path}'), exist_ok=True)
        with open(f'{self.root}/{path}', 'w') as stream:
            stream.write(text)

    def link(self, path: str, target: str) -> None:
        directory = os.path.dirname(f'{self.root}/{path}')
        os.makedirs(directory, exist_ok=True)
        os.symlink(
            os.path.relpath(f'{self.root}/{target}', directory),
            f'{self.root}/{path}',
        )

    def read(self) -> devices.Devices:
        return devices.read(Tree(self.root), [])


class TestPci(DevicesTest):
    def test_nothing_there(self):
        self.assertThat(self.read(), Equals(devices.NOTHING))

    def test_a_pf_and_its_vfs(self):
        FakeHost(pfs=(FakePf('pf0', cell=1, vfs=3),)).write(self.root)
        found = {device.address: device for device in self.read().pci}
        pf = found['0000:11:00.0']
        self.assertThat((pf.total_vfs, pf.cell), Equals((7, 1)))
        self.assertThat(pf.parent, Equals('0000:00:01.0'))
        self.assertThat(pf.interfaces, Equals(('pf0',)))
        self.assertThat(
            [(found[vf].pf, found[vf].vf_index) for vf in pf.vfs],
            Equals([(pf.address, index) for index in range(3)]),
        )

    def test_tenth_vf_comes_after_the_second(self):
        base = 'sys/devices/pci0000:00/0000:00:01.0'
        self.put(f'{base}/vendor', '0x8086')
        self.link('sys/bus/pci/devices/0000:00:01.0', base)
        for index in range(12):
            self.link(f'{base}/virtfn{index}', f'x/0000:00:10.{index:x}')
        self.assertThat(
            self.read().pci[0].vfs,
            Equals(tuple(f'0000:00:10.{index:x}' for index in range(12))),
        )

    def test_vf_whose_pf_is_not_shown(self):
        base = 'sys/devices/pci0000:00/0000:00:02.0'
        self.put(f'{base}/vendor', '0x8086')
        self.link(f'{base}/physfn', 'sys/devices/gone/0000:00:01.0')
        self.link('sys/bus/pci/devices/0000:00:02.0', base)
        found = self.read().pci[0]
        self.assertThat(found.pf, Equals('0000:00:01.0'))
        self.assertThat(found.vf_index, Is(None))
        self.assertThat(found.driver, Is(None))
        self.assertThat(found.iommu_group, Is(None))

    def test_domain_of_a_volume_management_device(self):
        base = 'sys/devices/pci10000:00/10000:00:02.0'
        self.put(f'{base}/vendor', '0x8086')
        self.link('sys/bus/pci/devices/10000:00:02.0', base)
        self.assertThat(self.read().pci[0].address, Equals('10000:00:02.0'))

    def test_what_is_no_function_is_left_out(self):
        self.put('sys/bus/pci/devices/README', '')
        self.link('sys/bus/pci/devices/0000:00:02.0', 'sys/devices/gone')
        self.assertThat(self.read().pci, Equals(()))


class TestNics(DevicesTest):
    def put_nic(self, name: str, **files: str) -> None:
        base = f'sys/devices/virtual/net/{name}'
        self.put(f'{base}/type', '1')
        for file, text in files.items():
            self.put(f'{base}/{file}', text)
        self.link(f'sys/class/net/{name}', base)

    def test_loopback_is_no_nic(self):
        self.put_nic('lo', type='772')
        self.put('sys/class/net/bonding_masters', 'bond0')
        self.assertThat(self.read().nics, Equals(()))

    def test_virtio_nic_is_on_the_function_above(self):
        pci = 'sys/devices/pci0000:00/0000:00:03.0'
        self.put(f'{pci}/numa_node', '1')
        self.link('sys/bus/pci/devices/0000:00:03.0', pci)
        self.put(f'{pci}/virtio2/net/eth0/address', '52:54:00:12:34:56')
        self.link(f'{pci}/virtio2/net/eth0/device', f'{pci}/virtio2')
        self.link(f'{pci}/virtio2/driver', 'sys/bus/virtio/drivers/virtio_net')
        self.link('sys/class/net/eth0', f'{pci}/virtio2/net/eth0')
        nic = self.read().nics[0]
        self.assertThat(
            (nic.pci, nic.cell, nic.driver, nic.kind, nic.mac),
            Equals(
                (
                    '0000:00:03.0',
                    1,
                    'virtio_net',
                    'physical',
                    '52:54:00:12:34:56',
                )
            ),
        )
        self.assertThat(self.read().pci[0].interfaces, Equals(('eth0',)))

    def test_kinds(self):
        kinds = ('bridge', 'bond', 'vlan', 'tap', 'macvtap', 'virtual')
        host = FakeHost(
            nics=tuple(FakeNic(kind + '0', kind=kind) for kind in kinds)
        )
        host.write(self.root)
        self.assertThat(
            {nic.name: nic.kind for nic in self.read().nics},
            Equals({kind + '0': kind for kind in kinds}),
        )

    def test_speed_that_the_driver_does_not_know(self):
        for index, text in enumerate(('-1', '4294967295', '65535', '0', '')):
            self.put_nic(f'n{index}', speed=text)
        self.put_nic('n9', speed='400000')
        self.assertThat(
            [nic.speed_mbps for nic in self.read().nics],
            Equals([None] * 5 + [400000]),
        )

    def test_state_that_the_driver_does_not_know(self):
        self.put_nic('a', operstate='unknown', flags='0x1003')
        self.put_nic('b', operstate='unknown', flags='0x1002')
        self.put_nic('c', operstate='lowerlayerdown', flags='0x1003')
        self.assertThat(
            [nic.up for nic in self.read().nics], Equals([True, False, False])
        )


class TestDisks(DevicesTest):
    def put_disk(self, name: str, where: str = 'virtual', **files: str) -> str:
        base = f'sys/devices/{where}/block/{name}'
        self.put(f'{base}/size', '2048')
        for file, text in files.items():
            self.put(f'{base}/{file}', text)
        self.link(f'sys/class/block/{name}', base)
        return base

    def test_whole_disks_alone(self):
        self.put_disk('sda')
        self.put_disk('sda1', partition='1')
        self.put_disk('loop0', size='0')
        self.put_disk('ram0')
        self.put_disk('nvme0c0n1', hidden='1')
        self.put_disk('nvme0n1', hidden='0')
        self.assertThat(
            [disk.name for disk in self.read().disks],
            Equals(['nvme0n1', 'sda']),
        )
        self.assertThat(self.read().disks[0].size_bytes, Equals(1 << 20))

    def test_schedulers(self):
        base = self.put_disk('sda')
        for text, wanted in (
            ('mq-deadline [none] bfq', ('none', 3)),
            ('[mq-deadline]', ('mq-deadline', 1)),
            # A queue without schedulers.
            ('none', ('none', 0)),
            ('', (None, 0)),
            ('noop cfq', (None, 0)),
        ):
            self.put(f'{base}/queue/scheduler', text)
            disk = self.read().disks[0]
            self.assertThat(
                (disk.scheduler, len(disk.schedulers)), Equals(wanted)
            )

    def test_only_the_older_directory(self):
        FakeHost(disks=(FakeDisk('sda', rotational=True),)).write(self.root)
        os.rename(f'{self.root}/sys/class/block', f'{self.root}/sys/class/old')
        target = 'sys/devices/pci0000:00/0000:00:01.0/0000:11:00.0/block/sda'
        self.link('sys/block/sda', target)
        self.assertThat(self.read().disks[0].rotational, Is(True))

    def nvme_head(self, *controllers: str) -> str | None:
        base = 'sys/devices/virtual/nvme-subsystem/nvme-subsys0'
        self.put(f'{base}/nvme0n1/size', '2048')
        self.link('sys/class/block/nvme0n1', f'{base}/nvme0n1')
        for index, address in enumerate(controllers):
            pci = f'sys/devices/pci0000:00/{address}'
            self.put(f'{pci}/nvme/nvme{index}/state', 'live')
            self.link(f'sys/bus/pci/devices/{address}', pci)
            self.link(f'{base}/nvme{index}', f'{pci}/nvme/nvme{index}')
        disks = self.read().disks
        self.assertThat(disks, HasLength(1))
        return disks[0].pci

    def test_nvme_head_with_one_path(self):
        self.assertThat(self.nvme_head('0000:00:05.0'), Equals('0000:00:05.0'))

    def test_nvme_head_with_two_paths(self):
        self.assertThat(
            self.nvme_head('0000:00:05.0', '0000:00:06.0'), Is(None)
        )


class TestHostDumps(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if not available():
            self.skipTest('KVM_TUNING_HOST_DUMPS is not set')

    def test_one_with_partly_absent_devices(self):
        dump = self.useFixture(HostDump('32em64t-2n8c+dax+nvme+mic+dimms'))
        found = devices.read(Tree(dump.root), [])
        self.assertThat(found.pci, HasLength(137))
        self.assertThat(
            [(nic.name, nic.pci, nic.cell) for nic in found.nics],
            Equals(
                [
                    ('eth0', '0000:02:00.0', 0),
                    ('eth1', '0000:02:00.3', 0),
                    ('ib0', '0000:82:00.0', 1),
                ]
            ),
        )
        self.assertThat(
            {disk.name: disk.pci for disk in found.disks if disk.pci},
            Equals({'nvme0n1': '0000:00:02.0', 'sda': '0000:00:1f.2'}),
        )
