"""A tuned server through what Nova does to servers."""

import os
import signal
import time

from tests.cloud.base import BLANK, DEDICATED, IMAGE, NETWORK, STOCK, CloudTest

#: What each of these servers asks, and what must be there after each step.
TUNED = {
    'kvm__cpu_locality': 'l3',
    'kvm__cpu_locality_policy': 'strict',
    'kvm__iothreads': '1',
    'kvm__disk_iothread_map': 'dedicated',
    'kvm__disk_cache': 'none',
    'kvm__page_sharing': 'false',
}


# The cache that Nova chooses, and no iothread.
NOVAS = ('none', None)


def disk(xml):
    """Return the cache and the iothread of a guest's disk."""
    driver = xml.find('devices/disk/driver')
    return driver.get('cache'), driver.get('iothread')


class TunedTest(CloudTest):
    """After each operation the server is as its flavor says."""

    variant = DEDICATED

    def is_tuned(self, server, *words):
        self.clean(server, *words)
        self.assertEqual(('none', '1'), disk(self.xml(server)))
        self.assert_disjoint()


class LifecycleTest(TunedTest):
    """On the pins that the server has, or on new ones."""

    def test_reboot_and_rebuild(self):
        """The plan is made again, on the pins of before."""
        server = self.boot(self.pinned(**TUNED))
        self.is_tuned(server)
        before = self.pins()
        self.compute.reboot_server(server, 'HARD')
        self.wait(server)
        self.is_tuned(server)
        self.assertEqual(before, self.pins())
        self.compute.rebuild_server(
            server, image=self.cloud.image.find_image(BLANK).id
        )
        self.wait(server)
        self.is_tuned(server)
        self.compute.stop_server(server)
        self.wait(server, 'SHUTOFF')
        self.compute.start_server(server)
        self.wait(server)
        self.is_tuned(server)

    def test_shelve(self):
        """A server that comes back is placed and planned anew."""
        server = self.boot(self.pinned(**TUNED))
        self.compute.shelve_server(server)
        self.wait(server, 'SHELVED_OFFLOADED')
        self.assertEqual({}, self.pins())
        # Somebody else has its pCPU by now
        other = self.boot(self.pinned())
        self.compute.unshelve_server(server)
        self.wait(server)
        self.is_tuned(server)
        self.assertEqual({other.id, server.id}, set(self.pins()))

    def test_rescue(self):
        """A disk beside the server's own for a while: Nova attaches others
        only as volumes, which take Cinder.
        """
        flavor = self.pinned(
            kvm__disk_iothread_map='dedicated',
            kvm__disk_cache='none',
            kvm__page_sharing='false',
        )
        server = self.boot(flavor)
        self.compute.rescue_server(server)
        self.wait(server, 'RESCUE')
        self.clean(server)
        drivers = self.xml(server).findall('devices/disk/driver')
        self.assertEqual(
            [('none', '1'), ('none', '2')],
            [(each.get('cache'), each.get('iothread')) for each in drivers],
        )
        self.compute.unrescue_server(server)
        self.wait(server)
        self.clean(server)
        self.assertEqual(('none', '1'), disk(self.xml(server)))

    def test_interfaces(self):
        """A NIC that comes later is as the flavor says, too."""
        flavor = self.pinned(
            2, 192, kvm__vif_queues='2', kvm__vif_rx_ring='512', **TUNED
        )
        server = self.boot(flavor, image=IMAGE, network=NETWORK)
        self.until_ready(server)
        network = self.cloud.network.find_network(NETWORK)
        attached = self.compute.create_server_interface(
            server, net_id=network.id
        )
        drivers = self.xml(server).findall('devices/interface/driver')
        self.assertEqual(
            [('2', '512')] * 2,
            [
                (each.get('queues'), each.get('rx_queue_size'))
                for each in drivers
            ],
        )
        # What is plugged later is not in QEMU's arguments.
        self.is_tuned(server, '--monitor')
        self.compute.delete_server_interface(attached, server=server)
        end = time.monotonic() + 120
        while len(self.xml(server).findall('devices/interface')) > 1:
            self.assertTrue(time.monotonic() < end, 'the NIC does not go')
            time.sleep(0.5)
        self.is_tuned(server)


class ResizeTest(TunedTest):
    """On the only host that there is."""

    # Nova's periodic audit counts the new pins twice during such a resize:
    # see the documentation of its defects
    variant = (
        DEDICATED
        + """
[DEFAULT]
update_resources_interval = -1
"""
    )

    def test_resize(self):
        """The new flavor's plan while it is tried, the old one's after."""
        small = self.pinned(**TUNED)
        other = self.pinned(kvm__page_sharing='false', kvm__vif_queues='1')
        server = self.boot(small)
        self.compute.resize_server(server, other.id)
        self.wait(server, 'VERIFY_RESIZE')
        self.clean(server)
        self.assertEqual(NOVAS, disk(self.xml(server)))
        self.compute.revert_server_resize(server)
        self.wait(server)
        self.is_tuned(server)
        self.compute.resize_server(server, other.id)
        self.wait(server, 'VERIFY_RESIZE')
        self.compute.confirm_server_resize(server)
        self.wait(server)
        self.clean(server)
        self.assertEqual(NOVAS, disk(self.xml(server)))
        self.assertEqual(1, sum(map(len, self.assert_disjoint().values())))


class RestartTest(CloudTest):
    """nova-compute ends and comes back; guests do not notice."""

    variant = DEDICATED

    def _survives(self, how):
        server = self.boot(self.pinned(**TUNED))
        qemu = self._qemu(server)
        before = disk(self.xml(server))
        os.kill(self.pid('nova-compute'), how)
        self.harness('restart', 'nova-compute')
        self.assertEqual(qemu, self._qemu(server))
        self.assertEqual(before, disk(self.xml(server)))
        self.clean(server)
        # It is in charge again
        self.compute.reboot_server(server, 'HARD')
        self.wait(server)
        self.clean(server)

    def _qemu(self, server):
        path = f'/run/libvirt/qemu/{self.domain(server).name()}.pid'
        with open(path) as file:
            return int(file.read())

    def test_terminated(self):
        """It was asked to end."""
        self._survives(signal.SIGTERM)

    def test_killed(self):
        """It was not."""
        self._survives(signal.SIGKILL)

    def test_removed(self):
        """Nova's own driver takes over, and gives them back."""
        server = self.boot(self.pinned(**TUNED))
        qemu = self._qemu(server)
        held = self.pins()
        self.configure(DEDICATED + STOCK)
        self.assertEqual(qemu, self._qemu(server))
        self.clean(server)
        self.compute.reboot_server(server, 'HARD')
        self.wait(server)
        self.assertEqual(NOVAS, disk(self.xml(server)))
        self.assertEqual(held, self.pins())
        self.configure(DEDICATED)
        self.compute.reboot_server(server, 'HARD')
        self.wait(server)
        self.clean(server)
        self.assertEqual(('none', '1'), disk(self.xml(server)))
        self.assertEqual(held, self.pins())
