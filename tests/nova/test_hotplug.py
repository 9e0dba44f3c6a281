"""Interfaces and volumes that are plugged into running guests."""

import threading
from types import SimpleNamespace
from unittest import mock

import fixtures
from lxml import etree
from nova import exception
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client
from nova.virt.libvirt import config
import testtools

from kvm_tuning.adapters.nova.compute import hotplug, receipts
from tests.nova import base

PINNED = {'hw__cpu_policy': 'dedicated'}


class HotPlugTest(base.ServersTest):
    def setUp(self):
        super().setUp()
        self.cinder = nova_fixtures.CinderFixture
        self.start()

    def port(self):
        self.neutron.create_port({'port': self.neutron.port_2})
        return self.neutron.port_2['id']

    def attach_volume(self, server, volume):
        self.api.post_server_volume(
            server['id'], {'volumeAttachment': {'volumeId': volume}}
        )

    def attached(self):
        return etree.fromstring(self.domains.attached[-1])

    def test_an_interface_has_what_the_flavor_asks(self):
        server = self.boot(kvm__vif_queues='4', **PINNED)
        self._attach_interface(server, self.port())
        driver = self.attached().find('driver')
        self.assertEqual('4', driver.get('queues'))
        (nic,) = self.domain(server).current.interfaces
        self.assertEqual('4', nic.driver['queues'])

    def test_the_receipt_knows_the_new_interface(self):
        server = self.boot(kvm__vif_queues='4', **PINNED)
        self._attach_interface(server, self.port())
        found = self.domain(server)
        (nic,) = found.current.interfaces
        self.assertIn(
            f'{nic.path}/driver', [p.path for p in found.receipt.promises]
        )

    def test_the_receipt_forgets_what_is_detached(self):
        server = self.boot(kvm__vif_queues='4', **PINNED)
        port = self.port()
        self._attach_interface(server, port)
        self._detach_interface(server, port)
        found = self.domain(server)
        self.assertEqual((), found.current.interfaces)
        # Nothing else was asked.
        self.assertIsNone(found.receipt)

    def test_the_others_keep_what_they_were_made_with(self):
        reader = self.computes['compute1'].driver._kvm_tuning.reader
        # A process has one reader: the next test would prefer this, too.
        self.addCleanup(reader.known.clear)
        self.addCleanup(
            object.__setattr__, reader, 'defaults', reader.defaults
        )
        defaults = {'kvm:vif_queues': '2'}
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.compute.request.Reader.asks',
                lambda *args, **_: True,
            )
        )
        object.__setattr__(reader, 'defaults', defaults)
        reader.known.clear()
        server = self.boot(**PINNED)
        self._attach_interface(server, self.port())
        (nic,) = self.domain(server).current.interfaces
        object.__setattr__(reader, 'defaults', {'kvm:vif_queues': '4'})
        reader.known.clear()
        self.attach_volume(server, self.cinder.IMAGE_BACKED_VOL)
        found = self.domain(server)
        self.assertEqual('2', found.current.interfaces[0].driver['queues'])
        wanted = {p.path: p.wanted for p in found.receipt.promises}
        self.assertEqual({'queues': '2'}, wanted[f'{nic.path}/driver'])

    def test_a_disk_names_no_iothread_that_is_not_there(self):
        server = self.boot(kvm__disk_iothread_map='dedicated', **PINNED)
        has = self.domain(server).current
        self.assertEqual(len(has.data_disks), has.iothreads)
        self.assertRaises(
            client.OpenStackApiException,
            self.attach_volume,
            server,
            self.cinder.IMAGE_BACKED_VOL,
        )
        self.assertEqual([], self.domains.attached)

    def test_nothing_asked_nothing_changed(self):
        server = self.boot(**PINNED)
        self._attach_interface(server, self.port())
        self.assertIsNone(self.attached().find('driver[@queues]'))
        self.assertIsNone(self.domain(server).receipt)

    def test_a_volume_has_what_the_flavor_asks(self):
        server = self.boot(kvm__disk_queues='2', kvm__iothreads='2', **PINNED)
        self.attach_volume(server, self.cinder.IMAGE_BACKED_VOL)
        driver = self.attached().find('driver')
        self.assertEqual('2', driver.get('queues'))
        self.assertIn(driver.get('iothread'), ('1', '2'))
        self.assertEqual(3, len(self.domain(server).current.data_disks))

    def test_the_receipt_forgets_a_detached_volume(self):
        server = self.boot(kvm__disk_queues='2', **PINNED)
        before = self.domain(server)
        self.attach_volume(server, self.cinder.IMAGE_BACKED_VOL)
        attached = self.domain(server)
        path = attached.current.data_disks[-1].path
        self.assertIn(
            f'{path}/driver', [p.path for p in attached.receipt.promises]
        )
        self.api.delete_server_volume(
            server['id'], self.cinder.IMAGE_BACKED_VOL
        )
        self._wait_for_volume_detach(
            server['id'], self.cinder.IMAGE_BACKED_VOL
        )
        after = self.domain(server)
        self.assertEqual(before.current.disks, after.current.disks)
        self.assertEqual(before.receipt.promises, after.receipt.promises)

    def test_a_swapped_volume_has_what_the_flavor_asks(self):
        copied = []
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.tests.fixtures.libvirt.Domain.blockCopy',
                lambda _domain, _disk, xml, **_: copied.append(xml),
            )
        )
        # Nova asks for a volume that Cinder is about to migrate.
        old = self.cinder.MULTIATTACH_RO_MIGRATE_OLD_VOL
        new = self.cinder.MULTIATTACH_RO_MIGRATE_NEW_VOL
        server = self.boot(vcpus=2, kvm__disk_queues='2', **PINNED)
        self.attach_volume(server, old)
        self.api.put_server_volume(server['id'], old, new)
        (xml,) = copied
        disk = etree.fromstring(xml)
        self.assertEqual('2', disk.find('driver').get('queues'))

    def test_what_cannot_be_is_refused_and_leaves_nothing(self):
        server = self.boot(kvm__vif_backend='vhost', **PINNED)
        self.readers.works = base.Capabilities(
            vhost_net=base.Probe(False, 'no vhost')
        )
        self.computes['compute1'].driver._kvm_tuning.host.refresh()
        unplugged = []
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.vif.LibvirtGenericVIFDriver.unplug',
                lambda *args: unplugged.append(args),
            )
        )
        self.assertRaises(
            client.OpenStackApiException,
            self._attach_interface,
            server,
            self.port(),
        )
        self.assertEqual([], self.domains.attached)
        self.assertEqual(1, len(unplugged))


class RecordTest(testtools.TestCase):
    def test_a_device_that_is_gone_is_gone(self):
        """Whatever libvirt says afterwards, the detach has worked."""
        instance = SimpleNamespace(uuid='u1')
        for error, told in (
            (exception.InternalError('libvirtd restarts'), 'restarts'),
            (exception.InstanceNotFound(instance_id='u1'), ''),
        ):
            log = self.useFixture(fixtures.FakeLogger())
            host = mock.Mock(**{'get_guest.side_effect': error})
            receipts.record(None, host, instance)
            self.assertEqual(bool(told), bool(log.output))
            self.assertIn(told, log.output)


class ConcurrentTest(base.ServersTest):
    """One thread's guest is never another's."""

    def test_two_threads(self):
        self.start()
        instances = {}
        for queues in ('2', '4'):
            server = self.boot(kvm__disk_queues=queues, **PINNED)
            instances[queues] = base.objects.Instance.get_by_uuid(
                base.context.get_admin_context(),
                server['id'],
                expected_attrs=['flavor', 'system_metadata'],
            )
        driver = self.computes['compute1'].driver
        both = threading.Barrier(2)
        found = {}

        def attach(queues):
            instance = instances[queues]
            guest = driver._host.get_guest(instance)
            where = hotplug.Plug(
                driver._kvm_tuning,
                instance,
                instance.image_meta,
                guest.get_xml_desc(),
            )
            for _number in range(20):
                with hotplug.into(where):
                    both.wait(30)
                    disk = config.LibvirtConfigGuestDisk()
                    disk.source_type = 'block'
                    disk.source_path = '/dev/null'
                    disk.target_dev, disk.target_bus = 'vdc', 'virtio'
                    xml = hotplug.tuned(disk).to_xml()
                found.setdefault(queues, set()).add(
                    etree.fromstring(xml).find('driver').get('queues')
                )

        threads = [
            threading.Thread(target=attach, args=(queues,))
            for queues in instances
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual({'2': {'2'}, '4': {'4'}}, found)

    def test_two_volumes_through_nova(self):
        """Both are in the middle of nova-compute's attaching at once."""
        self.start()
        both = threading.Barrier(2)
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver._connect_volume',
                lambda *args, **kwargs: both.wait(600),
            )
        )
        cinder = nova_fixtures.CinderFixture
        servers = {
            queues: self.boot(vcpus=2, kvm__disk_queues=queues, **PINNED)
            for queues in ('1', '2')
        }
        volumes = (cinder.IMAGE_BACKED_VOL, cinder.SWAP_OLD_VOL)
        # In these tests a request ends when the attachment does.
        threads = [
            threading.Thread(
                target=self.api.post_server_volume,
                args=(
                    server['id'],
                    {'volumeAttachment': {'volumeId': volume}},
                ),
            )
            for server, volume in zip(servers.values(), volumes, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(900)
        for queues, server in servers.items():
            disks = self.domain(server).current.data_disks
            self.assertEqual([queues] * 3, [d.driver['queues'] for d in disks])

    def test_a_whole_function_stays_as_it_is(self):
        """What Nova makes of a port of the type direct-physical."""
        function = config.LibvirtConfigGuestHostdevPCI()
        function.domain, function.bus = '0000', '00'
        function.slot, function.function = '01', '0'
        nobody = hotplug.Plug(None, None, None, '<domain/>')
        with hotplug.into(nobody):
            self.assertIs(function, hotplug.tuned(function))
        self.assertNotIn('format_dom', vars(function))

    def test_outside_of_a_plug_nothing_is_tuned(self):
        disk = config.LibvirtConfigGuestDisk()
        self.assertIs(disk, hotplug.tuned(disk))
