"""The ground the functional tests stand on: libvirtd, QEMU, a real guest."""

import time

import testtools

from tests.fixtures import tiny_guest


class TinyGuestTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.libvirt = self.useFixture(tiny_guest.Libvirt())

    def test_boots_and_powers_off(self):
        guest = self.useFixture(
            tiny_guest.TinyGuest(
                self.libvirt.connection,
                edit=lambda xml: xml.replace(
                    "<model type='virtio'/>",
                    "<model type='virtio'/><driver queues='2'/>",
                ),
            )
        )
        guest.domain.create()
        guest.wait_until_ready()
        assert len(guest.domain.vcpus()[0]) == 2

        guest.domain.shutdown()
        end = time.monotonic() + 30
        while guest.domain.isActive() and time.monotonic() < end:
            time.sleep(0.1)
        assert not guest.domain.isActive()

    def test_leaves_nothing_behind(self):
        guest = tiny_guest.TinyGuest(self.libvirt.connection)
        with guest:
            guest.domain.create()
            assert guest.domain.isActive()
        names = [d.name() for d in self.libvirt.connection.listAllDomains()]
        assert guest.name not in names
        assert not guest.folder.exists()
