from dataclasses import replace

import testtools

from kvm_tuning.core import device_models
from kvm_tuning.core.guest import Controller, Disk, Guest, Interface
from kvm_tuning.core.knobs import Source
from kvm_tuning.core.request import Asked, Request

GUEST = Guest(
    name='g',
    uuid=None,
    type='kvm',
    arch=None,
    machine=None,
    vcpus=1,
    memory_kib=1,
    disks=(
        Disk('vda', 'virtio', 'disk', 'block', '/dev/a'),
        Disk('sda', 'sata', 'cdrom', 'file', None),
    ),
    interfaces=(
        Interface('52:54:00:00:00:01', 'bridge', 'virtio'),
        Interface('52:54:00:00:00:02', 'hostdev', None),
    ),
)


def applied(guest=GUEST, **values):
    asked = {
        name: Asked(name, value, value, Source.IMAGE, 'image')
        for name, value in values.items()
    }
    return device_models.applied(Request('f', 1, 1, asked), guest)


class AppliedTest(testtools.TestCase):
    def test_nothing_asked(self):
        self.assertIs(GUEST, applied())

    def test_nics_but_no_function_of_the_host(self):
        models = [
            nic.model for nic in applied(hw_vif_model='e1000').interfaces
        ]
        self.assertEqual(['e1000', None], models)

    def test_disks_but_no_cdrom(self):
        guest = applied(hw_disk_bus='ide')
        self.assertEqual(['ide', 'sata'], [disk.bus for disk in guest.disks])
        self.assertEqual((), guest.scsi_controllers)

    def test_scsi_brings_its_controller(self):
        guest = applied(hw_disk_bus='scsi')
        self.assertEqual(
            (Controller(0, 'virtio-scsi'),), guest.scsi_controllers
        )

    def test_a_controller_that_is_there_stays(self):
        there = (Controller(1, 'virtio-scsi'),)
        guest = applied(
            replace(GUEST, scsi_controllers=there), hw_disk_bus='scsi'
        )
        self.assertEqual(there, guest.scsi_controllers)

    def test_a_controller_of_another_model_is_not_used(self):
        there = (Controller(1, 'lsilogic'),)
        guest = applied(
            replace(GUEST, scsi_controllers=there), hw_disk_bus='scsi'
        )
        self.assertEqual(
            (*there, Controller(2, 'virtio-scsi')), guest.scsi_controllers
        )

    def test_variants_of_virtio_stay(self):
        nic = Interface('52:54:00:00:00:03', 'bridge', 'virtio-transitional')
        guest = applied(
            replace(GUEST, interfaces=(nic,)), hw_vif_model='virtio'
        )
        self.assertEqual((nic,), guest.interfaces)
