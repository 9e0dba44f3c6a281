"""Live migration of a pinned guest on huge pages."""

from testtools.content import text_content

from tests.cloud.base import BLANK, IMAGE
from tests.cloud_lab.base import (
    CELLS,
    FIRST,
    HOUSEKEEPING,
    SECOND,
    CloudLabTest,
)


class MigrationTest(CloudLabTest):
    deadline = 1200

    def test_to_the_other_cell(self):
        """Its cell is taken where it goes, so that it gets the other one,
        with all of its helper threads; then it is rebooted there.
        """
        flavor = self.pushed('perf.moved', 2, 128)
        there = self.create(flavor, image=BLANK, host=SECOND)
        server = self.boot(flavor, image=IMAGE, host=FIRST)
        there = self.wait(there)
        self.until_ready(server)
        before = self._vcpus(server)
        self.assertIn(before, CELLS)
        # What makes it hard.
        self.assertEqual(before, self._vcpus(there))
        (after,) = (cell for cell in CELLS if cell != before)

        seconds = self.moved(server, SECOND)
        self.addDetail('live migration', text_content(f'{seconds:.0f} s'))
        self._is_as_asked(server, after)
        self.clean(server)
        self.assertEqual(before, self._vcpus(there))
        self.clean(there)
        gone = self.shell(FIRST, 'virsh -q list --all --uuid')
        self.assertNotIn(server.id, gone)
        self._is_alive(server)

        self.compute.reboot_server(server, 'HARD')
        server = self.wait(server)
        self._is_as_asked(server, after)
        self.clean(server)

    def test_cold(self):
        """A server that is moved while it is off is claimed and planned at
        its destination, by its flavor or by a new one.
        """
        flavor = self.pushed('perf.moved', 2, 128)
        server = self.boot(flavor, image=BLANK, host=SECOND)
        self.compute.migrate_server(server, host=FIRST)
        server = self.wait(server, 'VERIFY_RESIZE')
        self.assertEqual(FIRST, server.compute_host)
        self.clean(server)
        self.compute.confirm_server_resize(server)
        server = self.wait(server)
        self._is_as_asked(server, self._vcpus(server))
        gone = self.shell(SECOND, 'virsh -q list --all --uuid')
        self.assertNotIn(server.id, gone)

        # No room beside itself, so that it has to go back.
        self.boot(flavor, image=BLANK, host=FIRST)
        more = self.pushed('perf.more', 2, 192, kvm__iothreads=1)
        self.compute.resize_server(server, more)
        server = self.wait(server, 'VERIFY_RESIZE')
        self.assertEqual(SECOND, server.compute_host)
        self.clean(server)
        self.assertEqual('1', self.xml(server).findtext('iothreads'))
        self.assertEqual([96], [*self.pages(server).values()])
        self.compute.confirm_server_resize(server)
        self.clean(self.wait(server))
        gone = self.shell(FIRST, 'virsh -q list --all --uuid')
        self.assertNotIn(server.id, gone)

    def _vcpus(self, server):
        pins = self.placed(self.xml(server))
        return pins['vcpupin0'] | pins['vcpupin1']

    def _is_as_asked(self, server, cell):
        """See what libvirt and the kernel have of a guest."""
        xml = self.xml(server)
        pins = self.placed(xml)
        self.assertEqual(
            {
                'vcpupin': cell,
                'emulatorpin': HOUSEKEEPING,
                'iothreadpin1': cell,
                'iothreadpin2': cell,
            },
            {
                'vcpupin': pins.pop('vcpupin0') | pins.pop('vcpupin1'),
                **pins,
            },
        )
        number = CELLS.index(cell)
        self.assertEqual({number: 64}, self.pages(server))
        self.assertEqual(
            str(number), xml.find('numatune/memnode').get('nodeset')
        )
        page = xml.find('memoryBacking/hugepages/page')
        self.assertEqual('2048', page.get('size'))
        self.assertIsNotNone(xml.find('memoryBacking/nosharepages'))
        driver = xml.find('devices/disk/driver')
        self.assertEqual(
            ('none', 'native', '2'),
            tuple(driver.get(key) for key in ('cache', 'io', 'queues')),
        )
        self.assertEqual('2', xml.findtext('iothreads'))

    def _is_alive(self, server):
        """The guest hears the power button, ends, and is started again."""
        self.compute.reboot_server(server, 'SOFT')
        self.wait(server)
        told = self.inside(
            server,
            'grep -c "Instance soft rebooted successfully" '
            '/var/log/nova/nova-compute.log',
        )
        self.assertEqual('1', told.strip())
        self.clean(server)
