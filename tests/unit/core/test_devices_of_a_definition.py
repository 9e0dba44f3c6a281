"""What can be set on a disk or NIC, by its kind."""

import testtools

from kvm_tuning.core.definition.devices import Disk, Interface
from kvm_tuning.core.exceptions import InvalidDocument


def disk(**changes):
    fields = {
        'target': 'vda', 'bus': 'virtio', 'device': 'disk', 'type': 'file',
        'source': '/x', **changes,
    }  # fmt: skip
    return Disk(**fields)


def nic(**changes):
    fields = {
        'mac': '52:54:00:00:00:01', 'type': 'bridge', 'model': 'virtio',
        **changes,
    }  # fmt: skip
    return Interface(**fields)


class DiskTest(testtools.TestCase):
    def test_which_may_have_an_iothread(self):
        for address in (None, 'pci', 'ccw'):
            self.assertTrue(disk(address=address).threadable, address)
        for address in ('virtio-mmio', 'drive', 'usb'):
            self.assertFalse(disk(address=address).threadable, address)
        for bus in ('scsi', 'sata', 'ide', 'usb'):
            self.assertFalse(disk(bus=bus).threadable, bus)
        for kind in ('vhostuser', 'vhostvdpa'):
            self.assertTrue(disk(type=kind).vhost_user, kind)
            self.assertFalse(disk(type=kind).threadable, kind)
        for kind in ('file', 'block', 'network'):
            self.assertFalse(disk(type=kind).vhost_user, kind)

    def test_its_address(self):
        self.assertEqual("devices/disk[target/@dev='vda']", disk().path)


class InterfaceTest(testtools.TestCase):
    TAPPED = ('bridge', 'network', 'ethernet', 'direct', 'openvswitch')

    def test_which_have_a_tap(self):
        for kind in self.TAPPED:
            self.assertTrue(nic(type=kind).tapped, kind)
        for kind in ('hostdev', 'user', 'vhostuser', 'vdpa', 'internal'):
            self.assertFalse(nic(type=kind).tapped, kind)

    def test_which_can_have_several_queues(self):
        for kind in (*self.TAPPED, 'vhostuser', 'vdpa'):
            self.assertTrue(nic(type=kind).queued, kind)
            self.assertFalse(nic(type=kind, model='e1000').queued, kind)
        for kind in ('hostdev', 'user'):
            self.assertFalse(nic(type=kind).queued, kind)

    def test_which_are_virtio(self):
        for model in (
            'virtio', 'virtio-transitional', 'virtio-non-transitional'
        ):  # fmt: skip
            self.assertTrue(nic(model=model).virtio, model)
        for model in (None, 'e1000', 'rtl8139', 'virtio-net'):
            self.assertFalse(nic(model=model).virtio, model)
        self.assertFalse(nic(type='hostdev').virtio)

    def test_its_address(self):
        mac = "[mac/@address='52:54:00:00:00:01']"
        self.assertEqual(f'devices/interface{mac}', nic().path)
        self.assertEqual(
            f"devices/interface[@type='bridge']{mac}",
            nic(teaming='persistent').path,
        )
        error = self.assertRaises(InvalidDocument, lambda: nic(mac=None).path)
        self.assertIn('<mac address=...>', str(error))
