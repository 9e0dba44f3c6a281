"""The node as we read it, as libvirt does, and as it was built."""

import libvirt
from lxml import etree

from kvm_tuning.host.inventory import reader
from tests.fixtures import tiny_guest
from tests.functional.test_inventory import TestAgainstLibvirt
from tests.lab import ports
from tests.lab.base import LabTest

__all__ = ('TestAgainstLibvirt',)


def _address(element):
    return '{:04x}:{:02x}:{:02x}.{:x}'.format(
        *(
            int(element.get(name), 16)
            for name in ('domain', 'bus', 'slot', 'function')
        )
    )


class DevicesTest(LabTest):
    def setUp(self):
        super().setUp()
        self.useFixture(ports.Vfs(7))
        self.ours = reader.read()
        connection = self.useFixture(tiny_guest.Libvirt()).connection
        flag = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV
        # udev tells libvirt of new devices by and by.
        self.shell('udevadm settle')
        self.theirs = {}
        for device in connection.listAllDevices(flag):
            root = etree.fromstring(device.XMLDesc())
            pci = root.find("capability[@type='pci']")
            values = [
                pci.findtext(name)
                for name in ('domain', 'bus', 'slot', 'function')
            ]
            name = '{:04x}:{:02x}:{:02x}.{:x}'.format(*map(int, values))
            self.theirs[name] = (root, pci)

    def test_functions(self):
        self.assertEqual(
            {
                address: (
                    pci.find('vendor').get('id'),
                    pci.find('product').get('id'),
                    int(pci.find('numa').get('node'))
                    if pci.find('numa') is not None
                    else None,
                    int(pci.find('iommuGroup').get('number'))
                    if pci.find('iommuGroup') is not None
                    else None,
                    root.findtext('driver/name'),
                )
                for address, (root, pci) in self.theirs.items()
            },
            {
                each.address: (
                    f'0x{each.vendor}',
                    f'0x{each.product}',
                    each.cell,
                    each.iommu_group,
                    each.driver,
                )
                for each in self.ours.devices
            },
        )

    def test_vfs(self):
        for address in ports.PORTS:
            _root, pci = self.theirs[address]
            cap = pci.find("capability[@type='virt_functions']")
            ours = self.ours.device[address]
            self.assertEqual(int(cap.get('maxCount')), ours.total_vfs)
            self.assertEqual(
                {_address(each) for each in cap.iterfind('address')},
                set(ours.vfs),
            )
            self.assertEqual(7, len(ours.vfs))
            for index, vf in enumerate(ours.vfs):
                function = self.ours.device[vf]
                self.assertEqual(
                    (address, index), (function.pf, function.vf_index)
                )
                self.assertEqual(ours.cell, function.cell)

    def test_vfs_have_iommu_groups_of_their_own(self):
        groups = [
            each.iommu_group
            for each in self.ours.devices
            if each.kind in ('vf', 'pf')
        ]
        self.assertEqual(16, len(groups))
        self.assertEqual(16, len(set(groups)))
        self.assertNotIn(None, groups)


class NodeTest(LabTest):
    """What tools/lab/machine.py has built."""

    def test_hardware(self):
        host = reader.read()
        self.assertEqual(
            [({0, 1, 2, 3}, {0: 10, 1: 21}), ({4, 5, 6, 7}, {0: 21, 1: 10})],
            [(set(c.cpus), dict(c.distances)) for c in host.cells],
        )
        self.assertEqual(
            [{0, 1, 2, 3}, {4, 5, 6, 7}],
            sorted(map(set, host.l3), key=min),
        )
        self.assertEqual({0, 1}, set(host.cpu[0].core))
        self.assertEqual(
            [0, 1], [host.device[each].cell for each in ports.PORTS]
        )
        self.assertEqual(
            {True, False},
            {
                disk.rotational
                for disk in host.disks
                if disk.name.startswith('sd')
            },
        )
        nvme = [disk for disk in host.disks if disk.name.startswith('nvme')]
        self.assertEqual([1], [disk.cell for disk in nvme])
